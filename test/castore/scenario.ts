import type { CaStore, PartialDownload } from '../../src/castore/index.ts';
import { BlobNotFoundError, encodeMetainfo } from '../../src/core/index.ts';
import { PIECE, pieceOf, sampleOf } from './samples.ts';

/**
 * One life of a store, made of steps that it acknowledges one by one. Whatever is cut off after `n` steps, what these `n`
 * steps promise has to be there.
 *
 * The capacity of {@link CAPACITY_BYTES} makes the last steps evict.
 */
export const CAPACITY_BYTES = 24 * PIECE;

export const pushed = sampleOf(PIECE + 10, 'pushed');
export const pinnedLater = sampleOf(500, 'pinned later');
export const fetched = sampleOf(3 * PIECE + 7, 'fetched', 'sha512');
export const filler = sampleOf(12 * PIECE, 'filler');
export const newcomer = sampleOf(10 * PIECE, 'newcomer');
export const unfinished = sampleOf(2 * PIECE, 'unfinished');
export const all = [pushed, pinnedLater, fetched, filler, newcomer];

/** Does all steps; `done` hears of each when it is acknowledged. */
export async function play(store: CaStore, done: (step: string) => void): Promise<void> {
  await store.uploads.putSidecar('u1', 'startedat', Buffer.from('then'));
  done('sidecar');
  const writer = await store.uploads.create('u1');
  await writer.write(pushed.bytes.subarray(0, PIECE));
  await writer.close();
  done('half uploaded');
  const second = await store.uploads.resume('u1');
  await second.write(pushed.bytes.subarray(PIECE));
  await second.close();
  done('uploaded');
  await store.uploads.commit('u1', pushed.digest, { pin: 'write-back' });
  done('pushed');
  await store.blobs.putMetainfo(pushed.digest, encodeMetainfo(pushed.metainfo));
  done('metainfo');
  await store.blobs.put(pinnedLater.digest, pinnedLater.bytes);
  done('put');
  await store.blobs.pin(pinnedLater.digest, 'held');
  done('pinned');
  await fetchAll(store, done);
  await store.blobs.put(filler.digest, filler.bytes);
  done('filled');
  await store.blobs.unpin(pushed.digest, 'write-back');
  done('unpinned');
  // Has to evict: what is neither pinned nor used since goes.
  await store.blobs.put(newcomer.digest, newcomer.bytes, { pin: 'write-back' });
  done('newcomer');
  await store.blobs.delete(filler.digest);
  done('deleted');
  await using left = await store.uploads.create('u2');
  await left.write(pushed.bytes);
  await left.close();
  done('left');
}

async function fetchAll(store: CaStore, done: (step: string) => void): Promise<void> {
  const first = await store.downloads.open(fetched.metainfo);
  for (const index of [3, 0]) await first.writePiece(index, pieceOf(fetched.bytes, index));
  await first.close();
  done('half fetched');
  const second = await store.downloads.open(fetched.metainfo);
  for (const index of [2, 1]) await second.writePiece(index, pieceOf(fetched.bytes, index));
  await second.commit();
  done('fetched');
}

/** Long enough for the piece threads always. */
const LONG_PIECE = 512 * 1024;
const long = sampleOf(6 * LONG_PIECE - 5, 'long', 'sha256', LONG_PIECE);
export const LONG_CAPACITY_BYTES = 16 * LONG_PIECE;

/** Fetches a blob of long pieces, some of them at the same time, with a restart of the download in between. */
export async function playLong(store: CaStore, done: (step: string) => void): Promise<void> {
  const bring = async (download: PartialDownload, indexes: readonly number[]) => {
    const answers = indexes.map((index) => {
      const buffer = download.pieceBuffer(index);
      pieceOf(long.bytes, index, LONG_PIECE).copy(buffer);
      return download.writePiece(index, buffer);
    });
    if ((await Promise.all(answers)).includes(false)) throw new Error('a piece was refused');
  };
  const first = await store.downloads.open(long.metainfo);
  await bring(first, [5, 1]);
  await bring(first, [0]);
  await first.close();
  done('half fetched');
  const second = await store.downloads.open(long.metainfo);
  await bring(second, [2, 3, 4]);
  await second.commit();
  done('fetched');
}

/** The same as {@link checkPromises}, for {@link playLong}; and shows that the store goes on where it was. */
export async function checkLong(store: CaStore, steps: readonly string[], fail: (what: string) => void): Promise<void> {
  if ((await store.blobs.find(long.digest)) === undefined) {
    if (steps.includes('fetched')) fail('a fetched blob is there');
    await using download = await store.downloads.open(long.metainfo);
    for (const index of [0, 1, 5]) {
      if (steps.includes('half fetched') && !download.has(index)) fail(`persisted piece ${index} is there`);
    }
    for (let index = 0; index < 6; index += 1) {
      const bytes = pieceOf(long.bytes, index, LONG_PIECE);
      if (!download.has(index)) await download.writePiece(index, bytes);
      else if (!bytes.equals(await download.read(index, 0, bytes.length))) fail(`piece ${index} is right`);
    }
    await download.commit();
  }
  await using file = await store.blobs.openFile(long.digest);
  if (!long.bytes.equals(await file.read(0, long.bytes.length))) fail('the blob is whole');
}

