import { createHash } from 'node:crypto';
import type { BlobInfo } from '../../src/castore/index.ts';
import {
  type ByteRange,
  InvalidRangeError,
  type LentBytes,
  lengthOfPiece,
  type Metainfo,
  pieceCount,
  pieceSha256,
  piecesOfRange,
} from '../../src/core/index.ts';
import type { Download, DownloadProgress } from '../../src/swarm/index.ts';

/** A download whose pieces come when the test says so. */
export class ScriptedDownload implements Download {
  readonly metainfo: Metainfo;
  readonly verified: Promise<void>;
  readonly finished: Promise<BlobInfo>;
  /** Where readers were told to stand, in order; -1 for a reader that was closed. */
  readonly readerMoves: number[] = [];
  /** Pieces that were supplied, in order. */
  readonly supplied: number[] = [];
  cancelledWith: Error | undefined;
  /** Pieces that are said to be on their way from a peer. */
  readonly onTheirWay = new Set<number>();
  readonly #bytes: Buffer;
  readonly #verified = new Set<number>();
  readonly #waiters = new Set<() => void>();
  readonly #digest = Promise.withResolvers<void>();
  readonly #end = Promise.withResolvers<BlobInfo>();
  #failure: Error | undefined;
  #fromPeersBytes = 0;
  #suppliedBytes = 0;

  constructor(metainfo: Metainfo, bytes: Buffer) {
    this.metainfo = metainfo;
    this.#bytes = bytes;
    this.verified = this.#digest.promise;
    this.finished = this.#end.promise;
    for (const promise of [this.verified, this.finished]) promise.catch(() => {});
  }

  /** Pieces come from a peer. */
  bring(...pieces: readonly number[]): void {
    for (const piece of pieces) {
      this.#verified.add(piece);
      this.#fromPeersBytes += this.#rangeOf(piece).length;
    }
    this.#wake();
  }

  bringAll(): void {
    this.bring(
      ...Array.from({ length: this.#pieces() }, (_, piece) => piece).filter((piece) => !this.#verified.has(piece)),
    );
  }

  /** The blob's digest is known to match. */
  matchDigest(): void {
    this.#digest.resolve();
  }

  /** The blob is committed. */
  finish(): void {
    this.matchDigest();
    const { digest, length: sizeBytes } = this.metainfo;
    this.#end.resolve({ digest, sizeBytes, committedAtMs: 0 });
  }

  fail(error: Error): void {
    this.#failure = error;
    this.#digest.reject(error);
    this.#end.reject(error);
    this.#wake();
  }

  get isWhole(): boolean {
    return this.#verified.size === this.#pieces();
  }

  progress(): DownloadProgress {
    let verifiedBytes = 0;
    for (const piece of this.#verified) verifiedBytes += this.#rangeOf(piece).length;
    return {
      lengthBytes: this.metainfo.length,
      verifiedBytes,
      fromPeersBytes: this.#fromPeersBytes,
      fromOriginsBytes: 0,
      suppliedBytes: this.#suppliedBytes,
      wastedBytes: 0,
      peers: 1,
    };
  }

  verifiedEnd({ offset, length }: ByteRange): number {
    let end = offset;
    const { pieceLength } = this.metainfo;
    while (end < offset + length && this.#verified.has(Math.floor(end / pieceLength))) {
      end = (Math.floor(end / pieceLength) + 1) * pieceLength;
    }
    return Math.min(end, offset + length);
  }

  waitFor(range: ByteRange, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (this.#failure !== undefined) reject(this.#failure);
        else if (signal?.aborted === true) reject(signal.reason);
        else if (this.#nextUnverified(range) === undefined) resolve();
        else return;
        this.#waiters.delete(look);
      };
      this.#waiters.add(look);
      signal?.addEventListener('abort', look, { once: true });
      look();
    });
  }

  async lend(piece: number, offset: number, length: number): Promise<LentBytes> {
    const bytes = await this.read(piece * this.metainfo.pieceLength + offset, length);
    return { bytes, release: () => {} };
  }

  async read(offset: number, length: number): Promise<Buffer> {
    if (this.#nextUnverified({ offset, length }) !== undefined) throw new InvalidRangeError('not verified yet');
    return Buffer.from(this.#bytes.subarray(offset, offset + length));
  }

  openReader({ offset }: ByteRange) {
    this.readerMoves.push(offset);
    return { moveTo: (to: number) => void this.readerMoves.push(to), close: () => void this.readerMoves.push(-1) };
  }

  nextMissing({ offset, length }: ByteRange): number | undefined {
    const { first, last } = piecesOfRange({ offset, length }, this.metainfo.pieceLength);
    for (let piece = first; piece <= last; piece++) {
      if (!this.#verified.has(piece) && !this.onTheirWay.has(piece)) return piece;
    }
    return undefined;
  }

  async supply(index: number, bytes: Buffer): Promise<boolean> {
    if (!createHash('sha256').update(bytes).digest().equals(pieceSha256(this.metainfo, index))) return false;
    if (this.#verified.has(index)) return true;
    this.supplied.push(index);
    this.#suppliedBytes += bytes.length;
    this.#verified.add(index);
    this.#wake();
    if (this.isWhole) this.finish();
    return true;
  }

  async cancel(reason: Error): Promise<boolean> {
    this.cancelledWith = reason;
    this.fail(reason);
    return true;
  }

  #wake(): void {
    for (const look of [...this.#waiters]) look();
  }

  #nextUnverified(range: ByteRange): number | undefined {
    const { first, last } = piecesOfRange(range, this.metainfo.pieceLength);
    for (let piece = first; piece <= last; piece++) if (!this.#verified.has(piece)) return piece;
    return undefined;
  }

  #pieces(): number {
    return pieceCount(this.metainfo.length, this.metainfo.pieceLength);
  }

  #rangeOf(piece: number): ByteRange {
    const { length, pieceLength } = this.metainfo;
    return { offset: piece * pieceLength, length: lengthOfPiece(piece, length, pieceLength) };
  }
}
