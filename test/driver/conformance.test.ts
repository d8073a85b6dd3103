import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { defaultDriverFactory, storageDriverConformance } from '../../src/driver/index.ts';
import { p2pScene, readOnlyScene } from './p2p-scene.ts';

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

// onTestFinished ends what a scene has started.
storageDriverConformance({
  name: 'p2p, read-write',
  describe,
  it,
  expect,
  capabilities: { anyPath: false, conditionalPut: false },
  create: async () => ({ driver: (await p2pScene()).driver, cleanup: async () => undefined }),
});

storageDriverConformance({
  name: 'p2p, read-only',
  describe,
  it,
  expect,
  capabilities: { write: false, anyPath: false, conditionalPut: false },
  create: async () => ({ driver: (await readOnlyScene()).driver, cleanup: async () => undefined }),
});
