import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeyedMutex } from '../../src/core/index.ts';

describe('KeyedMutex', () => {
  it('runs one task at a time for each key, in order, and goes on after one that fails', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(2), fc.boolean())), fc.scheduler(), async (tasks, scheduler) => {
        const mutex = new KeyedMutex();
        const running = new Map<number, number>();
        const finished = new Map<number, number[]>();
        const runs = tasks.map(([key, fails], i) =>
          mutex
            .run(String(key), async () => {
              expect(running.has(key)).toBe(false);
              running.set(key, i);
              await scheduler.schedule(Promise.resolve());
              running.delete(key);
              finished.set(key, [...(finished.get(key) ?? []), i]);
              if (fails) throw new Error('a task failed');
            })
            .catch(() => undefined),
        );
        for (const [key] of tasks) expect(mutex.isHeld(String(key))).toBe(true);
        await scheduler.waitFor(Promise.all([...runs, mutex.idle()]));
        for (const order of finished.values()) expect(order).toEqual([...order].sort((a, b) => a - b));
        for (const [key] of tasks) expect(mutex.isHeld(String(key))).toBe(false);
      }),
    );
  });

  it('lets the tasks of different keys run at once', async () => {
    const mutex = new KeyedMutex();
    const gate = Promise.withResolvers<void>();
    const waiting = mutex.run('a', () => gate.promise);
    await mutex.run('b', async () => gate.resolve());
    await waiting;
  });
});
