import { performance } from 'node:perf_hooks';
import { StoreDamagedError } from './errors.ts';
import { type OpenFile, readFully, writeAll } from './files.ts';
import type { LoopLoad } from './loop-load.ts';
import type { MemoryBlock } from './memory-blocks.ts';
import { hashPiece } from './piece-hash.ts';
import { type FilePart, sha256Of, writeNow } from './piece-jobs.ts';
import type { PieceThread } from './piece-threads.ts';

/**
 * Pieces up to this length are checked and written on the event loop while that has time. Measured, in CPU time of the whole
 * process for 64 KiB, checked, written and hashed once more: at 200 pieces a second the loop alone takes 0.3 ms a piece, with
 * a hop to the piece thread 0.57 ms, with one to the thread pool 0.41 to 0.58 ms, because every hop wakes a thread that
 * sleeps. At full rate the hops are batched: 98 µs on the loop, 115 µs with the thread; for 1 MiB there is no difference.
 */
const LOOP_BYTES = 256 * 1024;

/** Checks and writes the pieces of one open file, where that costs least: on the loop, in a piece thread, or in the thread pool. */
export class PieceWork {
  readonly #file: OpenFile;
  readonly #thread: PieceThread | undefined;
  readonly #load: LoopLoad;

  constructor(deps: { file: OpenFile; thread: PieceThread | undefined; load: LoopLoad }) {
    this.#file = deps.file;
    this.#thread = deps.thread;
    this.#load = deps.load;
  }

  /**
   * Writes a piece when it matches, and resolves with whether it did; it can be read then, but is not synced. The caller
   * holds the block until this has ended, and may call it again after a failure.
   */
  async store(block: MemoryBlock, sha256: Buffer, position: number): Promise<boolean> {
    const { buffer, place } = block;
    const fd = this.#file.fd;
    if (fd === undefined || this.#thread === undefined || place === undefined) {
      if (!(await this.matchesBytes(buffer, sha256))) return false;
      await writeAll(this.#file, buffer, position);
      return true;
    }
    const expected = sha256.toString('hex');
    if (buffer.length <= LOOP_BYTES && this.#load.admits(buffer.length)) {
      return this.#storeNow(buffer, expected, { fd, position, length: buffer.length });
    }
    const piece = this.#thread.part(place, buffer.length);
    const to = { fd, position, length: buffer.length };
    return (await this.#thread.run({ kind: 'store', piece, sha256: expected, to })) === true;
  }

  /** Whether bytes in memory match. */
  async matchesBytes(bytes: Uint8Array, sha256: Buffer): Promise<boolean> {
    return (await hashPiece(bytes)).equals(sha256);
  }

  /** Whether a piece on disk is whole and matches. */
  async matchesOnDisk(part: Omit<FilePart, 'fd'>, sha256: Buffer): Promise<boolean> {
    const fd = this.#file.fd;
    if (fd !== undefined && this.#thread !== undefined) {
      const piece = { ...part, fd };
      return (await this.#thread.run({ kind: 'match', piece, sha256: sha256.toString('hex') })) === true;
    }
    const bytes = Buffer.allocUnsafeSlow(part.length);
    const count = await readFully(this.#file, bytes, part.position);
    return count === part.length && (await this.matchesBytes(bytes, sha256));
  }

  #storeNow(bytes: Buffer, sha256: string, to: FilePart): boolean {
    if (sha256Of(bytes) !== sha256) return false;
    const beganAtMs = performance.now();
    writeNow(to.fd, bytes, to.position);
    this.#load.wrote(performance.now() - beganAtMs);
    return true;
  }
}

/** The error for a file of pieces that ends too early. */
export function pieceCutShort(what: string, position: number, sizeBytes: number): StoreDamagedError {
  return new StoreDamagedError(`${what} ends at byte ${position} on disk, expected ${sizeBytes}`, {
    position,
    sizeBytes,
  });
}
