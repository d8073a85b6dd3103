import { truncate, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nodeFileOps } from '../../src/castore/files.ts';
import type { LentBytes, PartialDownload } from '../../src/castore/index.ts';
import { type FileOps, StoreDamagedError } from '../../src/castore/index.ts';
import { InvalidRangeError } from '../../src/core/index.ts';
import { blobPath, openTestStore, PIECE, pieceOf, type Sample, sampleOf } from './fixtures.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** File operations that write down each read of a blob or download, once it is done. */
function watchedReads(): { files: FileOps; reads: { position: number; length: number }[] } {
  const reads: { position: number; length: number }[] = [];
  const open: FileOps['open'] = async (path, mode) => {
    const file = await nodeFileOps.open(path, mode);
    if (!path.endsWith('/data')) return file;
    const read = (buffer: Uint8Array, position: number) => {
      reads.push({ position, length: buffer.length });
      return file.read(buffer, position);
    };
    return { ...file, read };
  };
  return { files: { ...nodeFileOps, open }, reads };
}

/** Brings a piece as a wire does: into a buffer of the store. */
function bring(download: PartialDownload, { bytes, metainfo }: Sample, index: number): Promise<boolean> {
  const buffer = download.pieceBuffer(index);
  pieceOf(bytes, index, metainfo.pieceLength).copy(buffer);
  return download.writePiece(index, buffer);
}

function isLent(lent: LentBytes | Promise<LentBytes>): lent is LentBytes {
  return !(lent instanceof Promise);
}

describe('pieces in lent memory', () => {
  it('stay as they are while all other memory is used again and again', async () => {
    const { store } = await openTestStore({ memoryBytes: 4 * MIB });
    const sample = sampleOf(200 * PIECE, 'lent');
    await using download = await store.downloads.open(sample.metainfo);
    const lent = new Map<number, LentBytes>();
    for (let index = 0; index < 200; index += 1) {
      expect(await bring(download, sample, index)).toBe(true);
      if (index % 9 === 0) lent.set(index, await download.lend(index, 1, PIECE - 2));
    }
    for (const [index, { bytes, release }] of lent) {
      expect(bytes.equals(pieceOf(sample.bytes, index).subarray(1, PIECE - 1))).toBe(true);
      expect(release).toBeTypeOf('function');
    }
    const first = lent.get(0)!;
    for (const one of lent.values()) one.release();
    expect(() => first.release()).toThrow('twice');
  });

  it('are used again: a thousand pieces in flight take no more shared memory than the store may have', async () => {
    const limit = 8 * MIB;
    const { store } = await openTestStore({ memoryBytes: limit, capacityBytes: 200 * MIB });
    const sample = sampleOf(1000 * PIECE, 'thousand');
    await using download = await store.downloads.open(sample.metainfo);
    const slabs = new Set<ArrayBufferLike>();
    const takeAll = () =>
      Array.from({ length: 1000 }, (_, index) => {
        const buffer = download.pieceBuffer(index);
        if (buffer.buffer instanceof SharedArrayBuffer) slabs.add(buffer.buffer);
        return buffer;
      });
    for (let round = 0; round < 2; round += 1) {
      const buffers = takeAll();
      buffers.forEach((buffer, index) => {
        pieceOf(sample.bytes, index).copy(buffer);
      });
      const all = await Promise.all(buffers.map((buffer, index) => download.writePiece(index, buffer)));
      expect(all.every((stored) => stored)).toBe(true);
      expect([...slabs].reduce((sum, slab) => sum + slab.byteLength, 0)).toBe(limit);
    }
    await download.verify();
  });

  it('go back once, written or not', async () => {
    const { store } = await openTestStore();
    const sample = sampleOf(3 * PIECE - 1, 'back');
    await using download = await store.downloads.open(sample.metainfo);
    expect([0, 1, 2].map((index) => download.pieceBuffer(index).length)).toEqual([PIECE, PIECE, PIECE - 1]);
    const buffer = download.pieceBuffer(0);
    download.returnBuffer(buffer);
    expect(() => download.returnBuffer(buffer)).toThrow('not out');
    const wrong = download.pieceBuffer(0).fill(0);
    expect(await download.writePiece(0, wrong)).toBe(false);
    expect(() => download.returnBuffer(wrong)).toThrow('not out');
    await expect(download.writePiece(3, download.pieceBuffer(0))).rejects.toThrow(InvalidRangeError);
    for (const index of [-1, 3, 0.5, Number.NaN]) expect(() => download.pieceBuffer(index)).toThrow(InvalidRangeError);
  });

  it('are lent at once, after the commit and the close too, without a read', async () => {
    const { files, reads } = watchedReads();
    const { store } = await openTestStore({ files });
    const sample = sampleOf(4 * MIB + 5, 'committed', 'sha256', 512 * KIB);
    const download = await store.downloads.open(sample.metainfo);
    for (let index = 8; index >= 0; index -= 1) await bring(download, sample, index);
    const early = download.lend(3, 10, 20);
    await download.commit();
    const late = download.lend(3, 10, 20);
    await using file = await store.blobs.openFile(sample.digest);
    const ofBlob = file.lend(3 * 512 * KIB + 10, 20);
    for (const lent of [early, late, ofBlob]) {
      if (!isLent(lent)) throw new Error('not at once');
      expect(lent.bytes).toEqual(sample.bytes.subarray(3 * 512 * KIB + 10, 3 * 512 * KIB + 30));
      lent.release();
    }
    expect(await file.read(4 * MIB, 5)).toEqual(sample.bytes.subarray(4 * MIB));
    expect(reads).toEqual([]);
  });

  it('are read back from disk when they are not in memory any more', async () => {
    const { files, reads } = watchedReads();
    const { store } = await openTestStore({ files, memoryBytes: 4 * MIB });
    const sample = sampleOf(12 * MIB, 'back from disk', 'sha256', MIB);
    await using download = await store.downloads.open(sample.metainfo);
    for (const index of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]) await bring(download, sample, index);
    expect(() => download.lend(11, 0, 1)).toThrow(InvalidRangeError);
    for (const index of [0, 1, 9]) {
      const lent = await download.lend(index, 5, 100 * KIB);
      expect(lent.bytes.equals(sample.bytes.subarray(index * MIB + 5, index * MIB + 5 + 100 * KIB))).toBe(true);
      lent.release();
    }
    expect(reads.length).toBeGreaterThan(0);
    // Nothing is read ahead into a piece that is not there.
    expect(reads.every(({ position, length }) => position + length <= 10 * MIB)).toBe(true);
  });
});

