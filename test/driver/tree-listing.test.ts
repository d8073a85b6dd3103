import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PathNotFoundError } from '../../src/driver/index.ts';
import { type KeySource, listChildren, Removals, walkObjects } from '../../src/driver/object-store/index.ts';
import { comparePaths, findPathFault } from '../../src/driver/paths.ts';

const reservedPrefix = 'root/.own/';

/** A store with pages of so many keys, which also gives an empty page here and there, as the protocols allow. */
class Store {
  readonly pageKeys: number;
  readonly maxHeld: number;
  readonly canStartAfter: boolean;
  keys: string[] = [];
  requests = 0;

  constructor(options: { readonly pageKeys: number; readonly maxHeld: number; readonly canStartAfter: boolean }) {
    this.pageKeys = options.pageKeys;
    this.maxHeld = options.maxHeld;
    this.canStartAfter = options.canStartAfter;
  }

  get source(): KeySource {
    return {
      driverName: 'test',
      maxHeld: this.maxHeld,
      canStartAfter: this.canStartAfter,
      reservedPrefix,
      prefixBelow: (path) => (path === '/' ? 'root/' : `root${path}/`),
      pathOf: (key) => {
        const path = key.slice('root'.length);
        return findPathFault(path) === undefined && !key.startsWith(reservedPrefix.slice(0, -1)) ? path : undefined;
      },
      hasObject: async (path) => this.keys.includes(`root${path}`),
      listPage: async ({ prefix, isShallow, startAfter, token, maxKeys }) => {
        this.requests++;
        if (!this.canStartAfter) expect(startAfter).toBeUndefined();
        const names = this.keys.filter((key) => key.startsWith(prefix));
        const cut = (key: string) => {
          const end = isShallow ? key.indexOf('/', prefix.length) : -1;
          return end < 0 ? key : key.slice(0, end + 1);
        };
        const behind = token ?? startAfter ?? '';
        const all = [...new Set(names.map(cut))].sort().filter((name) => name > behind);
        const count =
          token === undefined && this.requests % 3 === 0 ? 0 : Math.min(this.pageKeys, maxKeys ?? this.pageKeys);
        const keys = all.slice(0, count).map((name) => ({ name, sizeBytes: 1, modTimeMs: 1 }));
        return { keys, token: all.length > keys.length ? (keys.at(-1)?.name ?? (behind || '\0')) : undefined };
      },
    };
  }
}

const name = fc.stringMatching(/^[ab.-]{1,3}$/).filter((text) => text !== '.' && text !== '..');
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => `/${names.join('/')}`);
/** Objects none of which is in another's way. */
const tree = fc
  .uniqueArray(path, { minLength: 1, maxLength: 40 })
  .map((paths) => paths.filter((one) => !paths.some((other) => other.startsWith(`${one}/`))));

function entriesOf(paths: readonly string[]): string[] {
  const entries = new Set(paths);
  for (const one of paths) {
    for (let end = one.lastIndexOf('/'); end > 0; end = one.lastIndexOf('/', end - 1)) entries.add(one.slice(0, end));
  }
  return [...entries].sort(comparePaths);
}

function walk(store: Store, top: string, startAfter?: string): Promise<string[]> {
  const options = startAfter === undefined ? {} : { startAfter };
  const found = new Removals().during((removals) => walkObjects(store.source, top, { ...options, removals }));
  return Array.fromAsync(found, (info) => info.path);
}

const ways = [true, false].flatMap((canStartAfter) =>
  [
    { pageKeys: 1, maxHeld: 0 },
    { pageKeys: 2, maxHeld: 1 },
    { pageKeys: 3, maxHeld: 3 },
    { pageKeys: 7, maxHeld: 2 },
    { pageKeys: 1000, maxHeld: 1000 },
  ].map((sizes) => ({ canStartAfter, ...sizes })),
);

