import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findRepository } from '../../src/core/index.ts';
import { childComponents, stemOf } from '../../src/driver/p2p/name-tree.ts';

async function children(names: readonly string[], prefix = ''): Promise<string[]> {
  const sorted = (async function* () {
    yield* names.toSorted();
  })();
  return Array.fromAsync(childComponents(sorted, prefix));
}

describe('childComponents', () => {
  it.each([
    ['names side by side', ['b', 'a'], '', ['a', 'b']],
    ['a directory that names come before', ['app-extra', 'app/x'], '', ['app', 'app-extra']],
    ['one that is a name itself', ['app', 'app-extra', 'app.x', 'app/x'], '', ['app', 'app-extra', 'app.x']],
    ['stems inside of stems', ['a-b/c', 'a-b-c', 'a/b', 'a0'], '', ['a', 'a-b', 'a-b-c', 'a0']],
    ['names below a prefix only', ['app', 'app-extra', 'app/x', 'app/y/z', 'apq'], 'app/', ['x', 'y']],
    ['nothing below a prefix', ['app', 'apq/x'], 'app/', []],
    ['no names', [], '', []],
  ])('finds %s', async (_name, names, prefix, expected) => {
    expect(await children(names, prefix)).toEqual(expected);
  });

  const component = fc
    .array(fc.constantFrom('a', 'b', '0', 'a-b', 'a.b', 'a__b', 'ab'), { minLength: 1, maxLength: 2 })
    .map((parts) => parts.join(''));
  const repository = fc
    .array(component, { minLength: 1, maxLength: 4 })
    .map((components) => components.join('/'))
    .filter((name) => findRepository(name) !== undefined);

  it('is the set of next components in order of bytes, whatever the names', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(repository, { maxLength: 40 }), fc.option(component), async (names, top) => {
        const prefix = top === null ? '' : `${top}/`;
        const expected = new Set(
          names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length).split('/')[0]!),
        );
        expect(await children(names, prefix)).toEqual([...expected].toSorted());
      }),
    );
  });

  it('loses no child behind another one when the names begin behind its stem', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(repository, { maxLength: 40 }), component, async (names, after) => {
        const behind = (child: string) => child > after;
        const fromStem = names.filter((name) => name > stemOf(after));
        expect((await children(fromStem)).filter(behind)).toEqual((await children(names)).filter(behind));
      }),
    );
  });
});
