import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { defaultDriverFactory, storageDriverConformance } from '../../src/driver/index.ts';

const shoal = join(import.meta.dirname, '../../bin/shoal.js');
const folderDrivers = join(import.meta.dirname, '../../examples/drivers');

/** The programs that have to pass, each on a folder; the last two know nothing of Shoal's code. */
const programs = [
  { name: 'shoal driver serve filesystem', exec: [process.execPath, shoal, 'driver', 'serve', 'filesystem'] },
  {
    name: 'the reference in TypeScript',
    exec: [process.execPath, join(folderDrivers, 'registry-storage-folder.ts')],
    conditionalPut: false,
  },
  { name: 'the reference in Python', exec: ['python3', join(folderDrivers, 'registry-storage-folder.py')] },
];

for (const { name, exec, conditionalPut = true } of programs) {
  storageDriverConformance({
    name: `ipc, ${name}`,
    describe,
    it,
    expect,
    capabilities: { conditionalPut },
    create: async () => {
      const rootdirectory = await mkdtemp(join(tmpdir(), 'shoal-conformance-'));
      const open = () => defaultDriverFactory().create('ipc', { exec, rootdirectory });
      const driver = await open();
      const reopened: { close(): Promise<void> }[] = [];
      return {
        driver,
        reopen: async () => {
          const again = await open();
          reopened.push(again);
          return again;
        },
        cleanup: async () => {
          for (const one of [driver, ...reopened]) await one.close();
          await rm(rootdirectory, { recursive: true, force: true });
        },
      };
    },
  });
}
