import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCaStore } from '../../src/castore/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { startChild } from './child.ts';
import { CAPACITY_BYTES, checkPromises, useAgain } from './scenario.ts';

/**
 * How many of the changes to the disk a process is killed at. `outage.test.ts` goes through all of them in memory; this shows
 * on a real disk, with real kills, that the model there is right. Each costs a process.
 */
const KILLS = 10;

describe('a store whose process is killed', () => {
  it('keeps every promise and shows nothing half done', async () => {
    const root = await makeTempDir();
    const whole = await startChild(join(root, 'whole'), 'play');
    expect(await whole.ended).toBe(0);
    const changes = Number(whole.lines.at(-1)?.replace('changes ', ''));
    expect(changes).toBeGreaterThan(100);
    for (let i = 0; i < KILLS; i += 1) {
      const point = 1 + Math.floor(((changes - 1) * i) / (KILLS - 1));
      const child = await startChild(join(root, `at-${point}`), 'play', String(point));
      expect(await child.ended).toBe('SIGKILL');
      await using store = await openCaStore({ directory: join(root, `at-${point}`), capacityBytes: CAPACITY_BYTES });
      const fail = (what: string) => expect.fail(`killed before change ${point}: not true that ${what}`);
      await checkPromises(store, child.lines, fail);
      await useAgain(store);
    }
  }, 240_000);
});
