import { clearBit, makeBits, type PieceBits, setBit } from './piece-bits.ts';

/** With so many pieces refused a peer is not asked for anything for a while. */
const MAX_REFUSED = 16;

/** One neighbour of a download, as the dispatcher sees it. */
export class SwarmPeer {
  readonly slot: number;
  /** Its number in the rendezvous, the same at every neighbour. */
  readonly seed: number;
  readonly origin: boolean;
  /** What it can be asked for. */
  readonly bits: PieceBits;
  /** How many pieces it has. */
  count = 0;
  seeder = false;
  unchoked = false;
  /** Pieces asked for that have not come in. */
  outstanding = 0;
  /** Pieces that may be outstanding at once. */
  limit = 2;
  /** When bytes last came in, or the first request of a busy time went out. */
  progressAtMs: number;
  /** When it began to take requests. */
  unchokedAtMs: number;
  /** When it last had nothing more to do. */
  idleSinceMs: number;
  /** Words below this one hold no piece that could be asked of it. */
  lowWord = 0;
  /** What it suggested, in order. */
  readonly suggestions = new PieceQueue();
  suggestedAtMs = Number.NEGATIVE_INFINITY;
  /** Whether it suggests no more, though it has nothing else to do. */
  fellSilent = false;
  /** The least time from a request on an idle wire to its first bytes, in ms. */
  #roundTripMs = Number.POSITIVE_INFINITY;
  /** Usual time between two pieces while the wire is busy, in ms; 0 when not known. */
  #intervalMs = 0;
  #busySinceMs: number;
  #awaitsFirstBytes = false;
  #refused: number[] | undefined;
  #refusedAtMs = 0;

  constructor(options: { slot: number; seed: number; origin: boolean; pieces: number; nowMs: number }) {
    this.slot = options.slot;
    this.seed = options.seed;
    this.origin = options.origin;
    this.bits = makeBits(options.pieces);
    this.progressAtMs = options.nowMs;
    this.idleSinceMs = options.nowMs;
    this.unchokedAtMs = options.nowMs;
    this.#busySinceMs = options.nowMs;
  }

  /** Usual time between two pieces while the wire is busy, in ms; 0 when not known. */
  get intervalMs(): number {
    return this.#intervalMs;
  }

  /** Whether it refused so much that it is left alone for now. */
  get refusing(): boolean {
    return this.#refused !== undefined && this.#refused.length >= MAX_REFUSED;
  }

  /** A request came to nothing: the piece is not asked of it until {@link forgive}. */
  refuse(piece: number, nowMs: number): void {
    this.#refusedAtMs = nowMs;
    this.#refused ??= [];
    if (this.#refused.length >= MAX_REFUSED || this.#refused.includes(piece)) return;
    this.#refused.push(piece);
    clearBit(this.bits, piece);
  }

  hasRefused(piece: number): boolean {
    return this.#refused?.includes(piece) === true;
  }

  /** What it refused up to `untilMs` may be asked of it again. @returns whether there was any */
  forgive(untilMs: number): boolean {
    if (this.#refused === undefined || this.#refusedAtMs > untilMs) return false;
    for (const piece of this.#refused) setBit(this.bits, piece);
    this.#refused = undefined;
    this.lowWord = 0;
    return true;
  }

  /** A request goes out. */
  onRequest(nowMs: number): void {
    if (this.outstanding++ > 0) return;
    this.progressAtMs = nowMs;
    this.#busySinceMs = nowMs;
    this.#awaitsFirstBytes = true;
  }

  /** Bytes came in. */
  onProgress(nowMs: number): void {
    if (this.#awaitsFirstBytes) {
      this.#awaitsFirstBytes = false;
      this.#roundTripMs = Math.min(this.#roundTripMs, nowMs - this.#busySinceMs);
    }
    this.progressAtMs = nowMs;
  }

  /** A whole piece came in: measures the wire, and sets how many pieces may be outstanding. */
  onPiece(nowMs: number, most: number): void {
    this.onProgress(nowMs);
    const intervalMs = nowMs - this.#busySinceMs;
    this.#busySinceMs = nowMs;
    this.#intervalMs = this.#intervalMs === 0 ? intervalMs : this.#intervalMs + (intervalMs - this.#intervalMs) / 8;
    // Half as many again as cover the round trip, so that the rate can show that it could be more.
    const covering = this.#intervalMs > 0 ? Math.ceil((1.5 * this.#roundTripMs) / this.#intervalMs) + 1 : 0;
    this.limit = Math.min(most, Math.max(2, covering));
    this.onEnd(nowMs);
  }

  /** One request less, however it ended. */
  onEnd(nowMs: number): void {
    this.outstanding--;
    if (this.outstanding > 0) return;
    this.idleSinceMs = nowMs;
    this.#awaitsFirstBytes = false;
  }
}

/** What a peer suggested and was not asked for yet, first come, first out. */
class PieceQueue {
  #pieces: Int32Array | undefined;
  #first = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Adds one, while there is room for it: more than 64 nobody suggests in good faith. */
  push(piece: number): void {
    this.#pieces ??= new Int32Array(64);
    if (this.#count === this.#pieces.length) return;
    this.#pieces[(this.#first + this.#count++) & 63] = piece;
  }

  /** The first one, -1 when there is none. */
  shift(): number {
    if (this.#pieces === undefined || this.#count === 0) return -1;
    const piece = this.#pieces[this.#first]!;
    this.#first = (this.#first + 1) & 63;
    this.#count--;
    return piece;
  }
}
