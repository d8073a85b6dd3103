import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { InvalidOffsetError, NotAFileError, PathNotFoundError } from '../errors.ts';
import { parentOf } from '../paths.ts';
import type { ConformanceCase } from './test-bench.ts';

/** Readers: ranges, ends, aborts. */
export const readerCases: readonly ConformanceCase[] = [
  {
    name: 'read from an offset to the end, or a length of it',
    run: async (bench) => {
      const path = bench.path();
      const content = bench.bytes(96);
      await bench.driver.putContent(path, content);
      for (const offset of [0, 1, 32, 64, 95]) {
        bench.expect(await bench.read(path, { offset })).toEqual(content.subarray(offset));
        bench.expect(await bench.read(path, { offset, length: 20 })).toEqual(content.subarray(offset, offset + 20));
      }
      bench.expect(await bench.read(path, { offset: 5, length: 0 })).toEqual(Buffer.alloc(0));
      bench.expect(await bench.read(path, { offset: 0, length: 1000 })).toEqual(content);
    },
  },
  {
    name: 'are empty at and past the end',
    run: async (bench) => {
      const path = bench.path();
      await bench.driver.putContent(path, bench.bytes(96));
      for (const offset of [96, 97, 10_000_000, Number.MAX_SAFE_INTEGER]) {
        bench.expect((await bench.read(path, { offset })).length).toBe(0);
        bench.expect((await bench.read(path, { offset, length: 10 })).length).toBe(0);
      }
    },
  },
  {
    name: 'refuse offsets and lengths that are none',
    run: async (bench) => {
      const path = bench.path();
      await bench.driver.putContent(path, bench.bytes(32));
      for (const wrong of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
        const error = await bench.expectError(bench.driver.reader(path, { offset: wrong }), InvalidOffsetError, path);
        bench.expect((error as InvalidOffsetError).offset).toEqual(wrong);
        await bench.expectError(bench.driver.reader(path, { offset: 0, length: wrong }), InvalidOffsetError, path);
      }
    },
  },
  {
    name: 'throw for a missing object before there is a stream',
    run: async (bench) => {
      const path = bench.path();
      await bench.expectError(bench.driver.reader(path, { offset: 0 }), PathNotFoundError, path);
      await bench.expectError(bench.driver.reader(path, { offset: 64 }), PathNotFoundError, path);
    },
  },
  {
    name: 'throw for a directory',
    run: async (bench) => {
      const path = bench.path();
      await bench.driver.putContent(path, bench.bytes(1));
      const directory = parentOf(path);
      await bench.expectError(bench.driver.reader(directory, { offset: 0 }), NotAFileError, directory);
      await bench.expectError(bench.driver.getContent(directory), NotAFileError, directory);
    },
  },
  {
    name: 'give the object as it was opened while it is replaced or deleted',
    run: async (bench) => {
      const path = bench.path();
      const old = bench.bytes(bench.largeBytes);
      await bench.driver.putContent(path, old);
      const first = await bench.driver.reader(path, { offset: 0 });
      const second = await bench.driver.reader(path, { offset: 1 });
      await bench.driver.putContent(path, bench.bytes(bench.largeBytes));
      bench.expect((await buffer(first)).equals(old)).toBe(true);
      await bench.driver.delete(path);
      bench.expect((await buffer(second)).equals(old.subarray(1))).toBe(true);
    },
  },
  {
    name: 'can be left early, any number of times',
    run: async (bench) => {
      const path = bench.path();
      await bench.driver.putContent(path, bench.bytes(bench.largeBytes));
      for (let round = 0; round < 50; round++) {
        const stream = await bench.driver.reader(path, { offset: 0 });
        if (round % 2 === 0) await once(stream, 'readable');
        stream.destroy();
        if (!stream.closed) await once(stream, 'close');
      }
      bench.expect((await bench.read(path)).length).toBe(bench.largeBytes);
    },
  },
  {
    name: 'end with the reason of the signal that aborts them',
    run: async (bench) => {
      const path = bench.path();
      await bench.driver.putContent(path, bench.bytes(bench.largeBytes));
      const controller = new AbortController();
      const stream = await bench.driver.reader(path, { offset: 0 }, { signal: controller.signal });
      const reason = new Error('the client has gone');
      let seen: unknown;
      let received = 0;
      try {
        for await (const chunk of stream) {
          received += chunk.length;
          controller.abort(reason);
        }
      } catch (error) {
        seen = error;
      }
      bench.expect(seen).toBe(reason);
      bench.expect(bench.largeBytes).toBeGreaterThan(received);
    },
  },
];
