import { buffer } from 'node:stream/consumers';
import { AppError } from '../../core/index.ts';
import { ConflictError, InvalidPathError, PathNotFoundError, UnsupportedError } from '../errors.ts';
import { digestOf, RepositoryPaths } from './registry-paths.ts';
import { type ConformanceCase, collect, type TestBench } from './test-bench.ts';

const STARTED_AT = Buffer.from('2026-01-01T00:00:00Z');

/** A repository with what is done to it again and again. */
class Scene {
  readonly paths = new RepositoryPaths();
  readonly context = { repository: this.paths.repository };
  readonly bench: TestBench;

  constructor(bench: TestBench) {
    this.bench = bench;
  }

  async begin(id: string): Promise<void> {
    await this.bench.driver.putContent(this.paths.startedAt(id), STARTED_AT, this.context);
  }

  /** Adds bytes to an upload, as one request of a client does. */
  async append(id: string, bytes: Uint8Array, { first = false, driver = this.bench.driver } = {}): Promise<void> {
    const path = this.paths.uploadData(id);
    await using writer = await driver.writer(path, { append: !first }, this.context);
    const before = writer.size;
    await writer.write(bytes);
    this.bench.expect(writer.size).toBe(before + bytes.length);
  }

  /** Ends an upload as the blob of this digest, and links it. */
  async finish(id: string, digest: string): Promise<void> {
    const { driver } = this.bench;
    const path = this.paths.uploadData(id);
    {
      await using writer = await driver.writer(path, { append: true }, this.context);
      await writer.commit();
    }
    await driver.move(path, this.paths.blob(digest), this.context);
    await driver.putContent(this.paths.layerLink(digest), Buffer.from(digest), this.context);
  }

  async push(bytes: Uint8Array): Promise<string> {
    const digest = digestOf(bytes);
    await this.begin('push');
    await this.append('push', bytes, { first: true });
    await this.finish('push', digest);
    return digest;
  }

  async read(digest: string, range: { offset: number; length?: number } = { offset: 0 }): Promise<Buffer> {
    return buffer(await this.bench.driver.reader(this.paths.blob(digest), range, this.context));
  }

  expectNotFound(result: Promise<unknown>): Promise<unknown> {
    return this.bench.expectError(result, PathNotFoundError);
  }
}

/**
 * For a driver that takes only paths of the registry's layout and verifies blobs by itself (`anyPath: false`,
 * `verifiesBlobs: true`), such as `p2p`. Cases use repositories of their own; what they make stays.
 */
