import { once } from 'node:events';
import { readdir, rm, truncate } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { StoreDamagedError } from '../../src/castore/index.ts';
import {
  BadRequestError,
  BlobNotFoundError,
  DigestMismatchError,
  hashBytes,
  InvalidRangeError,
} from '../../src/core/index.ts';
import { blobPath, bytesOf, collect, filesBelow, openTestStore, putSample, readAll, sampleOf } from './fixtures.ts';

async function* chunksOf(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

describe('BlobStore', () => {
  it.each(['sha256', 'sha512'] as const)('stores bytes and streams under their %s', async (algorithm) => {
    const { store } = await openTestStore();
    const one = sampleOf(1000, 'one', algorithm);
    const two = sampleOf(900_000, 'two', algorithm);
    await store.blobs.put(one.digest, one.bytes);
    await store.blobs.put(two.digest, chunksOf(two.bytes, 7777));
    expect(await readAll(await store.blobs.open(one.digest))).toEqual(one.bytes);
    expect(await readAll(await store.blobs.open(two.digest))).toEqual(two.bytes);
    expect(store.usage()).toMatchObject({ blobBytes: 901_000, unfinishedBytes: 0 });
  });

  it('stores nothing when the bytes do not match, and leaves nothing behind', async () => {
    const { store, directory } = await openTestStore();
    const { digest } = sampleOf(1000);
    await expect(store.blobs.put(digest, bytesOf(1000, 'other'), { pin: 'p' })).rejects.toThrow(DigestMismatchError);
    expect(await store.blobs.find(digest)).toBeUndefined();
    expect(store.usage()).toMatchObject({ blobBytes: 0, unfinishedBytes: 0 });
    expect((await filesBelow(directory)).filter((path) => /^(blobs|temp)/.test(path))).toEqual([]);
  });

  it('passes the error of a source on, and leaves nothing behind', async () => {
    const { store, directory } = await openTestStore();
    const { digest, bytes } = sampleOf(1000);
    const broken = (async function* () {
      yield bytes.subarray(0, 10);
      throw new Error('the line went dead');
    })();
    await expect(store.blobs.put(digest, broken)).rejects.toThrow('the line went dead');
    expect(await readdir(`${directory}/temp`)).toEqual([]);
    expect(store.usage().unfinishedBytes).toBe(0);
  });

  it('stops at once when the signal aborts while the source is silent', async () => {
    const { store } = await openTestStore();
    const { digest, bytes } = sampleOf(1000);
    const controller = new AbortController();
    const silent = (async function* () {
      yield bytes.subarray(0, 10);
      queueMicrotask(() => controller.abort(new Error('enough')));
      await new Promise<never>(() => undefined);
    })();
    await expect(store.blobs.put(digest, silent, { signal: controller.signal })).rejects.toThrow('enough');
    expect(store.usage().unfinishedBytes).toBe(0);
    await expect(store.blobs.put(digest, bytes, { signal: controller.signal })).rejects.toThrow('enough');
  });

  it('ends well for all who put one blob at the same time', async () => {
    const { store } = await openTestStore();
    const { bytes, digest } = sampleOf(100_000);
    const infos = await Promise.all(
      Array.from({ length: 8 }, (_, i) => store.blobs.put(digest, bytes, { pin: `p${i}` })),
    );
    expect(new Set(infos.map((info) => JSON.stringify(info))).size).toBe(1);
    expect(await store.blobs.pins(digest)).toHaveLength(8);
    expect(store.usage()).toMatchObject({ blobBytes: 100_000, unfinishedBytes: 0 });
  });

  it.each([
    { offset: 0, length: 0 },
    { offset: 0, length: 1 },
    { offset: 999_999, length: 1 },
    { offset: 1_000_000, length: 0 },
    { offset: 262_143, length: 262_146 },
  ])('reads the range $offset+$length', async (range) => {
    const { store } = await openTestStore();
    const { bytes, digest } = sampleOf(1_000_000);
    await store.blobs.put(digest, bytes);
    const expected = bytes.subarray(range.offset, range.offset + range.length);
    expect(await readAll(await store.blobs.open(digest, range))).toEqual(expected);
    await using file = await store.blobs.openFile(digest);
    expect(await file.read(range.offset, range.length)).toEqual(expected);
  });

  it.each([
    { offset: 0, length: 1001 },
    { offset: 1001, length: 0 },
    { offset: -1, length: 1 },
    { offset: 0, length: -1 },
    { offset: 0.5, length: 1 },
    { offset: Number.NaN, length: 1 },
    { offset: Number.MAX_SAFE_INTEGER, length: Number.MAX_SAFE_INTEGER },
  ])('refuses the range $offset+$length of 1000 bytes', async (range) => {
    const { store } = await openTestStore();
    const { bytes, digest } = sampleOf(1000);
    await store.blobs.put(digest, bytes);
    await expect(store.blobs.open(digest, range)).rejects.toThrow(InvalidRangeError);
    await using file = await store.blobs.openFile(digest);
    await expect(file.read(range.offset, range.length)).rejects.toThrow(InvalidRangeError);
  });

  it('goes on reading a blob that is deleted meanwhile', async () => {
    const { store } = await openTestStore();
    const { bytes, digest } = sampleOf(3_000_000);
    await store.blobs.put(digest, bytes);
    const stream = await store.blobs.open(digest);
    await using file = await store.blobs.openFile(digest);
    await store.blobs.delete(digest);
    expect(await store.blobs.find(digest)).toBeUndefined();
    await expect(store.blobs.open(digest)).rejects.toThrow(BlobNotFoundError);
    expect(await readAll(stream)).toEqual(bytes);
    expect(await file.read(2_999_000, 1000)).toEqual(bytes.subarray(2_999_000));
  });

  it('ends a stream with an error when the file has become too short', async () => {
    const { store, directory } = await openTestStore();
    const { bytes, digest } = sampleOf(1_000_000);
    await store.blobs.put(digest, bytes);
    await truncate(blobPath(directory, digest, 'data'), 400_000);
    await expect(readAll(await store.blobs.open(digest))).rejects.toThrow(StoreDamagedError);
    await using file = await store.blobs.openFile(digest);
    await expect(file.read(399_999, 2)).rejects.toThrow(StoreDamagedError);
  });

  it('forgets a blob that somebody else has removed', async () => {
    const { store, directory } = await openTestStore();
    const { bytes, digest } = sampleOf(1000);
    await store.blobs.put(digest, bytes, { pin: 'p' });
    await rm(blobPath(directory, digest), { recursive: true });
    await expect(store.blobs.open(digest)).rejects.toThrow(BlobNotFoundError);
    expect(await store.blobs.find(digest)).toBeUndefined();
    expect(store.usage().blobBytes).toBe(0);
    await store.blobs.put(digest, bytes);
    expect(await store.blobs.pins(digest)).toEqual([]);
  });

  it('lists blobs with their facts, after a restart too', async () => {
    const test = await openTestStore();
    const samples = [sampleOf(10, 'a'), sampleOf(20, 'b', 'sha512'), sampleOf(0, 'c')];
    for (const sample of samples) await putSample(test, sample);
    const before = await collect(test.store.blobs.list());
    expect(before.map((info) => [info.digest, info.sizeBytes])).toEqual(samples.map((s) => [s.digest, s.bytes.length]));
    const usage = test.store.usage();
    const store = await test.reopen();
    const after = await collect(store.blobs.list());
    const byDigest = (a: { digest: string }, b: { digest: string }) => (a.digest < b.digest ? -1 : 1);
    expect(after.sort(byDigest)).toEqual(before.sort(byDigest));
    expect(store.usage()).toEqual(usage);
  });

  it('keeps listing while blobs are used and deleted', async () => {
    const test = await openTestStore();
    const samples = Array.from({ length: 10 }, (_, i) => sampleOf(10, `list ${i}`));
    for (const sample of samples) await putSample(test, sample);
    const seen: string[] = [];
    for await (const { digest } of test.store.blobs.list()) {
      seen.push(digest);
      await readAll(await test.store.blobs.open(digest));
      await test.store.blobs.delete(samples[9]!.digest);
    }
    expect(seen.sort()).toEqual(
      samples
        .slice(0, 9)
        .map((s) => s.digest)
        .sort(),
    );
  });

  it('keeps pins over a restart, one for each reason', async () => {
    const test = await openTestStore();
    const { bytes, digest } = sampleOf(1000);
    await test.store.blobs.put(digest, bytes, { pin: 'write-back' });
    await test.store.blobs.pin(digest, 'a/b ../ü');
    await test.store.blobs.pin(digest, 'a/b ../ü');
    await test.store.blobs.pin(digest, 'third');
    await test.store.blobs.unpin(digest, 'third');
    await test.store.blobs.unpin(digest, 'never there');
    const store = await test.reopen();
    expect(await store.blobs.pins(digest)).toEqual(['a/b ../ü', 'write-back']);
    await store.blobs.unpin(digest, 'write-back');
    expect(await (await test.reopen()).blobs.pins(digest)).toEqual(['a/b ../ü']);
  });

  it('cannot pin what is not there, or for no reason', async () => {
    const { store } = await openTestStore();
    const { bytes, digest } = sampleOf(1000);
    await expect(store.blobs.pin(digest, 'p')).rejects.toThrow(BlobNotFoundError);
    await store.blobs.unpin(digest, 'p');
    expect(await store.blobs.pins(digest)).toEqual([]);
    await expect(store.blobs.put(digest, bytes, { pin: '' })).rejects.toThrow(BadRequestError);
    expect(await store.blobs.find(digest)).toBeUndefined();
  });

  it('does not pass the pins and metainfo of a deleted blob on to its successor', async () => {
    const test = await openTestStore();
    const { bytes, digest } = sampleOf(1000);
    await test.store.blobs.put(digest, bytes, { pin: 'old' });
    await test.store.blobs.putMetainfo(digest, Buffer.from('old'));
    await test.store.blobs.delete(digest);
    await test.store.blobs.delete(digest);
    await test.store.blobs.put(digest, bytes);
    expect(await test.store.blobs.pins(digest)).toEqual([]);
    expect(await test.store.blobs.findMetainfo(digest)).toBeUndefined();
    expect(await (await test.reopen()).blobs.pins(digest)).toEqual([]);
  });

  it('keeps the metainfo of the first writer', async () => {
    const test = await openTestStore();
    const { bytes, digest } = sampleOf(1000);
    await expect(test.store.blobs.putMetainfo(digest, Buffer.from('x'))).rejects.toThrow(BlobNotFoundError);
    await test.store.blobs.put(digest, bytes);
    expect(await test.store.blobs.findMetainfo(digest)).toBeUndefined();
    const answers = await Promise.all(
      ['first', 'second', 'third'].map((text) => test.store.blobs.putMetainfo(digest, Buffer.from(text))),
    );
    expect(answers.map(String)).toEqual(['first', 'first', 'first']);
    expect(String(await (await test.reopen()).blobs.findMetainfo(digest))).toBe('first');
  });

  it('closes the file of a stream that is destroyed early', async () => {
    const { store } = await openTestStore();
    const { bytes, digest } = sampleOf(3_000_000);
    await store.blobs.put(digest, bytes);
    const openBefore = (await readdir('/proc/self/fd')).length;
    for (let i = 0; i < 20; i += 1) {
      const stream = await store.blobs.open(digest);
      await once(stream, 'readable');
      const closed = once(stream, 'close');
      stream.destroy();
      await closed;
    }
    expect((await readdir('/proc/self/fd')).length).toBeLessThan(openBefore + 5);
  });

  it('finds without touching what it does not know', async () => {
    const { store } = await openTestStore();
    const missing = hashBytes(Buffer.from('missing'));
    expect(await store.blobs.find(missing)).toBeUndefined();
    expect(await store.blobs.findMetainfo(missing)).toBeUndefined();
    await expect(store.blobs.open(missing)).rejects.toThrow(BlobNotFoundError);
    await expect(store.blobs.openFile(missing)).rejects.toThrow(BlobNotFoundError);
  });
});
