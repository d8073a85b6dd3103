import { InvalidOffsetError, NotADirectoryError, PathNotFoundError } from '../errors.ts';
import { parentOf } from '../paths.ts';
import type { ConformanceCase } from './test-bench.ts';

const empty = Buffer.alloc(0);

/** Listings: order, pages, what shows. */
export const listCases: readonly ConformanceCase[] = [
  {
    name: 'lists the root when there is nothing',
    run: async (bench) => {
      bench.expect(await bench.list('/')).toEqual([]);
    },
  },
  {
    name: 'throws for a missing directory, at the first step',
    run: async (bench) => {
      const path = bench.path();
      const iterator = bench.driver.list(path)[Symbol.asyncIterator]();
      await bench.expectError(iterator.next(), PathNotFoundError, path);
    },
  },
  {
    name: 'throws for an object, and for what would be below one',
    run: async (bench) => {
      const path = bench.path();
      await bench.driver.putContent(path, empty);
      await bench.expectError(bench.list(path), NotADirectoryError, path);
      await bench.expectError(bench.list(`${path}/below`), PathNotFoundError, `${path}/below`);
    },
  },
  {
    name: 'lists direct children only, by their full paths',
    run: async (bench) => {
      const path = bench.path('parent/object');
      const parent = parentOf(path);
      const children = Array.from({ length: 50 }, (_, index) => `${parent}/file-${index}`).sort();
      await Promise.all(children.map((child) => bench.driver.putContent(child, bench.bytes(32))));
      await bench.driver.putContent(`${parent}/sub/one`, empty);
      await bench.driver.putContent(`${parent}/sub/two`, empty);
      bench.expect(await bench.list('/')).toEqual([parentOf(parent)]);
      bench.expect(await bench.list(parentOf(parent))).toEqual([parent]);
      bench.expect(await bench.list(parent)).toEqual([...children, `${parent}/sub`]);
    },
  },
  {
    name: 'orders by bytes: digits, capitals, small letters, and a directory by its name',
    run: async (bench) => {
      const directory = parentOf(bench.path());
      const names = ['-', '.a', '0', '10', '9', 'A', 'Z', '_', 'a', 'a-b', 'a.b', 'aa', 'z'];
      const withChild = new Set(['a', '9', 'Z']);
      for (const name of names.toReversed()) {
        await bench.driver.putContent(`${directory}/${name}${withChild.has(name) ? '/child' : ''}`, empty);
      }
      bench.expect(await bench.list(directory)).toEqual(names.map((name) => `${directory}/${name}`));
    },
  },
  {
    name: 'gives pages',
    run: async (bench) => {
      const directory = parentOf(bench.path());
      const children = ['a', 'b', 'c', 'd', 'e'].map((name) => `${directory}/${name}`);
      for (const child of children) await bench.driver.putContent(child, empty);
      const [, b, c, , e] = children;
      bench.expect(await bench.list(directory, { limit: 2 })).toEqual(children.slice(0, 2));
      bench.expect(await bench.list(directory, { after: b })).toEqual(children.slice(2));
      bench.expect(await bench.list(directory, { after: `${b}b`, limit: 1 })).toEqual([c]);
      bench.expect(await bench.list(directory, { after: e })).toEqual([]);
      bench.expect(await bench.list(directory, { limit: 0 })).toEqual([]);
      bench.expect(await bench.list(directory, { limit: 5 })).toEqual(children);
      bench.expect(await bench.list(directory, { after: directory })).toEqual(children);
      await bench.expectError(bench.list(directory, { limit: -1 }), InvalidOffsetError, directory);
    },
  },
  {
    name: 'lists more than a thousand children, in pages and at once',
    run: async (bench) => {
      const directory = parentOf(bench.path());
      const children = Array.from({ length: 1005 }, (_, index) => `${directory}/${String(index).padStart(5, '0')}`);
      await Promise.all(children.map((child) => bench.driver.putContent(child, empty)));
      bench.expect(await bench.list(directory)).toEqual(children);
      const paged: string[] = [];
      for (let page = await bench.list(directory, { limit: 400 }); page.length > 0; ) {
        paged.push(...page);
        page = await bench.list(directory, { limit: 400, after: paged.at(-1) });
      }
      bench.expect(paged).toEqual(children);
    },
  },
  {
    name: 'can be left early',
    run: async (bench) => {
      const directory = parentOf(bench.path());
      for (const name of ['a', 'b', 'c']) await bench.driver.putContent(`${directory}/${name}`, empty);
      for await (const child of bench.driver.list(directory)) {
        bench.expect(child).toBe(`${directory}/a`);
        break;
      }
    },
  },
];