/** Checks a store that was opened again after `steps` were acknowledged and the next may have begun. */
export async function checkPromises(store: CaStore, steps: readonly string[], fail: (what: string) => void) {
  const did = (step: string) => steps.includes(step);
  const check = (condition: boolean, what: string) => {
    if (!condition) fail(`${what}, after: ${steps.join(', ')}`);
  };
  await checkVisibleBlobs(store, check);
  const beforeEviction = !did('filled');
  const has = async (digest: typeof pushed.digest) => (await store.blobs.find(digest)) !== undefined;
  if (did('half uploaded') && !did('pushed')) {
    const size = (await store.uploads.find('u1'))?.sizeBytes;
    const isPushed = await has(pushed.digest);
    check(isPushed || (size ?? 0) >= PIECE, 'closed bytes of an upload are there');
    if (!isPushed) check((await store.uploads.findSidecar('u1', 'startedat')) !== undefined, 'its sidecar is there');
  }
  if (did('pushed')) {
    check((await store.uploads.find('u1')) === undefined, 'a committed upload is gone');
    if (!did('filled')) check((await store.blobs.pins(pushed.digest)).includes('write-back'), 'a pin is there');
  }
  if (did('pushed') && beforeEviction) check(await has(pushed.digest), 'a committed blob is there');
  if (did('metainfo') && beforeEviction) {
    const stored = await store.blobs.findMetainfo(pushed.digest);
    check(stored?.equals(encodeMetainfo(pushed.metainfo)) === true, 'metainfo is there');
  }
  if (did('put') && beforeEviction) check(await has(pinnedLater.digest), 'a blob that was put is there');
  if (did('pinned')) check(await has(pinnedLater.digest), 'a pinned blob is there for good');
  if (did('pinned')) check((await store.blobs.pins(pinnedLater.digest)).includes('held'), 'its pin is there');
  if (did('half fetched') && !did('fetched') && !(await has(fetched.digest))) {
    await using download = await store.downloads.open(fetched.metainfo);
    check(download.has(0) && download.has(3), 'persisted pieces are there');
  }
  if (did('fetched') && beforeEviction) check(await has(fetched.digest), 'a fetched blob is there');
  if (did('filled') && !did('unpinned')) check(await has(filler.digest), 'the filler is there');
  if (did('unpinned')) check((await store.blobs.pins(pushed.digest)).length === 0, 'a pin that was taken away is gone');
  if (did('newcomer')) check(await has(newcomer.digest), 'the newcomer is there');
  if (did('deleted')) check(!(await has(filler.digest)), 'a deleted blob is gone');
  if (did('left'))
    check((await store.uploads.find('u2'))?.sizeBytes === pushed.bytes.length, 'a second upload is there');
}

/** Whole and right is all that can be seen, and the sums are right. */
async function checkVisibleBlobs(store: CaStore, check: (condition: boolean, what: string) => void): Promise<void> {
  let blobBytes = 0;
  for await (const { digest, sizeBytes } of store.blobs.list()) {
    const sample = all.find((one) => one.digest === digest);
    blobBytes += sizeBytes;
    await using file = await store.blobs.openFile(digest);
    check(sample?.bytes.equals(await file.read(0, sizeBytes)) === true, `blob ${digest} is whole`);
  }
  const usage = store.usage();
  check(usage.blobBytes === blobBytes, 'usage counts the blobs');
  check(usage.blobBytes + usage.unfinishedBytes <= usage.capacityBytes, 'the capacity is kept');
}

/** Shows that a store works: everything can be fetched and pushed once more. */
export async function useAgain(store: CaStore): Promise<void> {
  for await (const { id } of store.uploads.list()) await store.uploads.cancel(id);
  for (const sample of [pushed, fetched]) {
    await store.blobs.put(sample.digest, sample.bytes);
    await using file = await store.blobs.openFile(sample.digest);
    if (!sample.bytes.equals(await file.read(0, sample.bytes.length)))
      throw new BlobNotFoundError('not the same bytes');
  }
  const download = await store.downloads.open(unfinished.metainfo);
  for (const index of [1, 0]) await download.writePiece(index, pieceOf(unfinished.bytes, index));
  await download.commit();
  await store.blobs.delete(unfinished.digest);
}
