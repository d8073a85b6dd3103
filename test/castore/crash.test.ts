import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCaStore } from '../../src/castore/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { startChild } from './child.ts';
import { CAPACITY_BYTES, checkLong, checkPromises, LONG_CAPACITY_BYTES, useAgain } from './scenario.ts';

/** Children that run at the same time. Each kill costs a process. */
const AT_ONCE = 3;

/**
 * On a real disk, with real kills, at every change that the scenario makes. `outage.test.ts` goes through the same changes
 * in memory, where the power can fail, too.
 */
describe('a store whose process is killed', () => {
  it('at any change to the disk keeps every promise and shows nothing half done', { timeout: 600_000 }, async () => {
    const root = await makeTempDir();
    const changes = await countChanges(join(root, 'whole'), 'play');
    expect(changes).toBeGreaterThan(100);
    await forAll(changes, async (change) => {
      const directory = join(root, `at-${change}`);
      const child = await startChild(directory, 'play', String(change));
      expect(await child.ended).toBe('SIGKILL');
      await using store = await openCaStore({ directory, capacityBytes: CAPACITY_BYTES });
      const fail = (what: string) => expect.fail(`killed before change ${change}: not true that ${what}`);
      await checkPromises(store, child.lines, fail);
      await useAgain(store);
    });
  });

  it.each([
    ['before any change', 0],
    ['while the thread may write', 3],
  ])('%s, with pieces in a thread, keeps every promise too', { timeout: 600_000 }, async (_name, turns) => {
    const root = await makeTempDir();
    const changes = await countChanges(join(root, 'whole'), 'play-long');
    // With six pieces that the thread writes.
    expect(changes).toBeGreaterThan(30);
    await forAll(changes, async (change) => {
      const directory = join(root, `at-${change}`);
      const child = await startChild(directory, 'play-long', String(change), String(turns));
      // Some turns after the last changes it may have ended by itself.
      if (turns === 0) expect(await child.ended).toBe('SIGKILL');
      else expect(['SIGKILL', 0]).toContain(await child.ended);
      await using store = await openCaStore({ directory, capacityBytes: LONG_CAPACITY_BYTES });
      await checkLong(store, child.lines, (what) => expect.fail(`killed at change ${change}: not true that ${what}`));
    });
  });
});

async function countChanges(directory: string, what: string): Promise<number> {
  const whole = await startChild(directory, what);
  expect(await whole.ended).toBe(0);
  return Number(whole.lines.at(-1)?.replace('changes ', ''));
}

/** Kills some at a time, until each number up to `changes` has had its turn. */
async function forAll(changes: number, kill: (change: number) => Promise<void>): Promise<void> {
  let next = 1;
  const killOneAfterTheOther = async () => {
    for (let change = next++; change <= changes; change = next++) await kill(change);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, killOneAfterTheOther));
  expect(next).toBeGreaterThan(changes);
}
