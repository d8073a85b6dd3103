/** Pieces passed over in one search at most: what is left is searched on later events. */
const MAX_STEPS = 1_024;

/** Nobody: the piece was not suggested, or what came of it is known. */
export const NO_OWNER = -1;

/**
 * The pieces of a blob as one of its origins sees them: how many neighbours have each, who was told of it, and which is
 * the next to hand out. Each origin hands out its own share (index modulo how many origins there are), in index order.
 */
export class UnseenPieces {
  readonly #pieces: number;
  readonly #share: { readonly index: number; readonly of: number };
  readonly #copies: Uint16Array;
  readonly #owner: Int16Array;
  readonly #atMs: Float64Array;
  /** Before this one, pieces of the own share are had or suggested. */
  #own: number;
  /** Before this one, pieces of other shares are had or suggested. */
  #other = 0;
  /** The last piece of another share that a neighbour got: its origin hands out those after it. */
  #otherTop = 0;

  constructor(pieces: number, share: { readonly index: number; readonly of: number }) {
    this.#pieces = pieces;
    this.#share = share;
    this.#copies = new Uint16Array(pieces);
    this.#owner = new Int16Array(pieces).fill(NO_OWNER);
    this.#atMs = new Float64Array(pieces);
    this.#own = share.index;
  }

  /** Where the own share stands: pieces before it have been handed out. */
  get frontier(): number {
    return Math.min(this.#own, this.#pieces);
  }

  /** Whether a piece is of the share that this origin hands out. */
  isOwn(piece: number): boolean {
    return piece % this.#share.of === this.#share.index;
  }

  /** How many pieces of the own share are before one of them. */
  ownBefore(piece: number): number {
    return (piece - this.#share.index) / this.#share.of;
  }

  copies(piece: number): number {
    return this.#copies[piece]!;
  }

  /** Who was told of a piece that has not spread since, {@link NO_OWNER} when nobody was. */
  owner(piece: number): number {
    return this.#owner[piece]!;
  }

  /** When the owner was told. */
  ownedAtMs(piece: number): number {
    return this.#atMs[piece]!;
  }

  setOwner(piece: number, owner: number, nowMs: number): void {
    this.#owner[piece] = owner;
    this.#atMs[piece] = nowMs;
  }

  /** One more neighbour has it. */
  increase(piece: number): void {
    this.#copies[piece]!++;
    if (piece > this.#otherTop && !this.isOwn(piece)) this.#otherTop = piece;
  }

  /** One neighbour less has it. */
  decrease(piece: number): void {
    if (--this.#copies[piece]! === 0) this.reopen(piece);
  }

  /** A piece that nobody has and nobody was told of can be handed out once more. */
  reopen(piece: number): void {
    if (!this.isUnseen(piece)) return;
    if (this.isOwn(piece)) this.#own = Math.min(this.#own, piece);
    else this.#other = Math.min(this.#other, piece);
  }

  /** The next piece of the own share, -1 for none. */
  nextOwn(): number {
    const { of } = this.#share;
    for (let steps = 0; this.#own < this.#pieces && steps < MAX_STEPS; steps++, this.#own += of) {
      if (this.isUnseen(this.#own)) return this.#own;
    }
    return -1;
  }

  /** The first piece of other shares before `end` that nobody has, -1 for none. */
  nextOther(end: number): number {
    if (this.#share.of === 1) return -1;
    for (let steps = 0; this.#other < end && steps < MAX_STEPS; steps++, this.#other++) {
      if (this.isUnseen(this.#other)) return this.#other;
    }
    return -1;
  }

  /** A piece of another share that its origin will not come to soon, at least `gap` after those that it is at; -1 for none. */
  farOther(gap: number): number {
    for (let piece = this.#otherTop + gap, steps = 0; piece < this.#pieces && steps < MAX_STEPS; piece++, steps++) {
      if (this.isUnseen(piece)) return piece;
    }
    return -1;
  }

  /** Whether nobody has a piece, and nobody was told of it. */
  isUnseen(piece: number): boolean {
    return this.#copies[piece] === 0 && this.#owner[piece] === NO_OWNER;
  }
}
