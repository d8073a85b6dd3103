import { InvalidPathError, NotADirectoryError, NotAFileError, PathNotFoundError } from '../errors.ts';
import { parentOf } from '../paths.ts';
import type { CallContext, StorageDriver } from '../storage-driver.ts';
import { type ConformanceCase, collect } from './test-bench.ts';

const invalidPaths = [
  '',
  'abc',
  '123.abc',
  '//bcd',
  '/abc_123/',
  '/a//b',
  '/.',
  '/..',
  '/a/../b',
  '/a/./b',
  '/a/..',
  '/a b',
  '/ä',
  '/a\n',
  '/a\0',
  '/a\\b',
  '/a%2fb',
  `/${'c'.repeat(256)}`,
  '/long'.repeat(205),
];

type Call = (driver: StorageDriver, path: string, context?: CallContext) => Promise<unknown>;

const objectCalls: Readonly<Record<string, Call>> = {
  getContent: (driver, path, context) => driver.getContent(path, context),
  putContent: (driver, path, context) => driver.putContent(path, Buffer.from('never'), context),
  reader: (driver, path, context) => driver.reader(path, { offset: 0 }, context),
  writer: (driver, path, context) => driver.writer(path, { append: false }, context),
  append: (driver, path, context) => driver.writer(path, { append: true }, context),
  'move from': (driver, path, context) => driver.move(path, '/target', context),
  delete: (driver, path, context) => driver.delete(path, context),
  redirectURL: (driver, path, context) => driver.redirectURL(path, { method: 'GET' }, context),
};

const directoryCalls: Readonly<Record<string, Call>> = {
  stat: (driver, path, context) => driver.stat(path, context),
  list: (driver, path, context) => collect(driver.list(path, {}, context)),
  walk: (driver, path, context) => collect(driver.walk(path, {}, context)),
};

/** What every call refuses, and what stands in another's way. */
export const errorCases: readonly ConformanceCase[] = [
  {
    name: 'every call refuses an invalid path',
    run: async (bench) => {
      for (const path of invalidPaths) {
        for (const call of [...Object.values(objectCalls), ...Object.values(directoryCalls)]) {
          await bench.expectError(call(bench.driver, path), InvalidPathError, path);
        }
      }
      await bench.driver.putContent('/source', Buffer.from('stays'));
      for (const path of [...invalidPaths, '/']) {
        await bench.expectError(bench.driver.move('/source', path), InvalidPathError, path);
      }
      await bench.expectContent('/source', Buffer.from('stays'));
    },
  },
  {
    name: 'the root is no object',
    run: async (bench) => {
      await bench.driver.putContent('/kept', Buffer.from('kept'));
      for (const call of Object.values(objectCalls)) {
        await bench.expectError(call(bench.driver, '/'), InvalidPathError, '/');
      }
      for (const call of Object.values(directoryCalls)) await call(bench.driver, '/');
      bench.expect(await bench.list('/')).toEqual(['/kept']);
    },
  },
  {
    name: 'every call ends at once with the reason of a signal that has aborted before',
    run: async (bench) => {
      const reason = new Error('too late');
      const context = { signal: AbortSignal.abort(reason) };
      await bench.driver.putContent('/there', Buffer.from('there'));
      for (const call of [...Object.values(objectCalls), ...Object.values(directoryCalls)]) {
        const error = await call(bench.driver, '/there', context).catch((thrown: unknown) => thrown);
        bench.expect(error).toBe(reason);
      }
      await bench.expectContent('/there', Buffer.from('there'));
      bench.expect(await bench.list('/')).toEqual(['/there']);
    },
  },
  {
    name: 'nothing can be put or written below an object',
    run: async (bench) => {
      const file = bench.path();
      await bench.driver.putContent(file, Buffer.from('file'));
      for (const path of [`${file}/child`, `${file}/child/of/child`]) {
        await bench.expectError(bench.driver.putContent(path, Buffer.from('x')), NotADirectoryError, path);
        await bench.expectError(bench.write(path, Buffer.from('x')), NotADirectoryError, path);
        await bench.expectError(bench.driver.getContent(path), PathNotFoundError, path);
        await bench.expectError(bench.driver.stat(path), PathNotFoundError, path);
      }
      await bench.expectContent(file, Buffer.from('file'));
    },
  },
  {
    name: 'nothing can be put or written where objects are below',
    run: async (bench) => {
      const path = bench.path('directory/object');
      const directory = parentOf(path);
      await bench.driver.putContent(path, Buffer.from('object'));
      await bench.expectError(bench.driver.putContent(directory, Buffer.from('x')), NotAFileError, directory);
      await bench.expectError(bench.write(directory, Buffer.from('x')), NotAFileError, directory);
      await bench.expectContent(path, Buffer.from('object'));
    },
  },
  {
    name: 'a writer in whose way something has come keeps its bytes and shows nothing',
    run: async (bench) => {
      const directory = parentOf(bench.path());
      const path = `${directory}/contested`;
      const writer = await bench.driver.writer(path, { append: false });
      await writer.write(Buffer.from('bytes'));
      await bench.driver.putContent(`${path}/child`, Buffer.from('child'));
      await bench.expectError(writer.commit(), NotAFileError, path);
      await writer.close();
      bench.expect(await bench.list(directory)).toEqual([path]);
      await bench.driver.move(`${path}/child`, `${directory}/elsewhere`);
      await using next = await bench.driver.writer(path, { append: true });
      await next.commit();
      await bench.expectContent(path, Buffer.from('bytes'));
    },
  },
];
