import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mapConcurrently } from '../../src/registry/concurrent.ts';

describe('mapConcurrently', () => {
  it('keeps the order and the limit, however long each item takes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(3), { maxLength: 30 }), fc.integer({ min: 1, max: 8 }), async (turns, limit) => {
        let running = 0;
        let most = 0;
        const results = await mapConcurrently(turns, limit, async (turn) => {
          running += 1;
          most = Math.max(most, running);
          for (let i = 0; i <= turn; i += 1) await new Promise((resolve) => setImmediate(resolve));
          running -= 1;
          return turn * 2;
        });
        expect(results).toEqual(turns.map((turn) => turn * 2));
        expect(most).toBe(Math.min(limit, turns.length));
      }),
      { numRuns: 50 },
    );
  });

  it('begins nothing after a failure, and throws it when all that had begun is over', async () => {
    const begun: number[] = [];
    const ended: number[] = [];
    const call = mapConcurrently([0, 1, 2, 3, 4, 5], 2, async (item) => {
      begun.push(item);
      await new Promise((resolve) => setImmediate(resolve));
      if (item === 0) throw new Error('first');
      await new Promise((resolve) => setImmediate(resolve));
      ended.push(item);
    });
    await expect(call).rejects.toThrow('first');
    expect([begun, ended]).toEqual([[0, 1], [1]]);
  });
});
