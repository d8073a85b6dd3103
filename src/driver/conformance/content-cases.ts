import { PathNotFoundError } from '../errors.ts';
import type { ConformanceCase, TestBench } from './test-bench.ts';

// Distribution's list of paths that a driver must take (TestValidPaths).
const validPaths = [
  '/a',
  '/2',
  '/aa',
  '/a.a',
  '/0-9/abcdefg',
  '/abcdefg/z.75',
  '/abc/1.2.3.4.5-6_zyx/123.z/4',
  '/docker/docker-registry',
  '/123.abc',
  '/abc./abc',
  '/.abc',
  '/a--b',
  '/a-.b',
  '/_.abc',
  '/Docker/docker-registry',
  '/Abc/Cba',
  '/.../...a',
];

const contents: readonly (readonly [name: string, content: Buffer])[] = [
  ['one byte', Buffer.from('a')],
  ['UTF-8', Buffer.from([0xc3, 0x9f])],
  ['bytes that are no UTF-8', Buffer.from([0x80, 0x80, 0x80, 0x80])],
  ['zero bytes', Buffer.alloc(32)],
  ['no byte', Buffer.alloc(0)],
];

/** Whole objects: put, get, stat. */
export const contentCases: readonly ConformanceCase[] = [
  ...contents.map(([name, content]) => ({
    name: `gives back what was put: ${name}`,
    run: async (bench: TestBench) => {
      const path = bench.path();
      await bench.driver.putContent(path, content);
      await bench.expectContent(path, content);
    },
  })),
  {
    name: 'gives back what was put: a megabyte',
    run: async (bench) => {
      const path = bench.path();
      const content = bench.bytes(1024 * 1024);
      await bench.driver.putContent(path, content);
      await bench.expectContent(path, content);
    },
  },
  {
    name: 'takes every valid path',
    run: async (bench) => {
      for (const path of validPaths) {
        const content = bench.bytes(64);
        await bench.driver.putContent(path, content);
        await bench.expectContent(path, content);
        await bench.driver.delete(path);
      }
    },
  },
  {
    name: 'takes components of 255 bytes and paths of 1024',
    run: async (bench) => {
      const long = 'c'.repeat(255);
      const path = `/${long}/${long}/${long}/${long}`;
      await bench.driver.putContent(path, Buffer.from('deep'));
      await bench.expectContent(path, Buffer.from('deep'));
      await bench.leaveUnfinished(path, Buffer.from('unfinished'));
      bench.expect(path.length).toBe(1024);
    },
  },
  {
    name: 'throws for an object that is not there',
    run: async (bench) => {
      const path = bench.path();
      await bench.expectError(bench.driver.getContent(path), PathNotFoundError, path);
    },
  },
  {
    name: 'replaces the whole of a longer object',
    run: async (bench) => {
      const path = bench.path();
      await bench.driver.putContent(path, bench.bytes(4096));
      const shorter = bench.bytes(2048);
      await bench.driver.putContent(path, shorter);
      await bench.expectContent(path, shorter);
      await bench.driver.putContent(path, Buffer.alloc(0));
      await bench.expectContent(path, Buffer.alloc(0));
    },
  },
  {
    name: 'keeps its own copy of what was put, and gives out copies',
    run: async (bench) => {
      const path = bench.path();
      const given = Buffer.from('original');
      await bench.driver.putContent(path, given);
      given.fill(0);
      (await bench.driver.getContent(path)).fill(0);
      (await bench.read(path)).fill(0);
      await bench.expectContent(path, Buffer.from('original'));
    },
  },
  {
    name: 'tells the facts about an object and a directory',
    run: async (bench) => {
      const path = bench.path('parent/object');
      const parent = path.slice(0, path.lastIndexOf('/'));
      await bench.expectError(bench.driver.stat(parent), PathNotFoundError, parent);
      await bench.expectError(bench.driver.stat(path), PathNotFoundError, path);
      await bench.driver.putContent(path, bench.bytes(4096));

      const object = await bench.driver.stat(path);
      bench.expect([object.path, object.size, object.isDirectory]).toEqual([path, 4096, false]);
      const directory = await bench.driver.stat(parent);
      bench.expect([directory.path, directory.size, directory.isDirectory]).toEqual([parent, 0, true]);
      const root = await bench.driver.stat('/');
      bench.expect([root.path, root.isDirectory]).toEqual(['/', true]);
    },
  },
  {
    name: 'advances the modification time whenever an object is written',
    run: async (bench) => {
      const path = bench.path();
      const other = bench.path();
      const ways = [
        () => bench.driver.putContent(path, Buffer.from('put')),
        () => bench.driver.putContent(path, Buffer.from('again')),
        () => bench.write(path, Buffer.from('written')),
        () => bench.driver.move(other, path),
        () => bench.driver.putContent(path, Buffer.from('at last')),
      ];
      await bench.driver.putContent(other, Buffer.from('moved'));
      let lastMs = 0;
      for (const way of ways) {
        await way();
        const { modTime } = await bench.driver.stat(path);
        bench.expect(modTime.getTime()).toBeGreaterThan(lastMs);
        lastMs = modTime.getTime();
      }
    },
  },
  {
    name: 'keeps objects over a restart',
    run: async (bench) => {
      const path = bench.path();
      const content = bench.bytes(1000);
      await bench.driver.putContent(path, content);
      const restarted = await bench.afterRestart();
      bench.expect((await restarted.getContent(path)).equals(content)).toBe(true);
    },
  },
  {
    name: 'redirects to where the object can be read, or not at all',
    run: async (bench) => {
      const path = bench.path();
      const content = bench.bytes(32);
      await bench.driver.putContent(path, content);
      const url = await bench.driver.redirectURL(path, { method: 'GET' });
      if (url === undefined) return;
      bench.expect(bench.driver.capabilities.redirect).toBe(true);
      const response = await fetch(url);
      bench.expect(Buffer.from(await response.arrayBuffer()).equals(content)).toBe(true);
      const headUrl = await bench.driver.redirectURL(path, { method: 'HEAD' });
      if (headUrl === undefined) return;
      const head = await fetch(headUrl, { method: 'HEAD' });
      bench.expect([head.status, head.headers.get('content-length')]).toEqual([200, '32']);
    },
  },
];
