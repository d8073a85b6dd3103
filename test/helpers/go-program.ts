import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { hasPrograms, run } from './command.ts';

/** Whether Go is on this machine; says aloud when it is not. */
export function hasGo(): boolean {
  return hasPrograms('go');
}

/**
 * Builds a program of one file with what Go itself has, before the tests of the file or `describe` that calls this, in a folder
 * that goes with them. @returns where the program is, once it is built; it has the name of its source
 */
export function goProgramForThisFile(source: string): () => string {
  let directory: string | undefined;
  const program = () => join(directory ?? '', basename(source, '.go'));
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'shoal-go-'));
    // Nothing of the user's settings, and no network: the source needs neither.
    const settings = {
      HOME: directory,
      GOCACHE: join(directory, 'cache'),
      GO111MODULE: 'off',
      GOPROXY: 'off',
      GOFLAGS: '',
    };
    const words = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
    await run('env', [...words, 'go', 'build', '-o', program(), source]);
  }, 300_000);
  afterAll(async () => {
    if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  });
  return program;
}