describe('a blob file', () => {
  it('lends and reads any range, whatever is in memory', async () => {
    const { store } = await openTestStore({ memoryBytes: 4 * MIB });
    const { bytes, digest } = sampleOf(3 * MIB + 77, 'any range');
    await store.blobs.put(digest, bytes);
    await using file = await store.blobs.openFile(digest);
    const range = fc
      .nat(bytes.length)
      .chain((offset) =>
        fc.record({ offset: fc.constant(offset), length: fc.nat(Math.min(700 * KIB, bytes.length - offset)) }),
      );
    await fc.assert(
      fc.asyncProperty(fc.array(range, { maxLength: 8 }), fc.boolean(), async (ranges, asCopy) => {
        const answers = ranges.map(async ({ offset, length }) => {
          const lent = asCopy ? undefined : await file.lend(offset, length);
          const found = lent?.bytes ?? (await file.read(offset, length));
          expect(found.equals(bytes.subarray(offset, offset + length))).toBe(true);
          lent?.release();
        });
        await Promise.all(answers);
      }),
    );
  });

  it('reads ahead when it is read in order, and once for all who want the same', async () => {
    const { files, reads } = watchedReads();
    const { store } = await openTestStore({ files });
    const { bytes, digest } = sampleOf(4 * MIB, 'in order');
    await store.blobs.put(digest, bytes);
    await using one = await store.blobs.openFile(digest);
    await using two = await store.blobs.openFile(digest);
    for (let offset = 0; offset < bytes.length; offset += 128 * KIB) {
      const lent = await Promise.all([one, two].map((file) => file.lend(offset, 128 * KIB)));
      for (const { bytes: found } of lent) expect(found.equals(bytes.subarray(offset, offset + 128 * KIB))).toBe(true);
      for (const loan of lent) loan.release();
    }
    expect(reads.map(({ length }) => length / KIB)).toEqual([256, 1024, 1024, 1024, 768]);
  });

  it('reads little around a place that stands alone', async () => {
    const { files, reads } = watchedReads();
    const { store } = await openTestStore({ files });
    const { bytes, digest } = sampleOf(4 * MIB, 'alone');
    await store.blobs.put(digest, bytes);
    await using file = await store.blobs.openFile(digest);
    for (const offset of [3 * MIB, MIB]) (await file.lend(offset, 16 * KIB)).release();
    expect(reads.map(({ length }) => length / KIB)).toEqual([256, 256]);
  });

  it('fails for all who wait for a read that fails, and reads again afterwards', async () => {
    const { store, directory } = await openTestStore({ memoryBytes: 4 * MIB });
    const { bytes, digest } = sampleOf(MIB, 'cut');
    await store.blobs.put(digest, bytes);
    await truncate(blobPath(directory, digest, 'data'), 1000);
    await using file = await store.blobs.openFile(digest);
    for (let round = 0; round < 50; round += 1) {
      const both = await Promise.allSettled([file.lend(500 * KIB, 10), file.lend(500 * KIB, 10)]);
      for (const answer of both) {
        expect(answer).toMatchObject({ status: 'rejected', reason: expect.any(StoreDamagedError) });
      }
    }
    expect(() => file.lend(MIB, 1)).toThrow(InvalidRangeError);
  });

  it('does not lend bytes of a blob that was deleted and put again', async () => {
    const { store, directory } = await openTestStore();
    const { bytes, digest } = sampleOf(MIB, 'put again');
    await store.blobs.put(digest, bytes);
    await writeFile(blobPath(directory, digest, 'data'), Buffer.alloc(MIB, 0xee));
    const lendFirst = async () => {
      await using file = await store.blobs.openFile(digest);
      const lent = await file.lend(0, 10);
      const copy = Buffer.from(lent.bytes);
      lent.release();
      return copy;
    };
    expect(await lendFirst()).toEqual(Buffer.alloc(10, 0xee));
    await store.blobs.delete(digest);
    await store.blobs.put(digest, bytes);
    expect(await lendFirst()).toEqual(bytes.subarray(0, 10));
  });

  it('lends on when it is closed meanwhile, and without memory of its own', async () => {
    const { store } = await openTestStore({ memoryBytes: 0 });
    const sample = sampleOf(10 * PIECE, 'no memory');
    const download = await store.downloads.open(sample.metainfo);
    for (let index = 0; index < 10; index += 1) expect(await bring(download, sample, index)).toBe(true);
    await download.commit();
    const file = await store.blobs.openFile(sample.digest);
    const lent = await file.lend(7, 3 * PIECE);
    await file.close();
    expect(lent.bytes.equals(sample.bytes.subarray(7, 7 + 3 * PIECE))).toBe(true);
    lent.release();
  });
});
