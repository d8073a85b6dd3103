import { open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { StoreDamagedError } from '../../src/castore/index.ts';
import {
  DigestMismatchError,
  decodeMetainfo,
  encodeMetainfo,
  hashBytes,
  InvalidRangeError,
  type Metainfo,
  UnavailableError,
} from '../../src/core/index.ts';
import {
  blobPath,
  bytesOf,
  collect,
  downloadPath,
  openTestStore,
  PIECE,
  pieceOf,
  readAll,
  sampleOf,
} from './fixtures.ts';
import { until } from './until.ts';

/** The pieces of a blob in an order that opens and closes gaps. */
const scrambled = [3, 0, 9, 1, 7, 8, 2, 5, 4, 6];
const tenPieces = sampleOf(10 * PIECE - 5, 'ten');

async function flipByte(path: string, position: number): Promise<void> {
  const file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, position);
  byte[0] = byte[0]! ^ 1;
  await file.write(byte, 0, 1, position);
  await file.close();
}

describe('DownloadStore', () => {
  it.each([
    ['in order', [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 'sha256'],
    ['backwards', [9, 8, 7, 6, 5, 4, 3, 2, 1, 0], 'sha256'],
    ['scrambled', scrambled, 'sha256'],
    ['scrambled', scrambled, 'sha512'],
  ] as const)('makes a blob of pieces that come %s (%s, %s)', async (_name, order, algorithm) => {
    const { store } = await openTestStore();
    const { bytes, digest, metainfo } = sampleOf(10 * PIECE - 5, 'ten', algorithm);
    const download = await store.downloads.open(metainfo);
    expect(store.usage()).toMatchObject({ blobBytes: 0, unfinishedBytes: bytes.length });
    for (const index of order) {
      expect(download.has(index)).toBe(false);
      expect(await download.writePiece(index, pieceOf(bytes, index))).toBe(true);
      expect(download.has(index)).toBe(true);
    }
    expect(download.verifiedPieces).toBe(10);
    expect(Buffer.from(download.bitfield())).toEqual(Buffer.from([0xff, 0xc0]));

    expect(await download.commit()).toMatchObject({ digest, sizeBytes: bytes.length });

    expect(await readAll(await store.blobs.open(digest))).toEqual(bytes);
    expect(await store.blobs.findMetainfo(digest)).toEqual(encodeMetainfo(metainfo));
    expect(await collect(store.downloads.list())).toEqual([]);
    expect(store.usage()).toMatchObject({ blobBytes: bytes.length, unfinishedBytes: 0 });
  });

  it('makes a blob of no pieces', async () => {
    const test = await openTestStore();
    const { digest, metainfo } = sampleOf(0);
    const download = await test.store.downloads.open(metainfo);
    expect(download.bitfield()).toHaveLength(0);
    await expect(download.writePiece(0, Buffer.alloc(0))).rejects.toThrow(InvalidRangeError);
    await download.commit();
    expect(await readAll(await (await test.reopen()).blobs.open(digest))).toHaveLength(0);
  });

  it('stores nothing of a piece that does not match', async () => {
    const { store } = await openTestStore();
    const { bytes, metainfo } = tenPieces;
    await using download = await store.downloads.open(metainfo);
    expect(await download.writePiece(0, pieceOf(bytes, 1))).toBe(false);
    expect(await download.writePiece(0, pieceOf(bytes, 0).subarray(1))).toBe(false);
    expect(await download.writePiece(9, pieceOf(bytes, 0))).toBe(false);
    expect(download.verifiedPieces).toBe(0);
    expect(await download.writePiece(0, pieceOf(bytes, 0))).toBe(true);
    expect(await download.writePiece(0, pieceOf(bytes, 1))).toBe(false);
    expect(await download.read(0, 0, PIECE)).toEqual(pieceOf(bytes, 0));
    for (const index of [-1, 10, 0.5, Number.NaN]) {
      await expect(download.writePiece(index, pieceOf(bytes, 0))).rejects.toThrow(InvalidRangeError);
    }
  });

  it('takes one piece from many at the same time', async () => {
    const { store } = await openTestStore();
    const { bytes, digest, metainfo } = tenPieces;
    const download = await store.downloads.open(metainfo);
    const indexes = [...scrambled, ...scrambled, ...scrambled];
    const answers = await Promise.all(indexes.map((index) => download.writePiece(index, pieceOf(bytes, index))));
    expect(answers.every((answer) => answer)).toBe(true);
    expect(download.verifiedPieces).toBe(10);
    await Promise.all([download.commit(), download.commit()]);
    expect(await readAll(await store.blobs.open(digest))).toEqual(bytes);
  });

  it('computes the digest along the prefix, also when a gap closes', async () => {
    const { store } = await openTestStore();
    const { bytes, metainfo } = tenPieces;
    await using download = await store.downloads.open(metainfo);
    for (const index of [1, 2, 4]) await download.writePiece(index, pieceOf(bytes, index));
    expect(download.prefixBytes).toBe(0);
    await download.writePiece(0, pieceOf(bytes, 0));
    await until(() => download.prefixBytes === 3 * PIECE);
    await download.writePiece(3, pieceOf(bytes, 3));
    await until(() => download.prefixBytes === 5 * PIECE);
  });

  it('reads verified pieces while the rest is missing, and after the commit', async () => {
    const { store } = await openTestStore();
    const { bytes, metainfo } = tenPieces;
    const download = await store.downloads.open(metainfo);
    await download.writePiece(9, pieceOf(bytes, 9));
    expect(await download.read(9, 10, 20)).toEqual(bytes.subarray(9 * PIECE + 10, 9 * PIECE + 30));
    await expect(download.read(8, 0, 1)).rejects.toThrow(InvalidRangeError);
    await expect(download.read(9, 0, PIECE)).rejects.toThrow(InvalidRangeError);
    await expect(download.read(9, -1, 1)).rejects.toThrow(InvalidRangeError);
    for (const index of scrambled) await download.writePiece(index, pieceOf(bytes, index));
    const reads = scrambled.map((index) => download.read(index, 1, 2));
    const commit = download.commit();
    await Promise.all(reads);
    await commit;
    expect(await download.read(5, 3, 4)).toEqual(bytes.subarray(5 * PIECE + 3, 5 * PIECE + 7));
    await download.close();
  });

  it('refuses to commit while pieces are missing, and goes on', async () => {
    const { store } = await openTestStore();
    const { bytes, metainfo } = sampleOf(2 * PIECE);
    const download = await store.downloads.open(metainfo);
    await download.writePiece(0, pieceOf(bytes, 0));
    await expect(download.commit()).rejects.toThrow(InvalidRangeError);
    await download.writePiece(1, pieceOf(bytes, 1));
    await download.commit();
  });

  it('knows that the digest matches before anything is synced', async () => {
    const { store } = await openTestStore();
    const { bytes, digest, metainfo } = sampleOf(2 * PIECE);
    await using download = await store.downloads.open(metainfo);
    await expect(download.verify()).rejects.toThrow(InvalidRangeError);
    for (const index of [1, 0]) await download.writePiece(index, pieceOf(bytes, index));
    await download.verify();
    expect(await store.blobs.find(digest)).toBeUndefined();
    await download.commit();
    await download.verify();
  });

  it.each(['commit', 'verify'] as const)('drops everything when the digest does not match at %s', async (how) => {
    const test = await openTestStore();
    const { bytes, metainfo } = tenPieces;
    const lying: Metainfo = { ...metainfo, digest: hashBytes(Buffer.from('something else')) };
    const download = await test.store.downloads.open(lying);
    for (const index of scrambled) await download.writePiece(index, pieceOf(bytes, index));
    await expect(download[how]()).rejects.toThrow(DigestMismatchError);
    await download.close();
    expect(await test.store.blobs.find(lying.digest)).toBeUndefined();
    expect(await collect(test.store.downloads.list())).toEqual([]);
    expect(test.store.usage()).toMatchObject({ blobBytes: 0, unfinishedBytes: 0 });
    await expect(download.writePiece(0, pieceOf(bytes, 0)).then(() => download.read(0, 0, 1))).rejects.toThrow();
    expect(await collect((await test.reopen()).downloads.list())).toEqual([]);
  });

  it('keeps verified pieces over a restart', async () => {
    const test = await openTestStore();
    const { bytes, digest, metainfo } = tenPieces;
    const first = await test.store.downloads.open(metainfo);
    for (const index of [0, 1, 5, 9]) await first.writePiece(index, pieceOf(bytes, index));

    const store = await test.reopen();

    expect(await collect(store.downloads.list())).toEqual([digest]);
    expect(await store.downloads.findMetainfo(digest)).toEqual(decodeMetainfo(encodeMetainfo(metainfo)));
    expect(store.usage().unfinishedBytes).toBe(bytes.length);
    const download = await store.downloads.open(metainfo);
    expect(Buffer.from(download.bitfield())).toEqual(Buffer.from([0b11000100, 0b01000000]));
    expect(download.prefixBytes).toBe(2 * PIECE);
    for (const index of [2, 3, 4, 6, 7, 8]) await download.writePiece(index, pieceOf(bytes, index));
    await download.commit();
    expect(await readAll(await store.blobs.open(digest))).toEqual(bytes);
  });

  it('persists which pieces are there within a second, without a close', async () => {
    const { store, directory } = await openTestStore();
    const { bytes, digest, metainfo } = tenPieces;
    await using download = await store.downloads.open(metainfo);
    await download.writePiece(2, pieceOf(bytes, 2));
    const verifiedAt = performance.now();
    await until(async () => {
      const bitfield = await readFile(downloadPath(directory, digest, 'bitfield')).catch(() => undefined);
      return bitfield?.equals(Buffer.from([0b00100000, 0])) === true;
    });
    // A shared machine gets some slack; on an idle one it is half a second.
    expect(performance.now() - verifiedAt).toBeLessThan(5000);
  });

  it.each<[string, (directory: string) => Promise<void>, number[]]>([
    ['a flipped byte', (dir) => flipByte(downloadPath(dir, tenPieces.digest, 'data'), PIECE + 77), [0, 5]],
    ['data cut short', (dir) => truncate(downloadPath(dir, tenPieces.digest, 'data'), 5 * PIECE + 1), [0, 1]],
    ['data gone', (dir) => rm(downloadPath(dir, tenPieces.digest, 'data')), []],
    ['a bitfield gone', (dir) => rm(downloadPath(dir, tenPieces.digest, 'bitfield')), []],
    ['a torn bitfield', (dir) => truncate(downloadPath(dir, tenPieces.digest, 'bitfield'), 0), []],
    ['a bitfield cut short', (dir) => truncate(downloadPath(dir, tenPieces.digest, 'bitfield'), 1), [0, 1, 5]],
    [
      'a bitfield that claims too much',
      (dir) => writeFile(downloadPath(dir, tenPieces.digest, 'bitfield'), Buffer.alloc(5, 0xff)),
      [0, 1, 5],
    ],
  ])('counts only what matches after %s, and fetches the rest again', async (_name, damage, left) => {
    const test = await openTestStore();
    const { bytes, digest, metainfo } = tenPieces;
    const first = await test.store.downloads.open(metainfo);
    for (const index of [0, 1, 5]) await first.writePiece(index, pieceOf(bytes, index));
    await test.store.close();
    await damage(test.directory);

    const store = await test.reopen();
    const download = await store.downloads.open(metainfo);
    const there = scrambled.filter((index) => download.has(index)).sort();
    expect(there).toEqual(left);
    for (const index of scrambled) expect(await download.writePiece(index, pieceOf(bytes, index))).toBe(true);
    await download.commit();
    expect(await readAll(await store.blobs.open(digest))).toEqual(bytes);
  });

  it('does not make a blob of data that was cut short under it', async () => {
    const { store, directory } = await openTestStore();
    const { bytes, digest, metainfo } = tenPieces;
    await using download = await store.downloads.open(metainfo);
    for (let index = 9; index > 0; index -= 1) await download.writePiece(index, pieceOf(bytes, index));
    await truncate(downloadPath(directory, digest, 'data'), 5 * PIECE);
    await download.writePiece(0, pieceOf(bytes, 0));
    await expect(download.commit()).rejects.toThrow(StoreDamagedError);
    expect(await store.blobs.find(digest)).toBeUndefined();
  });

  it('drops a partial blob of another metainfo', async () => {
    const test = await openTestStore();
    const { bytes, digest, metainfo } = sampleOf(2 * PIECE);
    await using first = await test.store.downloads.open(metainfo);
    await first.writePiece(0, pieceOf(bytes, 0));
    await first.close();
    const other = { ...metainfo, pieceLength: 2 * PIECE, sha256: Buffer.from(hashBytes(bytes).slice(7), 'hex') };
    await using second = await test.store.downloads.open({ ...other, sha1: metainfo.sha1.subarray(0, 20) });
    expect(second.verifiedPieces).toBe(0);
    expect(await second.writePiece(0, bytes)).toBe(true);
    await second.commit();
    expect(test.store.usage()).toMatchObject({ blobBytes: 2 * PIECE, unfinishedBytes: 0 });
    expect((await test.store.blobs.find(digest))?.sizeBytes).toBe(2 * PIECE);
  });

  it('is open once at a time', async () => {
    const { store } = await openTestStore();
    const { digest, metainfo } = tenPieces;
    const download = await store.downloads.open(metainfo);
    await expect(store.downloads.open(metainfo)).rejects.toThrow(UnavailableError);
    await expect(store.downloads.drop(digest)).rejects.toThrow(UnavailableError);
    await download.close();
    await download.close();
    await (await store.downloads.open(metainfo)).close();
    await store.downloads.drop(digest);
    await store.downloads.drop(digest);
    expect(await collect(store.downloads.list())).toEqual([]);
    expect(store.usage().unfinishedBytes).toBe(0);
  });

  it('throws everything away on drop, while pieces are on their way', async () => {
    const { store } = await openTestStore();
    const { bytes, digest, metainfo } = tenPieces;
    const download = await store.downloads.open(metainfo);
    const writes = scrambled.map((index) => download.writePiece(index, pieceOf(bytes, index)));
    await download.drop();
    await Promise.allSettled(writes);
    expect(await collect(store.downloads.list())).toEqual([]);
    expect(await store.downloads.findMetainfo(digest)).toBeUndefined();
    expect(store.usage().unfinishedBytes).toBe(0);
  });

  it('keeps nothing of a download that got no piece', async () => {
    const test = await openTestStore();
    const { metainfo, digest } = sampleOf(PIECE, 'nothing came');
    const download = await test.store.downloads.open(metainfo);
    expect(await test.store.downloads.findMetainfo(digest)).toEqual(metainfo);
    await download.close();
    expect(await collect(test.store.downloads.list())).toEqual([]);
    expect(test.store.usage()).toMatchObject({ unfinishedBytes: 0 });
    expect(await test.store.downloads.findMetainfo(digest)).toBeUndefined();
  });

  it('forgets a download whose metainfo is damaged, or which has become a blob', async () => {
    const test = await openTestStore();
    const damaged = sampleOf(PIECE, 'damaged');
    const done = sampleOf(PIECE, 'done');
    for (const { metainfo, bytes } of [damaged, done]) {
      const download = await test.store.downloads.open(metainfo);
      await download.writePiece(0, bytes);
      await download.close();
    }
    await test.store.blobs.put(done.digest, done.bytes);
    await test.store.close();
    await truncate(downloadPath(test.directory, damaged.digest, 'metainfo'), 30);
    const store = await test.reopen();
    expect(await collect(store.downloads.list())).toEqual([]);
    expect(store.usage()).toMatchObject({ blobBytes: PIECE, unfinishedBytes: 0 });
    expect(await readFile(blobPath(test.directory, done.digest, 'data'))).toEqual(bytesOf(PIECE, 'done'));
  });
});
