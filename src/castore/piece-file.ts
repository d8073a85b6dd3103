import { InvalidRangeError, type Metainfo, pieceCount, pieceSha256 } from '../core/index.ts';
import { Bitfield } from './bitfield.ts';
import type { BlockCache, CachedFile } from './block-cache.ts';
import type { LentBytes } from './ca-store.ts';
import { ExtentReader } from './extent-reader.ts';
import { checkRange } from './file-reader.ts';
import type { OpenFile } from './files.ts';
import type { LoopLoad } from './loop-load.ts';
import type { MemoryBlock } from './memory-blocks.ts';
import type { PieceThread } from './piece-threads.ts';
import { PieceWork, pieceCutShort } from './piece-work.ts';
import { pieceAt } from './running-digests.ts';

/** What a {@link PieceFile} works with, and whom it tells. */
export interface PieceFileDeps {
  readonly metainfo: Metainfo;
  /** Opened for changes; whoever opened it closes it, once the pieces are {@link PieceFile.idle}. */
  readonly file: OpenFile;
  readonly cache: BlockCache;
  readonly thread: PieceThread | undefined;
  readonly load: LoopLoad;
  /** Runs a write that may be repeated. */
  readonly onDisk: (write: () => Promise<boolean>) => Promise<boolean>;
  /** Throws when no piece may be written any more. */
  readonly checkOpen: () => void;
  /** A piece has been checked and written; it can be read. */
  readonly onStored: (index: number) => void;
}

/** The pieces of one blob in a sparse file: checked, written at their places, and read again. */
export class PieceFile {
  /** Which pieces are there. */
  readonly pieces: Bitfield;
  /** What of the file is in memory. */
  readonly cached: CachedFile;
  readonly #deps: PieceFileDeps;
  readonly #reader: ExtentReader;
  readonly #work: PieceWork;
  /** Pieces on their way to the disk, so that two who bring the same one write it once. */
  readonly #writing = new Map<number, Promise<boolean>>();

  constructor(deps: PieceFileDeps) {
    const { metainfo, file, cache, thread, load } = deps;
    this.#deps = deps;
    this.pieces = new Bitfield(pieceCount(metainfo.length, metainfo.pieceLength));
    this.cached = cache.openDownload(metainfo.pieceLength);
    this.#reader = new ExtentReader({
      file,
      sizeBytes: metainfo.length,
      cache,
      cached: this.cached,
      isThere: (extent) => this.pieces.has(Math.floor((extent * this.cached.extentBytes) / metainfo.pieceLength)),
      cutShort: (position) => pieceCutShort(this.#what(), position, metainfo.length),
    });
    this.#work = new PieceWork({ file, thread, load });
  }

  /** A buffer for a piece; see `PartialDownload.pieceBuffer`. @throws InvalidRangeError when there is no such piece */
  pieceBuffer(index: number): Buffer {
    this.checkIndex(index);
    return this.#deps.cache.memory.handOut(pieceAt(this.#deps.metainfo, index).length);
  }

  /** Gives a buffer back unused. @throws Error when it is not out, which is a defect of the caller */
  returnBuffer(buffer: Buffer): void {
    const block = this.#deps.cache.memory.takeBack(buffer);
    if (block === undefined) throw new Error(`a buffer of ${buffer.length} bytes was returned that is not out`);
    block.release();
  }

  /** Stores a piece that matches; see `PartialDownload.writePiece`. */
  async writePiece(index: number, bytes: Uint8Array): Promise<boolean> {
    const { cache, metainfo } = this.#deps;
    const block = cache.memory.takeBack(bytes) ?? cache.memory.copyOf(bytes);
    try {
      this.checkIndex(index);
      return block.buffer.length === pieceAt(metainfo, index).length && (await this.#storeOnce(index, block));
    } finally {
      block.release();
    }
  }

  /** Whether a piece is whole on disk, and matches. */
  matchesOnDisk(index: number): Promise<boolean> {
    const { metainfo } = this.#deps;
    return this.#work.matchesOnDisk(pieceAt(metainfo, index), pieceSha256(metainfo, index));
  }

  /** A copy of verified bytes. The caller has checked the range with {@link positionOf}. */
  read(position: number, length: number): Promise<Buffer> {
    return this.#reader.read(position, length);
  }

  /** Verified bytes without a copy, at once when they are in memory. */
  lend(position: number, length: number): LentBytes | Promise<LentBytes> {
    return this.#reader.lend(position, length);
  }

  /** Verified bytes without a copy, when they are in memory. */
  findInMemory(position: number, length: number): LentBytes | undefined {
    return this.#reader.findInMemory(position, length);
  }

  /** Where bytes of a verified piece lie in the blob. @throws InvalidRangeError when it is not verified, or they lie outside */
  positionOf(index: number, offset: number, length: number): number {
    if (!this.pieces.has(index)) throw new InvalidRangeError(`piece ${index} of ${this.#what()} is not verified`);
    const piece = pieceAt(this.#deps.metainfo, index);
    checkRange({ offset, length }, piece.length, `piece ${index} of ${this.#what()}`);
    return piece.position + offset;
  }

  /** @throws InvalidRangeError when there is no such piece */
  checkIndex(index: number): void {
    if (Number.isInteger(index) && index >= 0 && index < this.pieces.size) return;
    throw new InvalidRangeError(`${this.#what()} has ${this.pieces.size} pieces, there is no piece ${index}`);
  }

  /** Resolves when nothing is being written any more; the caller sees to it that nothing begins. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.#writing.values());
  }

  /** Stores a piece, or waits for another who brings it. */
  async #storeOnce(index: number, block: MemoryBlock): Promise<boolean> {
    const sha256 = pieceSha256(this.#deps.metainfo, index);
    for (;;) {
      if (this.pieces.has(index)) return this.#work.matchesBytes(block.buffer, sha256);
      const other = this.#writing.get(index);
      if (other === undefined) break;
      // Whatever came of it: its error is for whoever brought it.
      await other.catch(() => false);
    }
    this.#deps.checkOpen();
    const stored = this.#store(index, block, sha256);
    this.#writing.set(index, stored);
    try {
      return await stored;
    } finally {
      this.#writing.delete(index);
    }
  }

  async #store(index: number, block: MemoryBlock, sha256: Buffer): Promise<boolean> {
    const { position } = pieceAt(this.#deps.metainfo, index);
    if (!(await this.#deps.onDisk(() => this.#work.store(block, sha256, position)))) return false;
    this.cached.put(block, position);
    this.pieces.set(index);
    this.#deps.onStored(index);
    return true;
  }

  #what(): string {
    return `download ${this.#deps.metainfo.digest}`;
  }
}
