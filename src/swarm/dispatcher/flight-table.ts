/** Nobody: the wire that brought the piece is gone. */
const NOBODY = -1;

/**
 * Pieces on their way: of whom each was asked, when, and whether its bytes are in but not checked yet. In the endgame a
 * piece is asked of a second peer. Look-up by piece is one array access; to walk over all costs as much as there are.
 */
export class FlightTable {
  #count = 0;
  /** By piece: index into the other arrays plus one, 0 when it is not on its way. */
  readonly #indexOf: Uint16Array;
  #piece = new Int32Array(16);
  #first = new Int16Array(16);
  #second = new Int16Array(16);
  #received = new Uint8Array(16);
  #sinceMs = new Float64Array(16);

  constructor(pieces: number) {
    this.#indexOf = new Uint16Array(pieces);
  }

  get count(): number {
    return this.#count;
  }

  /** Index of a piece's flight, -1 when it is not on its way. Good until the next change. */
  find(piece: number): number {
    return this.#indexOf[piece]! - 1;
  }

  pieceAt(index: number): number {
    return this.#piece[index]!;
  }

  /** The peer that was asked first, -1 when its wire is gone. */
  firstAt(index: number): number {
    return this.#first[index]!;
  }

  /** The peer that was asked second, -1 when there is none. */
  secondAt(index: number): number {
    return this.#second[index]!;
  }

  sinceMsAt(index: number): number {
    return this.#sinceMs[index]!;
  }

  /** Whether all bytes are in from somebody, to be checked. */
  isReceivedAt(index: number): boolean {
    return this.#received[index] !== 0;
  }

  /** Whether a peer was asked and has not delivered yet. */
  awaits(index: number, peer: number): boolean {
    if (this.#first[index] === peer) return (this.#received[index]! & 1) === 0;
    return this.#second[index] === peer && (this.#received[index]! & 2) === 0;
  }

  add(piece: number, peer: number, nowMs: number): void {
    if (this.#count === this.#piece.length) this.#grow();
    const index = this.#count++;
    this.#piece[index] = piece;
    this.#first[index] = peer;
    this.#second[index] = NOBODY;
    this.#received[index] = 0;
    this.#sinceMs[index] = nowMs;
    this.#indexOf[piece] = index + 1;
  }

  addSecond(index: number, peer: number): void {
    this.#second[index] = peer;
  }

  /** All bytes came in from this peer. */
  markReceived(index: number, peer: number): void {
    this.#received[index]! |= this.#first[index] === peer ? 1 : 2;
  }

  /** The peer's slot is about to be another's, though bytes of it are still to be checked. */
  forget(index: number, peer: number): void {
    if (this.#first[index] === peer) this.#first[index] = NOBODY;
    else this.#second[index] = NOBODY;
  }

  /**
   * Takes one peer's request out; -1 stands for one that was forgotten.
   *
   * @returns whether nothing is left of the flight: it is gone then, and another has its index
   */
  release(index: number, peer: number): boolean {
    const received = this.#received[index]!;
    if (this.#first[index] === peer && (peer !== NOBODY || (received & 1) !== 0)) {
      this.#first[index] = this.#second[index]!;
      this.#received[index] = received >> 1;
      this.#second[index] = NOBODY;
    } else if (this.#second[index] === peer) {
      this.#second[index] = NOBODY;
      this.#received[index] = received & 1;
    }
    if (this.#first[index] !== NOBODY || this.#received[index] !== 0) return false;
    this.removeAt(index);
    return true;
  }

  removeAt(index: number): void {
    this.#indexOf[this.#piece[index]!] = 0;
    const last = --this.#count;
    if (index === last) return;
    this.#piece[index] = this.#piece[last]!;
    this.#first[index] = this.#first[last]!;
    this.#second[index] = this.#second[last]!;
    this.#received[index] = this.#received[last]!;
    this.#sinceMs[index] = this.#sinceMs[last]!;
    this.#indexOf[this.#piece[index]!] = index + 1;
  }

  #grow(): void {
    const size = this.#piece.length * 2;
    this.#piece = copyInto(new Int32Array(size), this.#piece);
    this.#first = copyInto(new Int16Array(size), this.#first);
    this.#second = copyInto(new Int16Array(size), this.#second);
    this.#received = copyInto(new Uint8Array(size), this.#received);
    this.#sinceMs = copyInto(new Float64Array(size), this.#sinceMs);
  }
}

function copyInto<T extends { set(from: ArrayLike<number>): void }>(larger: T, from: ArrayLike<number>): T {
  larger.set(from);
  return larger;
}
