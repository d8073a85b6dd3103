import { NotADirectoryError, NotAFileError, PathNotFoundError } from '../errors.ts';
import { parentOf } from '../paths.ts';
import type { ConformanceCase } from './test-bench.ts';

/** Moves and deletes: what they touch, and what they leave alone. */
export const moveCases: readonly ConformanceCase[] = [
  {
    name: 'moves an object to where no directory was',
    run: async (bench) => {
      const [source, destination] = [bench.path(), bench.path('deep/down/object')];
      const content = bench.bytes(32);
      await bench.driver.putContent(source, content);
      await bench.driver.move(source, destination);
      await bench.expectContent(destination, content);
      await bench.expectError(bench.driver.getContent(source), PathNotFoundError, source);
    },
  },
  {
    name: 'moves a committed upload of a writer',
    run: async (bench) => {
      const [source, destination] = [bench.path(), bench.path()];
      const content = bench.bytes(bench.largeBytes);
      await bench.write(source, content);
      await bench.driver.move(source, destination);
      await bench.expectContent(destination, content);
    },
  },
  {
    name: 'moves over another object',
    run: async (bench) => {
      const [source, destination] = [bench.path(), bench.path()];
      const content = bench.bytes(32);
      await bench.driver.putContent(source, content);
      await bench.driver.putContent(destination, bench.bytes(64));
      await bench.driver.move(source, destination);
      await bench.expectContent(destination, content);
      await bench.expectError(bench.driver.stat(source), PathNotFoundError, source);
    },
  },
  {
    name: 'moves an object onto itself without harm',
    run: async (bench) => {
      const path = bench.path();
      const content = bench.bytes(32);
      await bench.driver.putContent(path, content);
      await bench.driver.move(path, path);
      await bench.expectContent(path, content);
      const missing = bench.path();
      await bench.expectError(bench.driver.move(missing, missing), PathNotFoundError, missing);
    },
  },
  {
    name: 'leaves the target alone when the source is missing',
    run: async (bench) => {
      const [source, destination] = [bench.path(), bench.path()];
      const content = bench.bytes(32);
      await bench.driver.putContent(destination, content);
      await bench.expectError(bench.driver.move(source, destination), PathNotFoundError, source);
      await bench.expectContent(destination, content);
    },
  },
  {
    name: 'leaves both alone when the target cannot be',
    run: async (bench) => {
      const [source, file] = [bench.path(), bench.path()];
      await bench.driver.putContent(source, Buffer.from('source'));
      await bench.driver.putContent(file, Buffer.from('file'));
      await bench.expectError(bench.driver.move(source, `${file}/below`), NotADirectoryError);
      await bench.expectError(bench.driver.move(source, parentOf(file)), NotAFileError);
      await bench.expectError(bench.driver.move(`${file}/foo`, `${file}/bar`), PathNotFoundError);
      await bench.expectContent(source, Buffer.from('source'));
      await bench.expectContent(file, Buffer.from('file'));
    },
  },
  {
    name: 'moves objects, not directories',
    run: async (bench) => {
      const path = bench.path();
      await bench.driver.putContent(path, Buffer.from('object'));
      await bench.expectError(bench.driver.move(parentOf(path), bench.path()), NotAFileError);
      await bench.expectContent(path, Buffer.from('object'));
    },
  },
  {
    name: 'deletes an object',
    run: async (bench) => {
      const path = bench.path();
      await bench.driver.putContent(path, bench.bytes(32));
      await bench.driver.delete(path);
      await bench.expectError(bench.driver.getContent(path), PathNotFoundError, path);
      await bench.expectError(bench.driver.delete(path), PathNotFoundError, path);
    },
  },
  {
    name: 'throws for deleting what is not there',
    run: async (bench) => {
      const path = bench.path();
      await bench.expectError(bench.driver.delete(path), PathNotFoundError, path);
      await bench.driver.putContent(path, bench.bytes(1));
      await bench.expectError(bench.driver.delete(`${path}/below`), PathNotFoundError, `${path}/below`);
      await bench.driver.stat(path);
    },
  },
  {
    name: 'deletes a directory with all that is below it',
    run: async (bench) => {
      const directory = parentOf(bench.path());
      const [first, ...others] = ['one', 'two', 'three/four/five'].map((name) => `${directory}/${name}`);
      for (const path of [first ?? '', ...others]) await bench.driver.putContent(path, bench.bytes(32));
      await bench.driver.delete(first ?? '');
      for (const path of others) bench.expect((await bench.driver.stat(path)).size).toBe(32);
      await bench.driver.delete(directory);
      for (const path of [directory, first ?? '', ...others]) {
        await bench.expectError(bench.driver.stat(path), PathNotFoundError, path);
      }
    },
  },
  {
    name: 'deletes only what is below, not what shares the beginning of the name',
    run: async (bench) => {
      const directory = parentOf(bench.path());
      const kept = ['xsuffix', 'dirsuffix/file', 'dir-2', 'x.y'].map((name) => `${directory}/${name}`);
      for (const path of [`${directory}/x`, `${directory}/dir/file`, ...kept]) {
        await bench.driver.putContent(path, bench.bytes(32));
      }
      await bench.driver.delete(`${directory}/x`);
      await bench.driver.delete(`${directory}/dir`);
      for (const path of kept) bench.expect((await bench.driver.stat(path)).size).toBe(32);
      await bench.expectError(bench.driver.stat(`${directory}/x`), PathNotFoundError);
      await bench.expectError(bench.driver.stat(`${directory}/dir/file`), PathNotFoundError);
    },
  },
  {
    name: 'frees the name of a directory whose objects are all deleted',
    run: async (bench) => {
      const path = bench.path('was/here/object');
      const directory = parentOf(parentOf(path));
      await bench.driver.putContent(path, Buffer.from('object'));
      await bench.driver.delete(path);
      await bench.driver.putContent(directory, Buffer.from('an object now'));
      await bench.expectContent(directory, Buffer.from('an object now'));
    },
  },
];
