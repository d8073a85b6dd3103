import { makeBits, type PieceBits } from './piece-bits.ts';

/** Suggestions that can be open to one peer. */
export const ROOM = 64;
/** How fast averages follow. */
const SMOOTHING = 4;

/** One neighbour of an origin: what it has, and what was suggested to it and has not come back as a HAVE, oldest first. */
export class SuggestedPeer {
  readonly slot: number;
  readonly bits: PieceBits;
  /** How many pieces it has. */
  count = 0;
  /** How many of the origin's own share. */
  ownCount = 0;
  /** Whether it has every piece. */
  complete = false;
  /** Whether it has much less than the foremost peer: it came late. */
  behind = false;
  /** Suggestions that may be open at once. */
  limit: number;
  /** Pieces suggested to it that fewer than two neighbours have. */
  unspread = 0;
  /** Usual time from a suggestion to the HAVE, in ms; 0 when not known. */
  turnaroundMs = 0;
  /** Usual time from a suggestion until a second neighbour has the piece, in ms; 0 when not known. */
  spreadMs = 0;
  /** When it was last suggested a piece. */
  suggestedAtMs = Number.NEGATIVE_INFINITY;
  /** When it last got a piece that was not suggested to it: it has others to take from. */
  fedAtMs = Number.NEGATIVE_INFINITY;
  readonly #pieces = new Int32Array(ROOM);
  readonly #atMs = new Float64Array(ROOM);
  #leastSentMs = Number.POSITIVE_INFINITY;
  #open = 0;

  constructor(slot: number, pieces: number, limit: number) {
    this.slot = slot;
    this.bits = makeBits(pieces);
    this.limit = limit;
  }

  get open(): number {
    return this.#open;
  }

  get isFull(): boolean {
    return this.#open === ROOM;
  }

  /** Index of an open suggestion, -1 when there is none for this piece. */
  find(piece: number): number {
    for (let index = 0; index < this.#open; index++) if (this.#pieces[index] === piece) return index;
    return -1;
  }

  pieceAt(index: number): number {
    return this.#pieces[index]!;
  }

  openedAtMs(index: number): number {
    return this.#atMs[index]!;
  }

  add(piece: number, nowMs: number): void {
    this.#pieces[this.#open] = piece;
    this.#atMs[this.#open] = nowMs;
    this.#open++;
  }

  removeAt(index: number): void {
    this.#open--;
    for (let at = index; at < this.#open; at++) {
      this.#pieces[at] = this.#pieces[at + 1]!;
      this.#atMs[at] = this.#atMs[at + 1]!;
    }
  }

  /**
   * A suggested piece left the uplink so long after it was suggested. One that left about as soon as any before found an
   * idle uplink: more may be open, so that long links fill; one that had to queue needs no more.
   */
  onSent(tookMs: number, { usual, most }: { readonly usual: number; readonly most: number }): void {
    this.#leastSentMs = Math.min(this.#leastSentMs, tookMs);
    if (tookMs < 1.5 * this.#leastSentMs) this.limit = Math.min(this.limit + 1, most);
    else if (tookMs > 2 * this.#leastSentMs) this.limit = Math.max(this.limit - 1, usual);
  }

  onTurnaround(tookMs: number): void {
    this.turnaroundMs = follow(this.turnaroundMs, tookMs);
  }

  onSpread(tookMs: number): void {
    this.spreadMs = follow(this.spreadMs, tookMs);
  }
}

/** A running mean that begins with the first value. */
function follow(mean: number, value: number): number {
  return mean === 0 ? value : mean + (value - mean) / SMOOTHING;
}
