import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeyedLock } from '../../src/build-index/keyed-lock.ts';
import { UnavailableError } from '../../src/core/index.ts';

const anyTask = fc.record({ key: fc.constantFrom('a', 'b'), exclusive: fc.boolean(), fails: fc.boolean() });

describe('KeyedLock', () => {
  it('lets an exclusive task run alone, shared ones together, and starts them in the order of their coming', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(anyTask, { maxLength: 20 }), async (scheduler, tasks) => {
        const lock = new KeyedLock();
        const inside = { a: { shared: 0, exclusive: 0 }, b: { shared: 0, exclusive: 0 } };
        const started: { key: string; index: number }[] = [];
        const calls = tasks.map(async ({ key, exclusive, fails }, index) => {
          const kind = exclusive ? 'exclusive' : 'shared';
          await lock[kind](key, async () => {
            const here = inside[key as 'a' | 'b'];
            here[kind] += 1;
            started.push({ key, index });
            expect(here.exclusive === 0 || (here.exclusive === 1 && here.shared === 0)).toBe(true);
            await scheduler.schedule(Promise.resolve(), `${kind} ${index}`);
            here[kind] -= 1;
            if (fails) throw new Error(`task ${index}`);
          });
        });
        await scheduler.waitFor(Promise.allSettled(calls));
        expect(started).toHaveLength(tasks.length);
        for (const key of ['a', 'b']) {
          const order = started.filter((one) => one.key === key).map((one) => one.index);
          expect(order).toEqual([...order].sort((x, y) => x - y));
        }
      }),
    );
  });

  it('runs shared tasks at the same time', async () => {
    const lock = new KeyedLock();
    const { promise: second, resolve } = Promise.withResolvers<void>();
    await Promise.all([lock.shared('a', () => second), lock.shared('a', async () => resolve())]);
  });

  it('runs tasks of other keys at the same time', async () => {
    const lock = new KeyedLock();
    const { promise: second, resolve } = Promise.withResolvers<void>();
    await Promise.all([lock.exclusive('a', () => second), lock.exclusive('b', async () => resolve())]);
  });

  it('gives results and errors to whoever called', async () => {
    const lock = new KeyedLock();
    expect(await lock.exclusive('a', async () => 7)).toBe(7);
    await expect(lock.shared('a', () => Promise.reject(new Error('mine')))).rejects.toThrow('mine');
    expect(await lock.exclusive('a', async () => 8)).toBe(8);
  });

  it('turns further tasks away once ten thousand wait', async () => {
    const lock = new KeyedLock();
    const { promise: gate, resolve } = Promise.withResolvers<void>();
    const holder = lock.exclusive('a', () => gate);
    const waiting = Array.from({ length: 10_000 }, () => lock.shared('a', async () => {}));
    await expect(lock.shared('a', async () => {})).rejects.toThrow(UnavailableError);
    await lock.shared('b', async () => {});
    resolve();
    await Promise.all([holder, ...waiting]);
    await lock.exclusive('a', async () => {});
  });
});
