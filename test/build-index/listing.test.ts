import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mapAhead } from '../../src/build-index/map-ahead.ts';
import { takePage } from '../../src/build-index/page.ts';
import type { Clock } from '../../src/core/index.ts';
import { collect } from './cluster.ts';

/** A clock that goes on by `stepMs` each time that it is asked. */
function steppingClock(stepMs: number): Clock {
  let now = 0;
  const tick = () => {
    now += stepMs;
    return now;
  };
  return { monotonicMs: tick, nowMs: tick };
}

async function* namesOf(count: number): AsyncGenerator<string> {
  for (let index = 0; index < count; index += 1) yield `n${index}`;
}

describe('mapping ahead', () => {
  it('keeps the order, whichever result comes first, and asks a bounded number of questions at once', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(fc.nat(), { maxLength: 60 }), async (scheduler, items) => {
        let open = 0;
        let most = 0;
        const results = mapAhead(items, async (item) => {
          open += 1;
          most = Math.max(most, open);
          await scheduler.schedule(Promise.resolve());
          open -= 1;
          return item * 2;
        });
        expect(await scheduler.waitFor(collect(results))).toEqual(items.map((item) => item * 2));
        expect(most).toBeLessThanOrEqual(17);
      }),
      { numRuns: 50 },
    );
  });

  it('throws the error of an item in its turn, and those behind it harm nobody', async () => {
    const results = mapAhead([1, 2, 3], async (item) => {
      if (item > 1) throw new Error(`item ${item}`);
      return item;
    });
    expect(await results.next()).toEqual({ value: 1, done: false });
    await expect(results.next()).rejects.toThrow('item 2');
  });

  it('leaves its source when it is left itself', async () => {
    let left = false;
    async function* source() {
      try {
        for (let index = 0; ; index += 1) yield index;
      } finally {
        left = true;
      }
    }
    for await (const item of mapAhead(source(), async (one) => one)) if (item === 3) break;
    expect(left).toBe(true);
  });
});

describe('a page', () => {
  it.each([
    [0, 5, 0, false],
    [4, 5, 4, false],
    [5, 5, 5, false],
    [6, 5, 5, true],
    [1000, undefined, 1000, false],
    [1001, undefined, 1000, true],
    [1001, 5000, 1000, true],
  ])('of %i names with limit %s has %i, and says whether more follow: %s', async (count, limit, expected, more) => {
    const page = await takePage(namesOf(count), limit, steppingClock(0));
    expect([page.names.length, page.more]).toEqual([expected, more]);
  });

  it('ends early when it has taken long, but never empty', async () => {
    expect(await takePage(namesOf(100), undefined, steppingClock(1_000))).toEqual({
      names: ['n0', 'n1', 'n2', 'n3'],
      more: true,
    });
    expect(await takePage(namesOf(100), undefined, steppingClock(60_000))).toEqual({ names: ['n0'], more: true });
    expect(await takePage(namesOf(0), undefined, steppingClock(60_000))).toEqual({ names: [], more: false });
  });
});
