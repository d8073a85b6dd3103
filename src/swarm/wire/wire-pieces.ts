import { WireProtocolError } from './wire-messages.ts';

/** Which pieces a peer says that it has. */
export class PeerPieces {
  readonly #pieces: number;
  readonly #bits: Uint8Array;
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

  /**
   * A BEP 3 bitfield of the right length. A later one has to have more: aria2 sends one in the place of many HAVEs.
   *
   * @throws WireProtocolError for a later one without news, or with bits past the last piece
   */
  setBits(bits: Uint8Array): void {
    const spare = (8 - (this.#pieces & 7)) & 7;
    if (bits.length > 0 && (bits[bits.length - 1]! & ((1 << spare) - 1)) !== 0) {
      throw new WireProtocolError(`bitfield with pieces past the last of ${this.#pieces}`);
    }
    const before = this.#count;
    for (let at = 0; at < bits.length; at++) {
      this.#count += bitsIn(bits[at]! & ~this.#bits[at]!);
      this.#bits[at]! |= bits[at]!;
    }
    if (this.#count === before) this.#stateOnce();
    this.#stated = true;
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

  /** BEP 3 and BEP 6: one of the three, once, before any HAVE; unless it brings news. */
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
