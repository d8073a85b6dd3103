import { WireProtocolError } from './wire-messages.ts';

/** Which pieces a peer says that it has. */
export class PeerPieces {
  readonly #pieces: number;
  #bits: Uint8Array;
  #count = 0;
  #stated = false;

  constructor(pieces: number) {
    this.#pieces = pieces;
    this.#bits = new Uint8Array((pieces + 7) >> 3);
  }

  get count(): number {
    return this.#count;
  }

  get complete(): boolean {
    return this.#count >= this.#pieces;
  }

  /** One more (HAVE). @returns whether that is news */
  add(piece: number): boolean {
    this.#stated = true;
    const byte = piece >> 3;
    const bit = 0x80 >> (piece & 7);
    if ((this.#bits[byte]! & bit) !== 0) return false;
    this.#bits[byte]! |= bit;
    this.#count++;
    return true;
  }

  /** A BEP 3 bitfield of the right length. @throws WireProtocolError for a second one, or with bits past the last piece */
  setBits(bits: Uint8Array): void {
    this.#stateOnce();
    const spare = (8 - (this.#pieces & 7)) & 7;
    if (bits.length > 0 && (bits[bits.length - 1]! & ((1 << spare) - 1)) !== 0) {
      throw new WireProtocolError(`bitfield with pieces past the last of ${this.#pieces}`);
    }
    this.#bits = Uint8Array.from(bits);
    for (const byte of bits) this.#count += bitsIn(byte);
  }

  /** HAVE_ALL (BEP 6). */
  setAll(): void {
    this.#stateOnce();
    // Spare bits do no harm here: pieces past the last one are refused before anybody looks.
    this.#bits.fill(0xff);
    this.#count = this.#pieces;
  }

  /** HAVE_NONE (BEP 6). */
  setNone(): void {
    this.#stateOnce();
  }

  /** BEP 3 and BEP 6: one of the three, once, before any HAVE. */
  #stateOnce(): void {
    if (this.#stated) throw new WireProtocolError('the peer says twice which pieces it has');
    this.#stated = true;
  }
}

function bitsIn(byte: number): number {
  let count = 0;
  for (let rest = byte; rest > 0; rest &= rest - 1) count++;
  return count;
}
