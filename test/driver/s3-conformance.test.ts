import { describe, expect, it } from 'vitest';
import { defaultDriverFactory, storageDriverConformance } from '../../src/driver/index.ts';
import { hasSwift, SwiftServer } from '../helpers/swift-s3/swift.ts';

const mib = 1024 * 1024;
const factory = defaultDriverFactory();

// Skipped only where the program is missing; never in CI.
describe.skipIf(!hasSwift())('s3 on Swift', () => {
  const swift = SwiftServer.forThisFile();

  storageDriverConformance({
    name: 's3',
    describe,
    it: (name, body) => it(name, body, 120_000),
    expect,
    // Swift's s3api knows no conditional puts; test/driver/s3-conditional.test.ts has those.
    capabilities: { conditionalPut: false },
    largeBytes: 10 * mib + 4321,
    create: async () => {
      const parameters = { ...(await swift.makeBucket()), chunksize: 5 * mib };
      const open = () => factory.create('s3', parameters);
      const driver = await open();
      return { driver, reopen: open, cleanup: () => driver.close() };
    },
  });
});
