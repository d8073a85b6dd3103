import { makeBits, type PieceBits } from './piece-bits.ts';

/** Suggestions that can be open to one peer. */
export const ROOM = 64;
/** How fast averages follow. */
const SMOOTHING = 4;
/** How fast the best time follows worse ones. */
const FORGETTING = 1024;
/** Pieces that should wait on the way to a peer, so that it never runs dry. */
const WAITING_LEAST = 0.75;
const WAITING_MOST = 2;
/** The same in time, where pieces go by so fast that both ends look up from other work less often than that. */
const WAITING_LEAST_MS = 10;
const WAITING_MOST_MS = 20;

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
  /** Suggestions that may be open at once: one until the first has come back, so that all get their first piece soon. */
  limit = 1;
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
  /** The shortest time from a suggestion to the HAVE, which follows longer ones slowly; and that of the present round. */
  #leastMs = Number.MAX_VALUE;
  #roundMs = Number.POSITIVE_INFINITY;
  #inRound = 0;
  #mostOpen = 0;
  /** Whether no piece has waited yet, so that the limit may grow fast. */
  #grows = true;
  #open = 0;

  constructor(slot: number, pieces: number) {
    this.slot = slot;
    this.bits = makeBits(pieces);
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
   * The peer has a suggested piece, so long after it was suggested. As many may be open as fill the way: what takes longer
   * than at best has waited in a queue, and from the share of that time follows how many pieces wait (as in TCP Vegas:
   * Brakmo and Peterson, 1995). Looked at once for as many pieces as may be open, and by the one that took least: of pieces
   * that left together, the first has waited for none of the others.
   */
  onTurnaround(tookMs: number, limits: { readonly usual: number; readonly most: number }): void {
    this.turnaroundMs = follow(this.turnaroundMs, tookMs);
    this.#roundMs = Math.min(this.#roundMs, tookMs);
    this.#mostOpen = Math.max(this.#mostOpen, this.#open);
    this.#inRound++;
    if (this.#inRound < this.limit) return;
    this.#onRound(this.#roundMs, limits);
    this.#inRound = 0;
    this.#mostOpen = 0;
    this.#roundMs = Number.POSITIVE_INFINITY;
  }

  #onRound(tookMs: number, { usual, most }: { readonly usual: number; readonly most: number }): void {
    this.#leastMs = Math.min(tookMs, this.#leastMs + (tookMs - this.#leastMs) / FORGETTING);
    const waitingMs = tookMs - this.#leastMs;
    const waiting = tookMs > 0 ? (this.limit * waitingMs) / tookMs : 0;
    // What was not used need not grow.
    if (this.#mostOpen < this.limit) return;
    if (this.limit < usual) this.limit = usual;
    else if (waiting < WAITING_LEAST || waitingMs < WAITING_LEAST_MS) {
      this.limit = Math.min(this.limit + (this.#grows ? this.limit : 1), most);
    } else {
      this.#grows = false;
      if (waiting > WAITING_MOST && waitingMs > WAITING_MOST_MS) this.limit = Math.max(this.limit - 1, usual);
    }
  }

  onSpread(tookMs: number): void {
    this.spreadMs = follow(this.spreadMs, tookMs);
  }
}

/** A running mean that begins with the first value. */
function follow(mean: number, value: number): number {
  return mean === 0 ? value : mean + (value - mean) / SMOOTHING;
}