describe('listings and walks of an object store', () => {
  it.each(ways)('are in the order of the contract, from anywhere: %o', { timeout: 60_000 }, async (way) => {
    await fc.assert(
      fc.asyncProperty(tree, path, fc.integer({ min: 0, max: 4 }), async (paths, startAfter, limit) => {
        const store = new Store(way);
        const foreign = [`${reservedPrefix}a/~b`, `${reservedPrefix}b`, 'root/a/', 'root/a b', 'root/~c', 'other/a'];
        store.keys = [...paths.map((one) => `root${one}`), ...foreign].sort();
        const expected = entriesOf(paths);
        expect(await walk(store, '/')).toEqual(expected);
        expect(await walk(store, '/', startAfter)).toEqual(expected.filter((one) => comparePaths(one, startAfter) > 0));
        const children = expected.filter((one) => one.lastIndexOf('/') === 0);
        const own = (found: string[]) => found.filter((one) => one !== '/a' || children.includes(one));
        expect(own(await Array.fromAsync(listChildren(store.source, '/', {})))).toEqual(children);
        const behind = children.filter((one) => comparePaths(one, startAfter) > 0);
        if (children.includes('/a')) {
          const page = await Array.fromAsync(listChildren(store.source, '/', { after: startAfter, limit }));
          expect(page).toEqual(behind.slice(0, limit));
        }
        const top = `/${startAfter.split('/')[1]}`;
        if (expected.some((one) => one.startsWith(`${top}/`))) {
          const below = expected.filter((one) => one.startsWith(`${top}/`));
          expect(await walk(store, top)).toEqual(below);
          expect(await walk(store, top, startAfter)).toEqual(below.filter((one) => comparePaths(one, startAfter) > 0));
        }
      }),
      { numRuns: 200 },
    );
  });

  it('begin behind a key, and go round what was told, where the store can', async () => {
    const store = new Store({ pageKeys: 10, maxHeld: 10, canStartAfter: true });
    const numbers = Array.from({ length: 1000 }, (_, index) => String(index).padStart(4, '0'));
    store.keys = ['a', 'b', 'b-1', 'c'].flatMap((directory) =>
      numbers.map((number) => `root/d/${directory}/${number}`),
    );
    expect(await Array.fromAsync(listChildren(store.source, '/d', { after: '/d/b', limit: 1 }))).toEqual(['/d/b-1']);
    expect(store.requests).toBeLessThan(4);
    store.requests = 0;
    expect((await walk(store, '/d', '/d/b/0999')).length).toBe(2002);
    // 200 pages are what there is to tell; `a` and `b` would be another 200.
    expect(store.requests).toBeLessThan(215);
    store.requests = 0;
    store.keys = numbers.map((number) => `root/d/app-${number}`);
    expect((await Array.fromAsync(listChildren(store.source, '/d', { limit: 5 }))).length).toBe(5);
    expect(store.requests).toBeLessThan(8);
  });

  it('throw for a directory that is not there, and not for one of which nothing is behind', async () => {
    for (const canStartAfter of [true, false]) {
      const store = new Store({ pageKeys: 2, maxHeld: 2, canStartAfter });
      store.keys = ['root/d/a', 'root/d/b'];
      expect(await walk(store, '/d', '/d/b')).toEqual([]);
      expect(await Array.fromAsync(listChildren(store.source, '/d', { after: '/e' }))).toEqual([]);
      expect(await Array.fromAsync(listChildren(store.source, '/d', { limit: 0 }))).toEqual([]);
      await expect(walk(store, '/x')).rejects.toBeInstanceOf(PathNotFoundError);
      await expect(walk(store, '/x', '/y')).rejects.toBeInstanceOf(PathNotFoundError);
      await expect(walk(store, '/d/a')).rejects.toMatchObject({ code: 'NOT_A_DIRECTORY' });
      await expect(Array.fromAsync(listChildren(store.source, '/x', { limit: 0 }))).rejects.toBeInstanceOf(
        PathNotFoundError,
      );
    }
  });

  it('ask again about what was removed ahead, and forget what was removed behind', async () => {
    const store = new Store({ pageKeys: 5000, maxHeld: 5000, canStartAfter: true });
    store.keys = Array.from({ length: 3000 }, (_, index) => `root/d/${String(index).padStart(4, '0')}`);
    const { source } = store;
    let asked = 0;
    const watched: KeySource = {
      ...source,
      hasObject: (one) => {
        asked++;
        return source.hasObject(one);
      },
    };
    const removals = new Removals();
    const told: string[] = [];
    for await (const info of removals.during((watch) => walkObjects(watched, '/d', { removals: watch }))) {
      told.push(info.path);
      // A collector of garbage: removes each as it comes, and once something that lies ahead.
      removals.note(info.path);
      if (told.length === 1000) {
        removals.note('/d/2000');
        store.keys = store.keys.filter((key) => key !== 'root/d/2000');
      }
    }
    expect(told.length).toBe(2999);
    expect(asked).toBe(1);
  });
});
