import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { defaultDriverFactory, storageDriverConformance } from '../../src/driver/index.ts';

const factory = defaultDriverFactory();

storageDriverConformance({
  name: 'inmemory',
  describe,
  it,
  expect,
  create: async () => {
    const driver = await factory.create('inmemory', {});
    return { driver, cleanup: () => driver.close() };
  },
});

storageDriverConformance({
  name: 'filesystem',
  describe,
  it,
  expect,
  create: async () => {
    const rootdirectory = await mkdtemp(join(tmpdir(), 'shoal-conformance-'));
    const open = () => factory.create('filesystem', { rootdirectory });
    const driver = await open();
    return {
      driver,
      reopen: open,
      cleanup: async () => {
        await driver.close();
        await rm(rootdirectory, { recursive: true, force: true });
      },
    };
  },
});
