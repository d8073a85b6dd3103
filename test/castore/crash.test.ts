import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCaStore } from '../../src/castore/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { startChild } from './child.ts';
import { CAPACITY_BYTES, checkPromises, useAgain } from './scenario.ts';

/** Children that run at the same time. Each kill costs a process. */
const AT_ONCE = 3;

/**
 * On a real disk, with real kills, at every change that the scenario makes. `outage.test.ts` goes through the same changes
 * in memory, where the power can fail, too.
 */
describe('a store whose process is killed', () => {
  it('at any change to the disk keeps every promise and shows nothing half done', { timeout: 600_000 }, async () => {
    const root = await makeTempDir();
    const whole = await startChild(join(root, 'whole'), 'play');
    expect(await whole.ended).toBe(0);
    const changes = Number(whole.lines.at(-1)?.replace('changes ', ''));
    expect(changes).toBeGreaterThan(100);
    let next = 1;
    const killOneAfterTheOther = async () => {
      for (let change = next++; change <= changes; change = next++) await killAt(root, change);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, killOneAfterTheOther));
    expect(next).toBeGreaterThan(changes);
  });
});

async function killAt(root: string, change: number): Promise<void> {
  const directory = join(root, `at-${change}`);
  const child = await startChild(directory, 'play', String(change));
  expect(await child.ended).toBe('SIGKILL');
  await using store = await openCaStore({ directory, capacityBytes: CAPACITY_BYTES });
  const fail = (what: string) => expect.fail(`killed before change ${change}: not true that ${what}`);
  await checkPromises(store, child.lines, fail);
  await useAgain(store);
}
