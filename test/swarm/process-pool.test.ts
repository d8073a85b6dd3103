import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/core/index.ts';
import { type PooledProcess, ProcessPool } from '../../src/swarm/process/process-pool.ts';
import { NO_STATISTICS } from '../../src/swarm/process/summed-statistics.ts';
import { testLogger } from '../helpers/logger.ts';

describe('ProcessPool', () => {
  class FakeProcess implements PooledProcess {
    readonly pid: number;
    readonly port = 1;
    readonly end: () => void;
    hasEnded = false;
    isFetching = false;
    status: PooledProcess['status'];
    silent = 0;
    killed = 0;

    constructor(slot: number, onEnded: () => void) {
      this.pid = slot;
      this.end = () => {
        this.hasEnded = true;
        onEnded();
      };
    }

    tell(utilisation: number, swarms = 1): void {
      this.status = { utilisation, swarms, statistics: { ...NO_STATISTICS, sentBytes: 10, wires: 1 } };
      this.silent = 0;
    }

    step(): number {
      return ++this.silent;
    }

    kill(): void {
      this.killed++;
      this.end();
    }

    async close(): Promise<void> {
      this.end();
    }
  }

  function startPool(options: { most?: number; fails?: () => boolean } = {}) {
    const clock = { nowMs: 1_000_000 };
    const started: FakeProcess[] = [];
    const pool = new ProcessPool<FakeProcess>({
      ...{ most: options.most ?? 2, emptyMs: 60_000, logger: testLogger(), onChange: () => undefined },
      clock: { ...systemClock, monotonicMs: () => clock.nowMs },
      start: async (slot, onEnded) => {
        if (options.fails?.() === true) throw new Error('it does not begin');
        const process = new FakeProcess(slot, onEnded);
        started.push(process);
        return process;
      },
    });
    const startOne = async () => {
      const before = pool.all().length;
      pool.startOne();
      pool.startOne();
      await new Promise((resolve) => setImmediate(resolve));
      return pool.all().length - before;
    };
    return { pool, clock, started, startOne };
  }

  it('starts one at a time, up to so many, and gives out the idlest that has time', async () => {
    const { pool, started, startOne } = startPool();
    expect(pool.idlest(1)).toBeUndefined();
    expect([await startOne(), await startOne(), await startOne()]).toEqual([1, 1, 0]);
    expect(started.map(({ pid }) => pid)).toEqual([0, 1]);
    const [first, second] = started;
    first!.tell(0.5);
    // It has not told anything yet: it has just begun.
    expect(pool.idlest(1)).toBe(second);
    second!.tell(0.7);
    expect(pool.idlest(1)).toBe(first);
    expect(pool.idlest(0.4)).toBeUndefined();
    first!.tell(0.9);
    second!.tell(0.9);
    expect(pool.idlest(1)).toBeUndefined();
  });

  it('ends one that has had nothing to do for a minute', async () => {
    const { pool, clock, started, startOne } = startPool();
    await startOne();
    const process = started[0]!;
    for (const [swarms, isFetching] of [
      [1, false],
      [0, true],
    ] as const) {
      process.tell(0.1, swarms);
      process.isFetching = isFetching;
      clock.nowMs += 61_000;
      pool.step();
    }
    process.isFetching = false;
    clock.nowMs += 59_000;
    pool.step();
    expect(pool.all()).toEqual([process]);
    clock.nowMs += 2_000;
    pool.step();
    expect(pool.all()).toEqual([]);
    expect(process.hasEnded).toBe(true);
    expect(pool.statistics()).toEqual({ ...NO_STATISTICS, sentBytes: 10 });
  });

  it('kills one that says nothing for thirty steps', async () => {
    const { pool, started, startOne } = startPool();
    await startOne();
    for (let step = 0; step < 30; step++) pool.step();
    expect(started[0]!.killed).toBe(0);
    pool.step();
    expect(started[0]!.killed).toBe(1);
    expect(pool.all()).toEqual([]);
  });

  it('waits longer and longer before it starts one again that dies or does not begin', async () => {
    let fails = true;
    const { pool, clock, started, startOne } = startPool({ fails: () => fails });
    const startsAgainAfterMs = async () => {
      const sinceMs = clock.nowMs;
      for (;;) {
        if ((await startOne()) === 1) return clock.nowMs - sinceMs;
        clock.nowMs += 500;
      }
    };
    expect(await startOne()).toBe(0);
    fails = false;
    expect(await startsAgainAfterMs()).toBe(1_000);
    started[0]!.end();
    expect(await startsAgainAfterMs()).toBe(2_000);
    started[1]!.end();
    expect(await startsAgainAfterMs()).toBe(4_000);
    // One that has lived for long enough is not held against the next.
    clock.nowMs += 61_000;
    started[2]!.end();
    expect(await startsAgainAfterMs()).toBe(1_000);
    await pool.close();
    expect(pool.statistics()).toMatchObject({ processes: 0 });
    expect(await startOne()).toBe(0);
  });
});
