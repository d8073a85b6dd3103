import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inPathOrder } from '../../src/driver/object-store/index.ts';
import { comparePaths } from '../../src/driver/paths.ts';

interface Entry {
  readonly name: string;
}

async function* below(names: readonly string[], prefix: string): AsyncIterable<Entry> {
  for (const name of names) if (name.startsWith(prefix)) yield { name };
}

/** As a store lists, with everything below a prefix asked for when more than `maxHeld` are held back. */
async function ordered(names: readonly string[], prefix: string, maxHeld: number): Promise<string[]> {
  const list = (from: string): AsyncIterable<Entry> =>
    inPathOrder(below(names, from), { from: from.length, below: list, maxHeld });
  const found: string[] = [];
  for await (const { name } of list(prefix)) found.push(name);
  return found;
}

const component = fc
  .array(fc.constantFrom('a', 'b', '-', '.'), { minLength: 1, maxLength: 4 })
  .map((letters) => letters.join(''))
  .filter((name) => name !== '.' && name !== '..');
const key = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => `top/${parts.join('/')}`);

describe('keys of an object store in the order of paths', () => {
  it('are all there, once, in order, however few may be held back', async () => {
    const keys = fc.uniqueArray(key, { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(keys, fc.integer({ min: 0, max: 10 }), async (names, maxHeld) => {
        const byBytes = names.toSorted();
        expect(await ordered(byBytes, 'top/', maxHeld)).toEqual(names.toSorted(comparePaths));
      }),
      { numRuns: 500 },
    );
  });

  it('go out as soon as nothing can come before them', async () => {
    let asked = 0;
    async function* endless(): AsyncIterable<Entry> {
      for (asked = 1; ; asked++) yield { name: `k${String(asked).padStart(5, '0')}-x` };
    }
    const nothing = () => below([], '');
    for await (const { name } of inPathOrder(endless(), { from: 0, below: nothing, maxHeld: 100 })) {
      expect(name).toBe('k00001-x');
      break;
    }
    expect(asked).toBe(2);
  });
});
