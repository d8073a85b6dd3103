import { describe, onTestFinished } from 'vitest';
import { defaultDriverFactory } from '../../src/driver/index.ts';
import { hasSwift, SwiftServer } from '../helpers/swift-s3/swift.ts';
import { registryContract } from './contract.ts';
import { accessContract } from './contract-access.ts';
import { serveRegistry } from './running-registry.ts';

// Skipped only where the program is missing; never in CI.
describe.skipIf(!hasSwift())('registry on S3', () => {
  const swift = SwiftServer.forThisFile();

  /** Clients of these tests read from the registry itself; those of the driver follow its URLs. */
  async function bucketDriver() {
    const driver = await defaultDriverFactory().create('s3', { ...(await swift.makeBucket()), redirect: false });
    onTestFinished(() => driver.close());
    return driver;
  }

  registryContract('registry on the s3 driver', async () => serveRegistry(await bucketDriver()));
  accessContract('registry on the s3 driver', () => bucketDriver());
});
