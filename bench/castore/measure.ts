import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BlobFile, CaStore, OpenCaStoreOptions, PartialDownload } from '../../src/castore/index.ts';
import { lengthOfPiece } from '../../src/core/index.ts';
import type { Options, PieceOrder } from './options.ts';
import { piecesIn, type SampleBlob } from './sample-blob.ts';

/** What one step took. CPU time is that of the whole process: loop, piece threads, thread pool, garbage collection. */
export interface Step {
  readonly seconds: number;
  readonly megabytesPerSecond: number;
  readonly cpuSecondsPerGibibyte: number;
  /** Share of the time in which the event loop was busy. */
  readonly loopUtilisation: number;
}

/** One blob from its first piece to its last read. */
export interface Measurement {
  /** All pieces handed to the store, checked and written. */
  readonly write: Step;
  /** The blob's digest known. */
  readonly verify: Step;
  /** Synced and visible; the disk decides. */
  readonly commit: Step;
  /** Read back piece by piece in random order, in blocks of 128 KiB, with `lend` (or `read` where that is missing). */
  readonly lend: Step;
  /** Read back as one stream. */
  readonly stream: Step;
  readonly residentBytes: number;
}

/** The module that is measured; an older one may lack what is newer. */
interface CastoreModule {
  openCaStore(options: OpenCaStoreOptions): Promise<CaStore>;
}

/** A block that Shoal's peers ask for. */
const BLOCK_BYTES = 128 * 1024;

/** Measures one store with one blob. */
export async function measure(
  module: CastoreModule,
  blob: SampleBlob,
  order: PieceOrder,
  options: Options,
  signal: AbortSignal,
): Promise<Measurement> {
  const directory = await mkdtemp(join(options.directory ?? tmpdir(), 'shoal-bench-'));
  try {
    const { length, digest } = blob.metainfo;
    const { hashWorkers } = options;
    await using store = await module.openCaStore({ directory, capacityBytes: 2 * length, hashWorkers });
    const download = await store.downloads.open(blob.metainfo);
    const write = await step(length, () => writeAll(download, blob, piecesIn(order, blob.pieces), options, signal));
    const verify = await step(length, () => download.verify());
    const commit = await step(length, () => download.commit());
    const lend = await step(length, () => lendAll(store, blob, options.atOnce));
    const stream = await step(length, async () => {
      for await (const _chunk of await store.blobs.open(digest)) signal.throwIfAborted();
    });
    return { write, verify, commit, lend, stream, residentBytes: process.memoryUsage.rss() };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function step(bytes: number, run: () => Promise<unknown>): Promise<Step> {
  const cpu = process.cpuUsage();
  const loop = performance.eventLoopUtilization();
  const beganAtMs = performance.now();
  await run();
  const seconds = (performance.now() - beganAtMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  return {
    seconds,
    megabytesPerSecond: bytes / 1e6 / seconds,
    cpuSecondsPerGibibyte: (user + system) / 1e6 / (bytes / 2 ** 30),
    loopUtilisation: performance.eventLoopUtilization(loop).utilization,
  };
}

/** As a swarm does it: some pieces arrive at the same time, each fills a buffer, which passes to the store. */
async function writeAll(
  download: PartialDownload,
  blob: SampleBlob,
  indexes: readonly number[],
  options: Options,
  signal: AbortSignal,
): Promise<void> {
  const { length, pieceLength } = blob.metainfo;
  const msPerPiece = options.bytesPerSecond === undefined ? 0 : (pieceLength / options.bytesPerSecond) * 1000;
  const beganAtMs = performance.now();
  let next = 0;
  const bringSome = async () => {
    for (let turn = next++; turn < indexes.length; turn = next++) {
      signal.throwIfAborted();
      const waitMs = beganAtMs + turn * msPerPiece - performance.now();
      if (waitMs > 1) await sleep(waitMs);
      const index = indexes[turn] ?? 0;
      const buffer =
        'pieceBuffer' in download
          ? download.pieceBuffer(index)
          : Buffer.allocUnsafeSlow(lengthOfPiece(index, length, pieceLength));
      blob.fill(index, buffer);
      if (!(await download.writePiece(index, buffer))) throw new Error(`piece ${index} was refused`);
      // As with sockets, more comes in another turn of the loop.
      await new Promise(setImmediate);
    }
  };
  await Promise.all(Array.from({ length: options.atOnce }, bringSome));
}

/** An older store has no `lend`. */
type ReadableFile = Pick<BlobFile, 'read'> & Partial<Pick<BlobFile, 'lend'>>;

async function lendAll(store: CaStore, { metainfo, pieces }: SampleBlob, atOnce: number): Promise<void> {
  await using opened = await store.blobs.openFile(metainfo.digest);
  const file: ReadableFile = opened;
  const indexes = piecesIn('random', pieces);
  let next = 0;
  const readSome = async () => {
    for (let turn = next++; turn < indexes.length; turn = next++) {
      const begin = (indexes[turn] ?? 0) * metainfo.pieceLength;
      const end = Math.min(metainfo.length, begin + metainfo.pieceLength);
      for (let offset = begin; offset < end; offset += BLOCK_BYTES) {
        const length = Math.min(BLOCK_BYTES, end - offset);
        if (file.lend === undefined) await file.read(offset, length);
        else (await file.lend(offset, length)).release();
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, readSome));
}
