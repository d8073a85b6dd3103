import { hasBit, type PieceBits } from './piece-bits.ts';

/**
 * Pieces in order of how many neighbours have them, the rarest last, so that a rare one is found without a scan: an array
 * of pieces, where each stands in it, and where each number of copies ends.
 *
 * One more copy moves a piece by one swap. Taking a piece out (it is on its way) or in again costs as many swaps as it has
 * copies. Memory: six bytes a piece up to 65,536 pieces.
 */
export class RarityBuckets {
  readonly #copies: Uint16Array;
  readonly #order: Uint16Array | Int32Array;
  readonly #place: Uint16Array | Int32Array;
  /** Pieces with `n` copies stand from `end[n + 1]` to `end[n]`, those with none last. */
  #end = new Int32Array(16);

  /** All pieces are in, without copies. */
  constructor(pieces: number) {
    this.#copies = new Uint16Array(pieces);
    this.#order = pieces <= 0x10000 ? new Uint16Array(pieces) : new Int32Array(pieces);
    this.#place = pieces <= 0x10000 ? new Uint16Array(pieces) : new Int32Array(pieces);
    for (let piece = 0; piece < pieces; piece++) {
      this.#order[piece] = piece;
      this.#place[piece] = piece;
    }
    this.#end[0] = pieces;
  }

  copies(piece: number): number {
    return this.#copies[piece]!;
  }

  /** One more neighbour has it. */
  increase(piece: number): void {
    const copies = this.#copies[piece]!++;
    if (copies + 2 >= this.#end.length) this.#grow();
    if (!this.#holds(piece, copies)) return;
    this.#swap(this.#place[piece]!, this.#end[copies + 1]!);
    this.#end[copies + 1]!++;
  }

  /** One neighbour less has it. */
  decrease(piece: number): void {
    const copies = this.#copies[piece]!--;
    if (!this.#holds(piece, copies)) return;
    this.#end[copies]!--;
    this.#swap(this.#place[piece]!, this.#end[copies]!);
  }

  /** Takes a piece out, so that it is not found. Its copies are still counted. */
  remove(piece: number): void {
    for (let level = this.#copies[piece]!; level >= 0; level--) {
      this.#end[level]!--;
      this.#swap(this.#place[piece]!, this.#end[level]!);
    }
  }

  /** Puts a piece in again that was taken out. */
  insert(piece: number): void {
    this.#swap(this.#place[piece]!, this.#end[0]!);
    this.#end[0]!++;
    for (let level = 0; level < this.#copies[piece]!; level++) {
      this.#swap(this.#place[piece]!, this.#end[level + 1]!);
      this.#end[level + 1]!++;
    }
  }

  /**
   * One of the rarest pieces that a neighbour has, -1 when `probes` pieces have been looked at in vain. Among equally rare
   * ones the search begins at a random place.
   */
  rarest(has: PieceBits, probes: number, random: () => number): number {
    let left = probes;
    for (let level = 1; level < this.#end.length - 1 && left > 0; level++) {
      const from = this.#end[level + 1]!;
      const size = this.#end[level]! - from;
      if (size === 0) {
        if (this.#end[level] === 0) return -1;
        continue;
      }
      let at = size === 1 ? 0 : Math.floor(random() * size);
      for (let tried = Math.min(size, left); tried > 0; tried--, left--) {
        const piece = this.#order[from + at]!;
        if (hasBit(has, piece)) return piece;
        if (++at === size) at = 0;
      }
    }
    return -1;
  }

  #holds(piece: number, level: number): boolean {
    const place = this.#place[piece]!;
    return place < this.#end[level]! && place >= this.#end[level + 1]!;
  }

  #swap(one: number, other: number): void {
    if (one === other) return;
    const first = this.#order[one]!;
    const second = this.#order[other]!;
    this.#order[one] = second;
    this.#place[second] = one;
    this.#order[other] = first;
    this.#place[first] = other;
  }

  #grow(): void {
    const larger = new Int32Array(this.#end.length * 2);
    larger.set(this.#end);
    this.#end = larger;
  }
}
