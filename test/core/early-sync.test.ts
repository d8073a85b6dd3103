import { describe, expect, it } from 'vitest';
import { EarlySync } from '../../src/core/index.ts';

const STEP = 32 * 1024 * 1024;

/** A sync that ends when the test says so. */
function heldSync() {
  const ends: { resolve: () => void; reject: (error: Error) => void }[] = [];
  const sync = () => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    ends.push({ resolve, reject });
    return promise;
  };
  return { early: new EarlySync(sync), ends };
}

describe('EarlySync', () => {
  it('syncs after each 32 MiB, one at a time', async () => {
    const { early, ends } = heldSync();
    early.wrote(STEP - 1);
    await early.settled();
    expect(ends).toHaveLength(0);
    early.wrote(1);
    expect(ends).toHaveLength(1);
    early.wrote(2 * STEP);
    expect(ends).toHaveLength(1);
    ends[0]!.resolve();
    await early.settled();
    early.wrote(1);
    expect(ends).toHaveLength(2);
    ends[1]!.resolve();
    await early.settled();
  });

  it('is settled only when nothing is under way', async () => {
    const { early, ends } = heldSync();
    early.wrote(STEP);
    let isSettled = false;
    const settled = early.settled().then(() => {
      isSettled = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isSettled).toBe(false);
    ends[0]!.resolve();
    await settled;
  });

  it('fails for ever once a sync has failed, and syncs no more', async () => {
    const { early, ends } = heldSync();
    early.wrote(STEP);
    ends[0]!.reject(new Error('the disk has lost bytes'));
    for (let time = 0; time < 2; time++) await expect(early.settled()).rejects.toThrow('the disk has lost bytes');
    early.wrote(STEP);
    expect(ends).toHaveLength(1);
  });
});
