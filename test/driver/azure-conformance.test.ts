import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { storageDriverConformance } from '../../src/driver/index.ts';
import { type Azurite, hasAzurite, startAzurite } from '../helpers/azurite.ts';
import { makeScene } from './azure-scene.ts';

const chunkBytes = 256 * 1024;

// Skipped only where the program is missing; never in CI.
describe.skipIf(!hasAzurite())('on Azurite', () => {
  let azurite: Azurite;
  beforeAll(async () => {
    azurite = await startAzurite();
  });
  afterAll(() => azurite?.stop());

  storageDriverConformance({
    name: 'azure',
    describe,
    // Azurite looks through all its blobs for each request, which takes its time with a thousand of them.
    it: (name, body) => it(name, body, 120_000),
    expect,
    largeBytes: 2 * chunkBytes + 1000,
    create: async () => {
      const { open, container } = await makeScene(azurite, '');
      const reopen = () => open({ chunksize: chunkBytes });
      const driver = await reopen();
      return {
        driver,
        reopen,
        cleanup: async () => {
          await driver.close();
          await container.delete();
        },
      };
    },
  });
});
