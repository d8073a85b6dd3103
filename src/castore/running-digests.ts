import { algorithmOf, type Digest, DigestHasher, lengthOfPiece, type Metainfo, parseDigest } from '../core/index.ts';
import type { CachedFile } from './block-cache.ts';
import { StoreDamagedError } from './errors.ts';
import { fileErrorCode, type OpenFile, readFully } from './files.ts';
import type { MemoryBlock } from './memory-blocks.ts';
import { FILE_TOO_SHORT, type FilePart, type SlabPart } from './piece-jobs.ts';
import type { PieceThread } from './piece-threads.ts';
import { pieceCutShort } from './piece-work.ts';
import type { RunningDigest } from './prefix-hasher.ts';

/** The pieces that a running digest is of. */
interface DigestedPieces {
  readonly metainfo: Metainfo;
  readonly file: OpenFile;
  /** What is in memory is not read again. */
  readonly cached: CachedFile;
}

/** Computed on the event loop. */
class LoopDigest implements RunningDigest {
  readonly #pieces: DigestedPieces;
  #hasher: DigestHasher;

  constructor(pieces: DigestedPieces) {
    this.#pieces = pieces;
    this.#hasher = new DigestHasher(algorithmOf(pieces.metainfo.digest));
  }

  async take(first: number, end: number): Promise<void> {
    if (first === 0) this.#hasher = new DigestHasher(this.#hasher.algorithm);
    for (let index = first; index < end; index += 1) {
      const { position, length } = pieceAt(this.#pieces.metainfo, index);
      const found = findPiece(this.#pieces, position, length);
      this.#hasher.update(found?.bytes ?? (await this.#read(position, length)));
      found?.block.release();
    }
  }

  async digest(): Promise<Digest> {
    return this.#hasher.digest();
  }

  close(): void {
    // Nothing is held.
  }

  async #read(position: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(length);
    const count = await readFully(this.#pieces.file, bytes, position);
    if (count === length) return bytes;
    const { metainfo } = this.#pieces;
    throw pieceCutShort(`download ${metainfo.digest}`, position + count, metainfo.length);
  }
}

/** Computed in a piece thread, from shared memory as far as possible. */
class ThreadDigest implements RunningDigest {
  readonly #pieces: DigestedPieces;
  readonly #thread: PieceThread;
  readonly #fd: number;
  readonly #blob: number;

  constructor(pieces: DigestedPieces, thread: PieceThread, fd: number) {
    this.#pieces = pieces;
    this.#thread = thread;
    this.#fd = fd;
    this.#blob = thread.nextBlob();
  }

  async take(first: number, end: number): Promise<void> {
    const { metainfo } = this.#pieces;
    const blocks: MemoryBlock[] = [];
    const parts: (SlabPart | FilePart)[] = [];
    for (let index = first; index < end; index += 1) {
      const { position, length } = pieceAt(metainfo, index);
      const found = findPiece(this.#pieces, position, length);
      if (found !== undefined) blocks.push(found.block);
      parts.push(this.#partOf(found) ?? { fd: this.#fd, position, length });
    }
    try {
      await this.#thread.run({ kind: 'hash', ...this.#at(first), parts });
    } catch (error) {
      if (fileErrorCode(error) !== FILE_TOO_SHORT || !(error instanceof Error)) throw error;
      throw new StoreDamagedError(`download ${metainfo.digest}: ${error.message}`, {}, { cause: error });
    } finally {
      for (const block of blocks) block.release();
    }
  }

  async digest(end: number): Promise<Digest> {
    return parseDigest(String(await this.#thread.run({ kind: 'digest', ...this.#at(end) })));
  }

  close(): void {
    this.#thread.forget(this.#blob);
  }

  #partOf(found: ReturnType<typeof findPiece>): SlabPart | undefined {
    if (found?.block.place === undefined) return undefined;
    const { slab, offset } = found.block.place;
    return this.#thread.part({ slab, offset: offset + found.at }, found.bytes.length);
  }

  #at(piece: number) {
    const { digest, length, pieceLength } = this.#pieces.metainfo;
    return { blob: this.#blob, algorithm: algorithmOf(digest), from: Math.min(length, piece * pieceLength) };
  }
}

/** Shorter blobs are not worth a hop, nor the start of a thread. */
const LOOP_BLOB_BYTES = 1024 * 1024;
/** The event loop gets to other work after so many bytes, 0.6 ms. */
const LOOP_STEP_BYTES = 1024 * 1024;
/** Of short pieces as many are given to the thread at once: a hop costs as much as hashing 64 KiB. */
const THREAD_STEP_BYTES = 1024 * 1024;
/** The thread gets to pieces that have just come after so many bytes, also when a long gap has closed. */
const GREATEST_STEP_BYTES = 8 * 1024 * 1024;

/** The running digest of a download, and in which steps it takes pieces. */
export function digestOfPieces(pieces: DigestedPieces, thread: PieceThread | undefined) {
  const { length, pieceLength } = pieces.metainfo;
  const { fd } = pieces.file;
  const piecesIn = (bytes: number) => Math.max(1, bytes / pieceLength);
  if (thread === undefined || fd === undefined || length <= LOOP_BLOB_BYTES) {
    return { digest: new LoopDigest(pieces), leastStep: 1, greatestStep: piecesIn(LOOP_STEP_BYTES) };
  }
  const steps = { leastStep: piecesIn(THREAD_STEP_BYTES), greatestStep: piecesIn(GREATEST_STEP_BYTES) };
  return { digest: new ThreadDigest(pieces, thread, fd), ...steps };
}

/** Where a piece lies in its blob. */
export function pieceAt({ length, pieceLength }: Metainfo, index: number): { position: number; length: number } {
  return { position: index * pieceLength, length: lengthOfPiece(index, length, pieceLength) };
}

/** A piece in memory; the caller releases the block. */
function findPiece({ cached }: DigestedPieces, position: number, length: number) {
  const found = cached.find(cached.extentOf(position));
  if (found === undefined) return undefined;
  const { block } = found;
  const at = position - found.position;
  if (at + length <= block.buffer.length) return { block, at, bytes: block.buffer.subarray(at, at + length) };
  block.release();
  return undefined;
}
