import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { BlockCache } from '../../src/castore/block-cache.ts';
import { nodeFileOps, type OpenFile } from '../../src/castore/files.ts';
import { LoopLoad } from '../../src/castore/loop-load.ts';
import { type PieceThread, PieceThreads } from '../../src/castore/piece-threads.ts';
import { PieceWork } from '../../src/castore/piece-work.ts';
import { PrefixHasher } from '../../src/castore/prefix-hasher.ts';
import { digestOfPieces } from '../../src/castore/running-digests.ts';
import { pieceSha256, UnavailableError } from '../../src/core/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { downloadPath, openTestStore, pieceOf, readAll, sampleOf } from './fixtures.ts';

/** Long enough for a piece thread always. */
const LONG = 512 * 1024;
const sample = sampleOf(6 * LONG - 3, 'threads', 'sha256', LONG);
const pieces = [0, 1, 2, 3, 4, 5];

async function startThread() {
  const file = await nodeFileOps.open(join(await makeTempDir(), 'data'), 'create');
  const cache = new BlockCache(16 * 1024 * 1024);
  const warnings: string[] = [];
  const logger = { info: () => undefined, warn: (_facts: object, message: string) => warnings.push(message) };
  const threads = new PieceThreads(1, logger);
  onTestFinished(async () => {
    await threads.close();
    await file.close();
  });
  const thread = threads.assign()!;
  const work = new PieceWork({ file, thread, load: new LoopLoad() });
  const store = async (index: number, bytes = pieceOf(sample.bytes, index, LONG)) => {
    const block = cache.memory.copyOf(bytes);
    const stored = await work
      .store(block, pieceSha256(sample.metainfo, index), index * LONG)
      .finally(() => block.release());
    return stored;
  };
  return { file, cache, thread, threads, work, store, warnings };
}

/** Makes the thread die as a defect in it would: by a message that it cannot take. */
function kill(thread: PieceThread): void {
  thread.part({ slab: { id: -1, memory: undefined as never }, offset: 0 }, 1);
}

describe('a piece thread', () => {
  it('writes what matches, and nothing else', async () => {
    const { file, store, work } = await startThread();
    const answers = await Promise.all(pieces.map((index) => store(index)));
    expect(answers).toEqual([true, true, true, true, true, true]);
    expect(await store(0, pieceOf(sample.bytes, 1, LONG))).toBe(false);
    expect(await readFile(file)).toEqual(sample.bytes);
    const first = { position: 0, length: LONG };
    expect(await work.matchesOnDisk(first, pieceSha256(sample.metainfo, 0))).toBe(true);
    expect(await work.matchesOnDisk(first, pieceSha256(sample.metainfo, 1))).toBe(false);
    expect(await work.matchesOnDisk({ position: 6 * LONG, length: 10 }, pieceSha256(sample.metainfo, 1))).toBe(false);
  });

  it('answers with the error of the disk and its code', async () => {
    const { cache, thread } = await startThread();
    const full = await open('/dev/full', constants.O_RDWR);
    onTestFinished(() => full.close());
    const bytes = pieceOf(sample.bytes, 0, LONG);
    const block = cache.memory.copyOf(bytes);
    const to = { fd: full.fd, position: 0, length: LONG };
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const answer = thread.run({ kind: 'store', piece: thread.part(block.place!, LONG), sha256, to });
    await expect(answer).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(thread.pending).toBe(0);
  });

  it('fails what was under way when it dies, and is there again for what comes then', async () => {
    const { file, store, thread, warnings } = await startThread();
    expect(await store(0)).toBe(true);
    kill(thread);
    await expect(Promise.all(pieces.map((index) => store(index)))).rejects.toThrow(UnavailableError);
    expect(warnings).toHaveLength(1);
    expect(await Promise.all(pieces.map((index) => store(index)))).toEqual([true, true, true, true, true, true]);
    expect(await readFile(file)).toEqual(sample.bytes);
  });

  it('computes the digest from memory and from disk, and anew when the thread was lost', async () => {
    const { file, cache, store, thread } = await startThread();
    const cached = cache.openDownload(LONG);
    const there = new Set<number>();
    const { digest, ...steps } = digestOfPieces({ metainfo: sample.metainfo, file, cached }, thread);
    expect(steps).toEqual({ leastStep: 2, greatestStep: 16 });
    const prefix = new PrefixHasher({ count: 6, has: (index) => there.has(index), ...steps }, digest);
    for (const index of [4, 0, 2, 1]) {
      await store(index);
      const block = cache.memory.copyOf(pieceOf(sample.bytes, index, LONG));
      if (index % 2 === 0) cached.put(block, index * LONG);
      block.release();
      there.add(index);
      prefix.offer();
    }
    // Pieces 0 to 2 have been taken once the thread has answered this.
    await thread.run({ kind: 'match', piece: { fd: file.fd!, position: 0, length: 1 }, sha256: '' });
    kill(thread);
    await expect(store(3)).rejects.toThrow('ended');
    for (const index of [3, 5]) {
      await store(index);
      there.add(index);
      prefix.offer();
    }
    expect(await prefix.complete()).toBe(sample.digest);
    await prefix.stop();
    cache.close();
    expect(cache.memory.usedBytes).toBe(0);
  });

  it('takes nothing after the close', async () => {
    const { store, threads } = await startThread();
    expect(await store(0)).toBe(true);
    await threads.close();
    await expect(store(1)).rejects.toThrow('closed');
  });
});

describe('a store', () => {
  it.each([
    ['one thread', 1],
    ['three threads', 3],
    ['no thread', 0],
  ])('makes blobs of long pieces with %s, also of those of an earlier process', async (_name, hashWorkers) => {
    const test = await openTestStore({ hashWorkers });
    const others = [sample, sampleOf(3 * LONG, 'other', 'sha512', LONG)];
    const first = await test.store.downloads.open(sample.metainfo);
    for (const index of [5, 0, 3]) expect(await first.writePiece(index, pieceOf(sample.bytes, index, LONG))).toBe(true);
    await test.store.close();
    const damaged = await open(downloadPath(test.directory, sample.digest, 'data'), 'r+');
    await damaged.write(Buffer.from('damage'), 0, 6, 3 * LONG + 100);
    await damaged.close();

    const store = await test.reopen();
    const fetch = async ({ bytes, metainfo }: typeof sample) => {
      const download = await store.downloads.open(metainfo);
      const missing = pieces.slice(0, metainfo.sha256.length / 32).filter((index) => !download.has(index));
      await Promise.all(missing.map((index) => download.writePiece(index, pieceOf(bytes, index, LONG))));
      await download.commit();
      return missing;
    };
    expect(await Promise.all(others.map(fetch))).toEqual([
      [1, 2, 3, 4],
      [0, 1, 2],
    ]);
    for (const { digest, bytes } of others) expect(await readAll(await store.blobs.open(digest))).toEqual(bytes);
  });

  it.each([-1, 0.5, 65])('refuses %d hash workers', async (hashWorkers) => {
    await expect(openTestStore({ hashWorkers })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});

async function readFile(file: OpenFile): Promise<Buffer> {
  const bytes = Buffer.alloc(sample.bytes.length);
  await file.read(bytes, 0);
  return bytes;
}
