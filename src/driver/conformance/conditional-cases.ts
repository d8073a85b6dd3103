import { NotAFileError, PathNotFoundError, PreconditionFailedError, UnsupportedError } from '../errors.ts';
import type { ConformanceCase, TestBench } from './test-bench.ts';

async function revisionAt(bench: TestBench, path: string): Promise<string> {
  const { revision } = await bench.driver.stat(path);
  bench.expect(typeof revision, `the revision of ${path}`).toBe('string');
  return revision ?? '';
}

/** How many of these calls have happened; the others must have been refused for what they found. */
async function countDone(bench: TestBench, calls: readonly Promise<void>[]): Promise<number> {
  const results = await Promise.allSettled(calls);
  for (const result of results) {
    if (result.status === 'rejected') bench.expect(result.reason).toBeInstanceOf(PreconditionFailedError);
  }
  return results.filter(({ status }) => status === 'fulfilled').length;
}

/** Puts that depend on what is there; for a driver with `conditionalPut`. */
export const conditionalCases: readonly ConformanceCase[] = [
  {
    name: 'put what is not there yet, and nothing over what is there',
    run: async (bench) => {
      const path = bench.path();
      await bench.driver.putContentIf(path, Buffer.from('first'), { ifAbsent: true });
      const refused = bench.driver.putContentIf(path, Buffer.from('second'), { ifAbsent: true });
      await bench.expectError(refused, PreconditionFailedError, path);
      await bench.expectContent(path, Buffer.from('first'));
    },
  },
  {
    name: 'put over the object that was looked at, once',
    run: async (bench) => {
      const path = bench.path();
      await bench.driver.putContent(path, Buffer.from('old'));
      const ifMatch = await revisionAt(bench, path);
      await bench.driver.putContentIf(path, Buffer.from('new'), { ifMatch });
      await bench.expectContent(path, Buffer.from('new'));
      const refused = bench.driver.putContentIf(path, Buffer.from('late'), { ifMatch });
      await bench.expectError(refused, PreconditionFailedError, path);
      await bench.expectContent(path, Buffer.from('new'));
    },
  },
  {
    name: 'name an object anew with every write, of the same bytes as well',
    run: async (bench) => {
      const path = bench.path();
      const revisions = new Set<string>();
      for (const way of ['put', 'put', 'write', 'put']) {
        const content = Buffer.from('the same');
        if (way === 'put') await bench.driver.putContent(path, content);
        else await bench.write(path, content);
        revisions.add(await revisionAt(bench, path));
      }
      bench.expect(revisions.size).toBe(4);
    },
  },
  {
    name: 'know the revision of an object after a restart',
    run: async (bench) => {
      const path = bench.path();
      await bench.driver.putContent(path, Buffer.from('old'));
      const ifMatch = await revisionAt(bench, path);
      const driver = await bench.afterRestart();
      await driver.putContentIf(path, Buffer.from('new'), { ifMatch });
      await bench.expectContent(path, Buffer.from('new'));
    },
  },
  {
    name: 'put nothing over an object that has gone',
    run: async (bench) => {
      const path = bench.path();
      await bench.driver.putContent(path, Buffer.from('old'));
      const ifMatch = await revisionAt(bench, path);
      await bench.driver.delete(path);
      const refused = bench.driver.putContentIf(path, Buffer.from('new'), { ifMatch });
      await bench.expectError(refused, PreconditionFailedError, path);
      await bench.expectError(bench.driver.stat(path), PathNotFoundError, path);
    },
  },
  {
    name: 'put no object where a directory is',
    run: async (bench) => {
      const path = bench.path();
      await bench.driver.putContent(`${path}/below`, Buffer.from('x'));
      const refused = bench.driver.putContentIf(path, Buffer.from('new'), { ifAbsent: true });
      await bench.expectError(refused, NotAFileError, path);
    },
  },
  {
    name: 'let one of many first puts happen',
    run: async (bench) => {
      const path = bench.path();
      const contents = Array.from({ length: 10 }, (_, index) => Buffer.from(`value ${index}`));
      const calls = contents.map((content) => bench.driver.putContentIf(path, content, { ifAbsent: true }));
      bench.expect(await countDone(bench, calls)).toBe(1);
      const content = await bench.driver.getContent(path);
      bench.expect(contents.some((one) => one.equals(content))).toBe(true);
    },
  },
  {
    name: 'let one of many puts over the same object happen, so that counting up together loses nothing',
    run: async (bench) => {
      const path = bench.path();
      await bench.driver.putContent(path, Buffer.from('0'));
      const countUp = async () => {
        for (let attempt = 0; attempt < 200; attempt++) {
          const ifMatch = await revisionAt(bench, path);
          const count = Number((await bench.driver.getContent(path)).toString());
          // What was read may be of a later revision than the one that was looked at; then the put is refused.
          const put = bench.driver.putContentIf(path, Buffer.from(String(count + 1)), { ifMatch });
          if ((await countDone(bench, [put])) === 1) return;
        }
        bench.expect('200 attempts').toBe('enough');
      };
      await Promise.all(Array.from({ length: 5 }, countUp));
      await bench.expectContent(path, Buffer.from('5'));
    },
  },
];

/** For a driver without `conditionalPut`. */
export const unconditionalCases: readonly ConformanceCase[] = [
  {
    name: 'refuse conditional puts in words',
    run: async (bench) => {
      const path = bench.path();
      const refused = bench.driver.putContentIf(path, Buffer.from('new'), { ifAbsent: true });
      await bench.expectError(refused, UnsupportedError, path);
    },
  },
];