export const contentAddressedCases: readonly ConformanceCase[] = [
  ...[0, 1, 100_000].map((length) => ({
    name: `make a blob of an upload of ${length} bytes, and read all and parts of it`,
    run: async (bench: TestBench) => {
      const scene = new Scene(bench);
      const bytes = bench.bytes(length);
      const digest = await scene.push(bytes);
      bench.expect((await scene.read(digest)).equals(bytes)).toBe(true);
      const middle = Math.floor(length / 2);
      const part = await scene.read(digest, { offset: middle, length: 10 });
      bench.expect(part.equals(bytes.subarray(middle, middle + 10))).toBe(true);
      bench.expect((await scene.read(digest, { offset: length })).length).toBe(0);
      bench.expect((await bench.driver.stat(scene.paths.blob(digest), scene.context)).size).toBe(length);
    },
  })),
  {
    name: 'take an upload in chunks, and go on with it after a restart',
    run: async (bench) => {
      const scene = new Scene(bench);
      const bytes = bench.bytes(3000);
      await scene.begin('chunks');
      await scene.append('chunks', bytes.subarray(0, 1000), { first: true });
      await scene.append('chunks', bytes.subarray(1000, 2000));
      await scene.append('chunks', bytes.subarray(2000), { driver: await bench.afterRestart() });
      const digest = digestOf(bytes);
      await scene.finish('chunks', digest);
      bench.expect((await scene.read(digest)).equals(bytes)).toBe(true);
    },
  },
  {
    name: 'make no blob of bytes that have another digest',
    run: async (bench) => {
      const scene = new Scene(bench);
      const wrong = digestOf(Buffer.from(`not these ${scene.paths.repository}`));
      await scene.begin('wrong');
      await scene.append('wrong', bench.bytes(1000), { first: true });
      const error = await scene.finish('wrong', wrong).catch((thrown: unknown) => thrown);
      bench.expect(error).toBeInstanceOf(AppError);
      bench.expect((error as AppError).code).toBe('DIGEST_MISMATCH');
      await scene.expectNotFound(bench.driver.stat(scene.paths.blob(wrong), scene.context));
    },
  },
  {
    name: 'show nothing of an upload as a blob before it is one',
    run: async (bench) => {
      const scene = new Scene(bench);
      const bytes = bench.bytes(1000);
      await scene.begin('hidden');
      await scene.append('hidden', bytes, { first: true });
      await scene.expectNotFound(bench.driver.stat(scene.paths.blob(digestOf(bytes)), scene.context));
    },
  },
  {
    name: 'refuse a second writer while one appends, and know when an upload began',
    run: async (bench) => {
      const scene = new Scene(bench);
      await scene.begin('two');
      await scene.append('two', bench.bytes(10), { first: true });
      const path = scene.paths.uploadData('two');
      await using writer = await bench.driver.writer(path, { append: true }, scene.context);
      const second = bench.driver.writer(path, { append: true }, scene.context);
      await bench.expectError(second, ConflictError, path);
      bench.expect(writer.size).toBe(10);
      const startedAt = await bench.driver.getContent(scene.paths.startedAt('two'), scene.context);
      bench.expect(startedAt.equals(STARTED_AT)).toBe(true);
    },
  },
  {
    name: 'drop an upload with all that belongs to it',
    run: async (bench) => {
      const scene = new Scene(bench);
      await scene.begin('dropped');
      await scene.append('dropped', bench.bytes(10), { first: true });
      await bench.driver.delete(scene.paths.upload('dropped'), scene.context);
      const path = scene.paths.uploadData('dropped');
      await scene.expectNotFound(bench.driver.writer(path, { append: true }, scene.context));
      await scene.expectNotFound(bench.driver.getContent(scene.paths.startedAt('dropped'), scene.context));
    },
  },
  {
    name: 'keep a manifest under a tag, move the tag, and take it away',
    run: async (bench) => {
      const scene = new Scene(bench);
      const { driver } = bench;
      const { paths, context } = scene;
      const digests: string[] = [];
      for (const version of [1, 2]) {
        const bytes = manifestOf(version);
        const digest = digestOf(bytes);
        digests.push(digest);
        await driver.putContent(paths.blob(digest), bytes, context);
        await driver.putContent(paths.revisionLink(digest), Buffer.from(digest), context);
        await driver.putContent(paths.tagIndexLink('v1', digest), Buffer.from(digest), context);
        await driver.putContent(paths.tagLink('v1'), Buffer.from(digest), context);
        bench.expect((await driver.getContent(paths.tagLink('v1'), context)).toString()).toBe(digest);
        bench.expect((await driver.getContent(paths.blob(digest), context)).equals(bytes)).toBe(true);
      }
      bench.expect(await collect(driver.list(paths.tags, {}, context))).toEqual([paths.tag('v1')]);
      await driver.delete(paths.tag('v1'), context);
      await scene.expectNotFound(driver.getContent(paths.tagLink('v1'), context));
      const first = await driver.getContent(paths.revisionLink(digests[0] ?? ''), context);
      bench.expect(first.toString()).toBe(digests[0]);
    },
  },
  {
    name: 'refuse paths that are none of the layout, and do not know what is not there',
    run: async (bench) => {
      const scene = new Scene(bench);
      const { driver } = bench;
      for (const path of ['/elsewhere', '/docker/registry/v2/blobs/sha256/aa/zz/data']) {
        await bench.expectError(driver.getContent(path, scene.context), InvalidPathError, path);
        await bench.expectError(driver.putContent(path, STARTED_AT, scene.context), InvalidPathError, path);
        await bench.expectError(driver.stat(path, scene.context), InvalidPathError, path);
      }
      const absent = digestOf(Buffer.from(scene.paths.repository));
      await scene.expectNotFound(driver.stat(scene.paths.blob(absent), scene.context));
      await scene.expectNotFound(driver.reader(scene.paths.blob(absent), { offset: 0 }, scene.context));
      await scene.expectNotFound(driver.getContent(scene.paths.layerLink(absent), scene.context));
      await scene.expectNotFound(driver.getContent(scene.paths.tagLink('none'), scene.context));
    },
  },
  {
    name: 'end every call at once with the reason of a signal that has aborted before',
    run: async (bench) => {
      const scene = new Scene(bench);
      const digest = await scene.push(Buffer.from(scene.paths.repository));
      const reason = new Error('too late');
      const context = { ...scene.context, signal: AbortSignal.abort(reason) };
      const path = scene.paths.blob(digest);
      const calls = [
        bench.driver.getContent(path, context),
        bench.driver.reader(path, { offset: 0 }, context),
        bench.driver.stat(path, context),
        bench.driver.delete(scene.paths.layerLink(digest), context),
      ];
      for (const call of calls) bench.expect(await call.catch((error: unknown) => error)).toBe(reason);
    },
  },
];

/** A manifest that nothing else is needed for. */
function manifestOf(version: number): Buffer {
  const mediaType = 'application/vnd.oci.image.index.v1+json';
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests: [], annotations: { v: `${version}` } }));
}

/** For a driver that only reads. */
export const readOnlyCases: readonly ConformanceCase[] = [
  {
    name: 'refuse all that writes, each in words',
    run: async (bench) => {
      const paths = new RepositoryPaths();
      const context = { repository: paths.repository };
      const { driver } = bench;
      const path = paths.uploadData('any');
      const blob = paths.blob(digestOf(STARTED_AT));
      const calls = {
        putContent: driver.putContent(paths.startedAt('any'), STARTED_AT, context),
        putContentIf: driver.putContentIf(paths.startedAt('any'), STARTED_AT, { ifAbsent: true }, context),
        writer: driver.writer(path, { append: false }, context),
        append: driver.writer(path, { append: true }, context),
        move: driver.move(path, blob, context),
        delete: driver.delete(paths.tag('any'), context),
      };
      for (const [name, call] of Object.entries(calls)) {
        const error = await call.then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        bench.expect(error, `${name} is refused`).toBeInstanceOf(AppError);
        const isRefusal = error instanceof UnsupportedError || (error as AppError).code === 'READ_ONLY';
        bench.expect(isRefusal, `${name}: ${(error as AppError).message}`).toBe(true);
      }
    },
  },
  {
    name: 'do not know what is not there, and refuse no call that reads',
    run: async (bench) => {
      const paths = new RepositoryPaths();
      const context = { repository: paths.repository };
      const blob = paths.blob(digestOf(Buffer.from(paths.repository)));
      const { driver } = bench;
      const reads = [
        driver.getContent(paths.tagLink('none'), context),
        driver.stat(blob, context),
        driver.reader(blob, { offset: 0 }, context),
        driver.getContent(paths.layerLink(digestOf(STARTED_AT)), context),
      ];
      for (const read of reads) await bench.expectError(read, PathNotFoundError);
      await bench.expectError(driver.getContent('/../etc', context), InvalidPathError);
    },
  },
];
