import { writeFile } from 'node:fs/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type PartialDownload, SharedFiles } from '../../src/castore/index.ts';
import { BlobNotFoundError, DigestMismatchError, InvalidRangeError, UnavailableError } from '../../src/core/index.ts';
import { openTestStore, PIECE, pieceOf, putSample, type Sample, sampleOf } from './fixtures.ts';

const silent = { info: () => undefined, warn: () => undefined };

function openFiles(hashWorkers = 1): SharedFiles {
  const files = new SharedFiles({ logger: silent, memoryBytes: 4 * 1024 * 1024, hashWorkers });
  onTestFinished(() => files.close());
  return files;
}

/** Opens a download as another process does, which tells its owner of every piece at once. */
function openPieces(files: SharedFiles, download: PartialDownload) {
  const { metainfo, path } = download;
  return files.openPieces({ metainfo, path, bitfield: download.bitfield() }, (index) => download.adoptPiece(index));
}

describe('pieces that another process writes', () => {
  it.each([0, 1])('become a blob of the store, with %i threads', async (hashWorkers) => {
    const { store } = await openTestStore();
    const sample = sampleOf(40 * PIECE + 77);
    const download = await store.downloads.open(sample.metainfo);
    expect(await download.writePiece(3, pieceOf(sample.bytes, 3))).toBe(true);
    const pieces = await openPieces(openFiles(hashWorkers), download);
    expect([pieces.verifiedPieces, pieces.has(3), pieces.has(4)]).toEqual([1, true, false]);
    for (let index = 40; index >= 0; index--) {
      const buffer = pieces.pieceBuffer(index);
      pieceOf(sample.bytes, index).copy(buffer);
      expect(await pieces.writePiece(index, buffer)).toBe(true);
      const lent = await pieces.lend(index, 1, 50);
      expect(lent.bytes.equals(pieceOf(sample.bytes, index).subarray(1, 51))).toBe(true);
      lent.release();
      expect((await download.read(index, 0, 77)).equals(pieceOf(sample.bytes, index).subarray(0, 77))).toBe(true);
    }
    expect(Buffer.from(pieces.bitfield())).toEqual(Buffer.from(download.bitfield()));
    await download.commit();
    await pieces.close({ committed: true });
    await using file = await store.blobs.openFile(sample.digest);
    expect((await file.read(0, sample.bytes.length)).equals(sample.bytes)).toBe(true);
  });

  it('are refused when they do not match, and are not told of', async () => {
    const { store } = await openTestStore();
    const sample = sampleOf(3 * PIECE);
    await using download = await store.downloads.open(sample.metainfo);
    const pieces = await openPieces(openFiles(), download);
    expect(await pieces.writePiece(0, Buffer.alloc(PIECE))).toBe(false);
    expect(await pieces.writePiece(0, Buffer.alloc(1))).toBe(false);
    await expect(pieces.writePiece(3, Buffer.alloc(PIECE))).rejects.toThrow(InvalidRangeError);
    expect([pieces.verifiedPieces, download.verifiedPieces]).toEqual([0, 0]);
  });

  it('are kept over a restart like others', async () => {
    const test = await openTestStore();
    const sample = sampleOf(5 * PIECE);
    const download = await test.store.downloads.open(sample.metainfo);
    const pieces = await openPieces(openFiles(), download);
    for (const index of [1, 4]) await pieces.writePiece(index, pieceOf(sample.bytes, index));
    await pieces.close();
    await download.close();
    const store = await test.reopen();
    await using again = await store.downloads.open(sample.metainfo);
    expect([0, 1, 2, 3, 4].filter((index) => again.has(index))).toEqual([1, 4]);
  });

  it('are not believed when the digest of the whole says otherwise', async () => {
    const { store } = await openTestStore();
    const sample = sampleOf(2 * PIECE);
    const download = await store.downloads.open(sample.metainfo);
    // A process that tells of pieces which it has not written.
    for (const index of [0, 1]) download.adoptPiece(index);
    await expect(download.commit()).rejects.toThrow(DigestMismatchError);
    expect(await store.blobs.find(sample.digest)).toBeUndefined();
  });

  it('cannot be adopted outside of the blob, or after its end', async () => {
    const { store } = await openTestStore();
    const sample = sampleOf(2 * PIECE);
    const download = await store.downloads.open(sample.metainfo);
    for (const index of [-1, 2, 0.5]) expect(() => download.adoptPiece(index)).toThrow(InvalidRangeError);
    await download.close();
    expect(() => download.adoptPiece(0)).toThrow(UnavailableError);
  });

  it('are written no more once the file is closed', async () => {
    const { store } = await openTestStore();
    const sample = sampleOf(2 * PIECE);
    await using download = await store.downloads.open(sample.metainfo);
    const files = openFiles();
    const pieces = await openPieces(files, download);
    await pieces.writePiece(0, pieceOf(sample.bytes, 0));
    await files.close();
    await expect(pieces.writePiece(1, pieceOf(sample.bytes, 1))).rejects.toThrow(UnavailableError);
    expect(() => pieces.lend(0, 0, 1)).toThrow(UnavailableError);
  });
});

describe('a blob that another process reads', () => {
  const open = async (files: SharedFiles, { digest }: Sample, place: { path: string; sizeBytes: number }) =>
    files.openBlob({ digest, ...place });

  it('is found where the store says, which counts as use', async () => {
    const test = await openTestStore({ capacityBytes: 250 });
    const [a, b, c] = [sampleOf(100, 'a'), sampleOf(100, 'b'), sampleOf(100, 'c')];
    for (const sample of [a, b]) await putSample(test, sample);
    test.clock.advance(1);
    const place = await test.store.blobs.locate(a.digest);
    await using file = await open(openFiles(), a, place);
    await putSample(test, c);
    expect(await test.store.blobs.find(b.digest)).toBeUndefined();
    expect((await file.read(0, 100)).equals(a.bytes)).toBe(true);
  });

  it('is not there when it was evicted', async () => {
    const test = await openTestStore();
    const sample = sampleOf(100);
    await putSample(test, sample);
    const place = await test.store.blobs.locate(sample.digest);
    await test.store.blobs.delete(sample.digest);
    await expect(test.store.blobs.locate(sample.digest)).rejects.toThrow(BlobNotFoundError);
    await expect(open(openFiles(), sample, place)).rejects.toThrow(BlobNotFoundError);
  });

  it('is read from disk again once it has been forgotten', async () => {
    const test = await openTestStore();
    const sample = sampleOf(100);
    await putSample(test, sample);
    const place = await test.store.blobs.locate(sample.digest);
    const files = openFiles();
    const read = async () => {
      await using file = await open(files, sample, place);
      return (await file.read(0, 3)).toString();
    };
    await read();
    await writeFile(place.path, 'new'.padEnd(100));
    expect(await read()).toBe(sample.bytes.subarray(0, 3).toString());
    files.forgetBlob(sample.digest);
    expect(await read()).toBe('new');
  });
});
