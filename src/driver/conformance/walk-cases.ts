import { NotADirectoryError, PathNotFoundError } from '../errors.ts';
import { isWithin, parentOf } from '../paths.ts';
import type { ConformanceCase, TestBench } from './test-bench.ts';

const files = ['a-suffix/one', 'a/b/one', 'a/b/two', 'a/c', 'a.b', 'z'];

// Depth first: what is below `a` comes before `a-suffix` and `a.b`, although their bytes come before `a/`.
const inOrder = ['a', 'a/b', 'a/b/one', 'a/b/two', 'a/c', 'a-suffix', 'a-suffix/one', 'a.b', 'z'];

async function makeTree(bench: TestBench): Promise<string> {
  const top = parentOf(bench.path());
  for (const file of files) await bench.driver.putContent(`${top}/${file}`, Buffer.from(file));
  return top;
}

/** Walks: order, beginning, changes on the way. */
export const walkCases: readonly ConformanceCase[] = [
  {
    name: 'goes through everything below a path, depth first',
    run: async (bench) => {
      const top = await makeTree(bench);
      const found = await bench.walk(top);
      bench.expect(found.map((info) => info.path)).toEqual(inOrder.map((path) => `${top}/${path}`));
      for (const info of found) {
        const name = info.path.slice(top.length + 1);
        bench.expect([info.isDirectory, info.size]).toEqual(files.includes(name) ? [false, name.length] : [true, 0]);
      }
      bench.expect((await bench.walk('/')).map((info) => info.path)).toEqual([top, ...found.map((info) => info.path)]);
    },
  },
  {
    name: 'begins behind a path, whether it is there or not',
    run: async (bench) => {
      const top = await makeTree(bench);
      const walkAfter = async (after: string) =>
        (await bench.walk(top, { startAfter: `${top}/${after}` })).map((info) => info.path.slice(top.length + 1));
      for (const [index, path] of inOrder.entries()) {
        bench.expect(await walkAfter(path), `after ${path}`).toEqual(inOrder.slice(index + 1));
      }
      bench.expect(await walkAfter('a/b/oneself')).toEqual(inOrder.slice(3));
      bench.expect(await walkAfter('a/b/one/below')).toEqual(inOrder.slice(3));
      bench.expect(await walkAfter('A')).toEqual(inOrder);
      bench.expect(await walkAfter('zz')).toEqual([]);
      bench.expect((await bench.walk(top, { startAfter: '/' })).length).toBe(inOrder.length);
    },
  },
  {
    name: 'throws for a missing directory, and for an object',
    run: async (bench) => {
      const path = bench.path();
      await bench.expectError(bench.walk(path), PathNotFoundError, path);
      await bench.driver.putContent(path, Buffer.from('object'));
      await bench.expectError(bench.walk(path), NotADirectoryError, path);
      bench.expect((await bench.walk('/')).length).toBe(2);
    },
  },
  {
    name: 'leaves out what vanishes on the way',
    run: async (bench) => {
      const top = await makeTree(bench);
      const found: string[] = [];
      for await (const info of bench.driver.walk(top)) {
        found.push(info.path);
        if (info.path === `${top}/a`) await bench.driver.delete(`${top}/a/b`);
      }
      const gone = `${top}/a/b`;
      bench.expect(found.filter((path) => isWithin(path, gone))).toEqual([]);
      bench.expect(found.filter((path) => path === `${top}/a/c` || path === `${top}/z`).length).toBe(2);
    },
  },
  {
    name: 'can be left early, and ends with the reason of an aborting signal',
    run: async (bench) => {
      const top = await makeTree(bench);
      for await (const info of bench.driver.walk(top)) {
        bench.expect(info.path).toBe(`${top}/a`);
        break;
      }
      const controller = new AbortController();
      const reason = new Error('enough');
      let seen: unknown;
      let count = 0;
      try {
        for await (const _ of bench.driver.walk(top, {}, { signal: controller.signal })) {
          count++;
          controller.abort(reason);
        }
      } catch (error) {
        seen = error;
      }
      bench.expect(seen).toBe(reason);
      bench.expect(count).toBe(1);
    },
  },
];
