import { createHash } from 'node:crypto';
import { PathNotFoundError } from '../errors.ts';
import { parentOf } from '../paths.ts';
import type { ConformanceCase } from './test-bench.ts';

/** Many calls at once. */
export const concurrencyCases: readonly ConformanceCase[] = [
  {
    name: 'readers of one object do not disturb each other',
    run: async (bench) => {
      const path = bench.path();
      const content = bench.bytes(bench.largeBytes * 2);
      await bench.driver.putContent(path, content);
      const reads = Array.from({ length: 10 }, async () => {
        const offset = Math.floor(Math.random() * content.length);
        const read = await bench.read(path, { offset });
        bench.expect(read.equals(content.subarray(offset)), `bytes from ${offset}`).toBe(true);
      });
      await Promise.all(reads);
    },
  },
  {
    name: 'writers to different paths do not disturb each other',
    run: async (bench) => {
      const directory = parentOf(bench.path());
      const writes = Array.from({ length: 16 }, async (_, index) => {
        const content = bench.bytes(Math.floor(bench.largeBytes / 4) + index);
        await bench.write(`${directory}/${index}/data`, content);
        const read = await bench.read(`${directory}/${index}/data`);
        const [wanted, got] = [content, read].map((bytes) => createHash('sha256').update(bytes).digest('hex'));
        bench.expect(got).toBe(wanted);
      });
      await Promise.all(writes);
      bench.expect((await bench.list(directory)).length).toBe(16);
    },
  },
  {
    name: 'puts to one path end with one of the values, and readers see no mixture',
    run: async (bench) => {
      const path = bench.path();
      const values = Array.from({ length: 20 }, (_, index) => Buffer.alloc(10_000 + index, index));
      const isWhole = (content: Buffer) => values[content[0] ?? -1]?.equals(content);
      await bench.driver.putContent(path, values[0] ?? Buffer.alloc(0));
      let done = false;
      const reading = (async () => {
        while (!done) bench.expect(isWhole(await bench.driver.getContent(path)), 'a whole value').toBe(true);
      })();
      await Promise.all(values.map((value) => bench.driver.putContent(path, value))).finally(() => {
        done = true;
      });
      await reading;
      bench.expect(isWhole(await bench.driver.getContent(path)), 'one of the values').toBe(true);
    },
  },
  {
    name: 'writers that begin anew at one path end with one of the values',
    run: async (bench) => {
      const path = bench.path();
      const values = Array.from({ length: 8 }, (_, index) => Buffer.alloc(50_000 + index, index));
      await Promise.all(values.map((value) => bench.write(path, value)));
      const content = await bench.driver.getContent(path);
      bench.expect(values[content[0] ?? -1]?.equals(content)).toBe(true);
    },
  },
  {
    name: 'a directory can be deleted while objects are put into it',
    run: async (bench) => {
      const directory = parentOf(bench.path());
      let done = false;
      const deleting = (async () => {
        while (!done) {
          await bench.driver.delete(directory).catch((error: unknown) => {
            if (!(error instanceof PathNotFoundError)) throw error;
          });
        }
      })();
      const puts = Array.from({ length: 60 }, (_, index) =>
        bench.driver.putContent(`${directory}/deep/${index % 7}/${index}`, Buffer.from('object')),
      );
      await Promise.all(puts).finally(() => {
        done = true;
      });
      await deleting;
      const path = `${directory}/deep/at-last`;
      await bench.driver.putContent(path, Buffer.from('at last'));
      await bench.expectContent(path, Buffer.from('at last'));
    },
  },
  {
    name: 'of many moves of one object, one succeeds',
    run: async (bench) => {
      const source = bench.path();
      const directory = parentOf(bench.path());
      await bench.driver.putContent(source, Buffer.from('once'));
      const results = await Promise.allSettled(
        Array.from({ length: 10 }, (_, index) => bench.driver.move(source, `${directory}/${index}`)),
      );
      for (const result of results) {
        if (result.status === 'rejected') bench.expect(result.reason).toBeInstanceOf(PathNotFoundError);
      }
      bench.expect(results.filter((result) => result.status === 'fulfilled').length).toBe(1);
      bench.expect((await bench.list(directory)).length).toBe(1);
    },
  },
];
