import { appendFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { StoreDamagedError } from '../../src/castore/index.ts';
import {
  BadRequestError,
  DigestMismatchError,
  hashBytes,
  InvalidRangeError,
  UnavailableError,
  UploadNotFoundError,
} from '../../src/core/index.ts';
import { bytesOf, collect, filesBelow, openTestStore, readAll, sampleOf, upload } from './fixtures.ts';

describe('UploadStore', () => {
  it.each(['sha256', 'sha512'] as const)('turns an upload into a blob under its %s', async (algorithm) => {
    const { store } = await openTestStore();
    const sample = sampleOf(300_000, 'upload', algorithm);
    await upload(store, 'u1', sample.bytes.subarray(0, 100_000), sample.bytes.subarray(100_000));

    const info = await store.uploads.commit('u1', sample.digest, { pin: 'write-back' });

    expect(info).toMatchObject({ digest: sample.digest, sizeBytes: 300_000 });
    expect(await readAll(await store.blobs.open(sample.digest))).toEqual(sample.bytes);
    expect(await store.blobs.pins(sample.digest)).toEqual(['write-back']);
    expect(await store.uploads.find('u1')).toBeUndefined();
    expect(store.usage()).toMatchObject({ blobBytes: 300_000, unfinishedBytes: 0 });
  });

  it('commits an upload of no bytes', async () => {
    const { store } = await openTestStore();
    await upload(store, 'empty');
    await store.uploads.commit('empty', hashBytes(new Uint8Array()));
    expect(await readAll(await store.blobs.open(hashBytes(new Uint8Array())))).toHaveLength(0);
  });

  it('drops an upload whose bytes do not match the digest, and shows nothing', async () => {
    const { store, directory } = await openTestStore();
    const other = hashBytes(Buffer.from('other'));
    await upload(store, 'u1', Buffer.from('these'));

    await expect(store.uploads.commit('u1', other, { pin: 'write-back' })).rejects.toThrow(DigestMismatchError);

    expect(await store.blobs.find(other)).toBeUndefined();
    expect(await store.uploads.find('u1')).toBeUndefined();
    expect(store.usage()).toMatchObject({ blobBytes: 0, unfinishedBytes: 0 });
    expect((await filesBelow(directory)).filter((path) => path.startsWith('blobs'))).toEqual([]);
  });

  it('keeps a blob that is there when the same bytes are committed again, and adds the pin', async () => {
    const { store, clock } = await openTestStore();
    const { bytes, digest } = sampleOf(1000);
    const first = await store.blobs.put(digest, bytes, { pin: 'one' });
    clock.advance(1000);
    await upload(store, 'u1', bytes);
    expect(await store.uploads.commit('u1', digest, { pin: 'two' })).toEqual(first);
    expect(await store.blobs.pins(digest)).toEqual(['one', 'two']);
    expect(store.usage()).toMatchObject({ blobBytes: 1000, unfinishedBytes: 0 });
    await upload(store, 'u2', Buffer.from('not these'));
    await expect(store.uploads.commit('u2', digest)).rejects.toThrow(DigestMismatchError);
    expect(await store.blobs.find(digest)).toEqual(first);
  });

  it('keeps closed bytes and sidecars over a restart, and goes on where they end', async () => {
    const test = await openTestStore();
    const { bytes, digest } = sampleOf(5000);
    await test.store.uploads.putSidecar('u1', 'startedat', Buffer.from('now'));
    await upload(test.store, 'u1', bytes.subarray(0, 2000));

    const store = await test.reopen();

    expect(await store.uploads.find('u1')).toMatchObject({ id: 'u1', sizeBytes: 2000 });
    expect(await store.uploads.findSidecar('u1', 'startedat')).toEqual(Buffer.from('now'));
    await using writer = await store.uploads.resume('u1');
    expect(writer.sizeBytes).toBe(2000);
    await writer.write(bytes.subarray(2000));
    await writer.close();
    expect(await store.uploads.commit('u1', digest)).toMatchObject({ sizeBytes: 5000 });
  });

  it('keeps writes in order when they are not awaited', async () => {
    const { store } = await openTestStore();
    const { bytes, digest } = sampleOf(64_000);
    await using writer = await store.uploads.create('u1');
    await Promise.all(Array.from({ length: 64 }, (_, i) => writer.write(bytes.subarray(i * 1000, (i + 1) * 1000))));
    await writer.close();
    await store.uploads.commit('u1', digest);
    expect(await readAll(await store.blobs.open(digest))).toEqual(bytes);
  });

  it('empties an old upload of the same id', async () => {
    const { store } = await openTestStore();
    await upload(store, 'u1', Buffer.from('a long beginning'));
    await upload(store, 'u1', Buffer.from('new'));
    expect(store.usage().unfinishedBytes).toBe(3);
    expect(await store.uploads.commit('u1', hashBytes(Buffer.from('new')))).toMatchObject({ sizeBytes: 3 });
  });

  it('reads the bytes so far', async () => {
    const { store } = await openTestStore();
    const bytes = bytesOf(1000);
    await upload(store, 'u1', bytes);
    expect(await readAll(await store.uploads.open('u1'))).toEqual(bytes);
    expect(await readAll(await store.uploads.open('u1', { offset: 990 }))).toEqual(bytes.subarray(990));
    expect(await readAll(await store.uploads.open('u1', { offset: 5, length: 7 }))).toEqual(bytes.subarray(5, 12));
    await expect(store.uploads.open('u1', { offset: 1001 })).rejects.toThrow(InvalidRangeError);
    await expect(store.uploads.open('u1', { offset: 999, length: 2 })).rejects.toThrow(InvalidRangeError);
  });

  it('has one writer at a time', async () => {
    const { store } = await openTestStore();
    await using writer = await store.uploads.create('u1');
    await writer.write(Buffer.from('abc'));
    await expect(store.uploads.create('u1')).rejects.toThrow(UnavailableError);
    await expect(store.uploads.resume('u1')).rejects.toThrow(UnavailableError);
    await expect(store.uploads.commit('u1', hashBytes(Buffer.from('abc')))).rejects.toThrow(UnavailableError);
    await writer.close();
    await expect(writer.write(Buffer.from('more'))).rejects.toThrow(UnavailableError);
    await store.uploads.commit('u1', hashBytes(Buffer.from('abc')));
  });

  it('cancels an upload under its writer, whose later writes fail', async () => {
    const { store, directory } = await openTestStore();
    const writer = await store.uploads.create('u1');
    await writer.write(Buffer.from('abc'));
    await store.uploads.putSidecar('u1', 'startedat', Buffer.from('now'));
    await store.uploads.cancel('u1');
    await expect(writer.write(Buffer.from('more'))).rejects.toThrow(UploadNotFoundError);
    await writer.close();
    expect(store.usage().unfinishedBytes).toBe(0);
    expect((await filesBelow(directory)).filter((path) => path.startsWith('uploads'))).toEqual([]);
    await expect(store.uploads.cancel('u1')).rejects.toThrow(UploadNotFoundError);
  });

  it('says not found for uploads that are not there', async () => {
    const { store } = await openTestStore();
    await expect(store.uploads.resume('nobody')).rejects.toThrow(UploadNotFoundError);
    await expect(store.uploads.open('nobody')).rejects.toThrow(UploadNotFoundError);
    await expect(store.uploads.commit('nobody', hashBytes(Buffer.from('')))).rejects.toThrow(UploadNotFoundError);
    expect(await store.uploads.find('nobody')).toBeUndefined();
    expect(await store.uploads.findSidecar('nobody', 'startedat')).toBeUndefined();
    expect(await store.uploads.listSidecars('nobody')).toEqual([]);
  });

  it.each(['', '.', '..', '../x', 'a/b', 'a b', 'é', 'x'.repeat(129)])('refuses %j as an upload id', async (id) => {
    const { store } = await openTestStore();
    await expect(store.uploads.create(id)).rejects.toThrow(BadRequestError);
    await expect(store.uploads.putSidecar(id, 'startedat', Buffer.from('x'))).rejects.toThrow(BadRequestError);
    await expect(store.uploads.cancel(id)).rejects.toThrow(BadRequestError);
    expect(await store.uploads.find(id)).toBeUndefined();
  });

  it('takes any text as the name of a sidecar', async () => {
    const { store } = await openTestStore();
    const names = ['startedat', 'hashstates/sha256/64', '..', '.hidden', '%2F', 'é ü', 'a\\b'];
    for (const name of names) await store.uploads.putSidecar('u1', name, Buffer.from(name));
    expect(await store.uploads.listSidecars('u1')).toEqual([...names].sort());
    for (const name of names) expect(await store.uploads.findSidecar('u1', name)).toEqual(Buffer.from(name));
    await store.uploads.putSidecar('u1', '..', Buffer.from('again'));
    expect(await store.uploads.findSidecar('u1', '..')).toEqual(Buffer.from('again'));
  });

  it.each(['', 'x'.repeat(256), '\ud800'])('refuses %j as the name of a sidecar', async (name) => {
    const { store } = await openTestStore();
    await expect(store.uploads.putSidecar('u1', name, Buffer.from('x'))).rejects.toThrow(BadRequestError);
  });

  it('lists uploads', async () => {
    const { store, clock } = await openTestStore();
    await upload(store, 'a', Buffer.from('1'));
    clock.advance(5);
    await store.uploads.putSidecar('b', 'startedat', Buffer.from('now'));
    const start = clock.nowMs();
    expect(await collect(store.uploads.list())).toEqual([
      { id: 'a', sizeBytes: 1, modifiedAtMs: start - 5, isBeingWritten: false },
      { id: 'b', sizeBytes: 0, modifiedAtMs: start, isBeingWritten: false },
    ]);
  });

  it('reads the bytes again at commit when this process has not written them, and finds a flipped byte', async () => {
    const test = await openTestStore();
    const { bytes, digest } = sampleOf(5000);
    await upload(test.store, 'u1', bytes);
    await test.store.close();
    await truncate(join(test.directory, 'uploads/u1/data'), 4999);
    await appendFile(join(test.directory, 'uploads/u1/data'), 'x');
    const store = await test.reopen();
    await expect(store.uploads.commit('u1', digest)).rejects.toThrow(DigestMismatchError);
  });

  it('does not trust a running hash when the file has been cut short from outside', async () => {
    const { store, directory } = await openTestStore();
    const { bytes, digest } = sampleOf(5000);
    await upload(store, 'u1', bytes);
    await truncate(join(directory, 'uploads/u1/data'), 100);
    await expect(store.uploads.commit('u1', digest)).rejects.toThrow(StoreDamagedError);
    expect(await store.blobs.find(digest)).toBeUndefined();
  });

  it('commits one upload once when two ask for it', async () => {
    const { store } = await openTestStore();
    const { bytes, digest } = sampleOf(5000);
    await upload(store, 'u1', bytes);
    const results = await Promise.allSettled([store.uploads.commit('u1', digest), store.uploads.commit('u1', digest)]);
    expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected']);
    expect(store.usage()).toMatchObject({ blobBytes: 5000, unfinishedBytes: 0 });
  });
});
