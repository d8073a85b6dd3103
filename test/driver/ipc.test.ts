import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { defaultDriverFactory, storageDriverConformance } from '../../src/driver/index.ts';
import { goProgramForThisFile, hasGo } from '../helpers/go-program.ts';
import { SharedDriver } from './shared-driver.ts';

const shoal = join(import.meta.dirname, '../../bin/shoal.js');
const folderDrivers = join(import.meta.dirname, '../../examples/drivers');

/** Registers the suite for a program that keeps objects in a folder. One process has all cases; a restart is another. */
function programConformance(name: string, exec: () => readonly string[], { conditionalPut = true } = {}): void {
  const shared = SharedDriver.forThisFile(async () => {
    const rootdirectory = await mkdtemp(join(tmpdir(), 'shoal-conformance-'));
    return {
      open: () => defaultDriverFactory().create('ipc', { exec: exec(), rootdirectory }),
      remove: () => rm(rootdirectory, { recursive: true, force: true }),
    };
  });
  storageDriverConformance({
    name: `ipc, ${name}`,
    describe,
    it,
    expect,
    capabilities: { conditionalPut },
    create: () => shared.lend(),
  });
}

programConformance('shoal driver serve filesystem', () => [process.execPath, shoal, 'driver', 'serve', 'filesystem']);

// The programs below know nothing of Shoal's code.
const typescript = join(folderDrivers, 'registry-storage-folder.ts');
programConformance('the reference in TypeScript', () => [process.execPath, typescript], { conditionalPut: false });

programConformance('the reference in Python', () => ['python3', join(folderDrivers, 'registry-storage-folder.py')]);

// Skipped only where Go is missing; never in CI.
describe.skipIf(!hasGo())('built with Go', () => {
  const go = goProgramForThisFile(join(folderDrivers, 'registry-storage-folder.go'));
  programConformance('the reference in Go', () => [go()]);
});
