import { lengthOfPiece } from '../../core/index.ts';
import type { MessageId } from './wire-messages.ts';

/** A REQUEST or CANCEL with its length. */
const REQUEST_BYTES = 17;

/** A piece that has been asked for on one wire: which of its blocks are here, and where they are put. */
export class ArrivingPiece {
  readonly piece: number;
  /** The piece's length. */
  readonly size: number;
  /** Taken when the first block comes. */
  buffer: Buffer | undefined;
  readonly #blockBytes: number;
  readonly #here: Uint8Array;
  #missing: number;
  #arrivedBytes = 0;

  constructor(piece: number, size: number, blockBytes: number) {
    this.piece = piece;
    this.size = size;
    this.#blockBytes = blockBytes;
    this.#missing = Math.ceil(size / blockBytes);
    this.#here = new Uint8Array(this.#missing);
  }

  get whole(): boolean {
    return this.#missing === 0;
  }

  get arrivedBytes(): number {
    return this.#arrivedBytes;
  }

  /** Whether the block that begins here has not come yet. */
  awaits(offset: number): boolean {
    return this.#here[offset / this.#blockBytes] === 0;
  }

  /** All of a block's bytes are in the buffer. */
  arrived(offset: number): void {
    const block = offset / this.#blockBytes;
    if (this.#here[block] === 1) return;
    this.#here[block] = 1;
    this.#missing--;
    this.#arrivedBytes += this.#lengthAt(offset);
  }

  /** Where the blocks that have not come begin. */
  *openOffsets(): Generator<number> {
    for (let offset = 0; offset < this.size; offset += this.#blockBytes) {
      if (this.#here[offset / this.#blockBytes] === 0) yield offset;
    }
  }

  /** One message a block that has not come, REQUEST or CANCEL, all in one buffer. */
  messages(id: typeof MessageId.request | typeof MessageId.cancel): Buffer {
    const bytes = Buffer.allocUnsafe(REQUEST_BYTES * this.#missing);
    let at = 0;
    for (const offset of this.openOffsets()) {
      bytes.writeUInt32BE(REQUEST_BYTES - 4, at);
      bytes[at + 4] = id;
      bytes.writeUInt32BE(this.piece, at + 5);
      bytes.writeUInt32BE(offset, at + 9);
      bytes.writeUInt32BE(this.#lengthAt(offset), at + 13);
      at += REQUEST_BYTES;
    }
    return bytes;
  }

  #lengthAt(offset: number): number {
    return Math.min(this.#blockBytes, this.size - offset);
  }
}

/** What has been asked for on one wire, by piece. */
export class PieceRequests {
  readonly #length: number;
  readonly #pieceLength: number;
  readonly #blockBytes: number;
  readonly #arriving = new Map<number, ArrivingPiece>();

  constructor(options: { length: number; pieceLength: number; blockBytes: number }) {
    this.#length = options.length;
    this.#pieceLength = options.pieceLength;
    this.#blockBytes = options.blockBytes;
  }

  get(piece: number): ArrivingPiece | undefined {
    return this.#arriving.get(piece);
  }

  /** Whether this is a block as we ask for them. */
  isBlock(piece: number, offset: number, length: number): boolean {
    const size = lengthOfPiece(piece, this.#length, this.#pieceLength);
    if (offset >= size || offset % this.#blockBytes !== 0) return false;
    return length === Math.min(this.#blockBytes, size - offset);
  }

  add(piece: number): ArrivingPiece {
    const size = lengthOfPiece(piece, this.#length, this.#pieceLength);
    const arriving = new ArrivingPiece(piece, size, this.#blockBytes);
    this.#arriving.set(piece, arriving);
    return arriving;
  }

  /** Takes a piece out: whole, failed or cancelled. */
  remove(piece: number): ArrivingPiece | undefined {
    const arriving = this.#arriving.get(piece);
    this.#arriving.delete(piece);
    return arriving;
  }

  /** Takes all out. */
  clear(): readonly ArrivingPiece[] {
    const all = [...this.#arriving.values()];
    this.#arriving.clear();
    return all;
  }
}

/** More answers than this are not waited for. */
const MAX_STALE = 8_192;

/** More than the longest piece, so that piece and offset make one number. */
const OFFSETS = 2 ** 24;

/**
 * Requests that were taken back and whose answers may still come: with the fast extension each request has exactly one, a
 * block or a refusal (BEP 6). Without this, the refusal of an old request would fail a new one for the same piece.
 */
export class StaleRequests {
  readonly #answers = new Map<number, number>();

  add(piece: number, offset: number): void {
    const key = piece * OFFSETS + offset;
    this.#answers.set(key, (this.#answers.get(key) ?? 0) + 1);
    if (this.#answers.size <= MAX_STALE) return;
    for (const oldest of this.#answers.keys()) {
      this.#answers.delete(oldest);
      break;
    }
  }

  /** An answer has come. @returns whether it may have been to a request that was taken back */
  answered(piece: number, offset: number): boolean {
    const key = piece * OFFSETS + offset;
    const count = this.#answers.get(key);
    if (count === undefined) return false;
    if (count === 1) this.#answers.delete(key);
    else this.#answers.set(key, count - 1);
    return true;
  }
}
