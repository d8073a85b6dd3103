/** A request that is on its way to its server. */
export const ASKED = 0;
/** It waits there for the uplink; no event is pending for it. */
export const QUEUED = 1;
/** Its bytes are on their way. */
export const SENDING = 2;

/** Words of 32 bits that a transfer takes: half a cache line. */
const STRIDE = 8;
const END = 0;
const PIECE = 1;
const STATE = 2;
const FLAGS = 3;
const LEFT = 4;
const NEXT_OUTSTANDING = 5;
const NEXT = 6;
const GENERATION = 7;

const DEAD = 1;
const ALONE = 2;

/** Pieces that were asked for and are not in yet, in a pool of reused numbers. */
export class Transfers {
  #words = new Int32Array(1024 * STRIDE);
  #free = -1;
  #used = 0;

  allocate(end: number, piece: number, bytes: number): number {
    let transfer = this.#free;
    if (transfer >= 0) this.#free = this.next(transfer);
    else {
      if ((this.#used + 1) * STRIDE > this.#words.length) this.#grow();
      transfer = this.#used++;
    }
    const at = transfer * STRIDE;
    this.#words[at + END] = end;
    this.#words[at + PIECE] = piece;
    this.#words[at + STATE] = ASKED;
    this.#words[at + FLAGS] = 0;
    this.#words[at + LEFT] = bytes;
    this.#words[at + NEXT_OUTSTANDING] = -1;
    this.#words[at + NEXT] = -1;
    return transfer;
  }

  free(transfer: number): void {
    this.#words[transfer * STRIDE + GENERATION]!++;
    this.setNext(transfer, this.#free);
    this.#free = transfer;
  }

  /** The end that asked. */
  end(transfer: number): number {
    return this.#words[transfer * STRIDE + END]!;
  }

  piece(transfer: number): number {
    return this.#words[transfer * STRIDE + PIECE]!;
  }

  /** {@link ASKED}, {@link QUEUED} or {@link SENDING}. */
  state(transfer: number): number {
    return this.#words[transfer * STRIDE + STATE]!;
  }

  setState(transfer: number, state: number): void {
    this.#words[transfer * STRIDE + STATE] = state;
  }

  /** Nobody waits for it any more: cancelled, or the wire is closed. */
  isDead(transfer: number): boolean {
    return (this.#words[transfer * STRIDE + FLAGS]! & DEAD) !== 0;
  }

  setDead(transfer: number): void {
    this.#words[transfer * STRIDE + FLAGS]! |= DEAD;
  }

  /** Asked for while nothing else was outstanding on its wire. */
  isAlone(transfer: number): boolean {
    return (this.#words[transfer * STRIDE + FLAGS]! & ALONE) !== 0;
  }

  setAlone(transfer: number): void {
    this.#words[transfer * STRIDE + FLAGS]! |= ALONE;
  }

  /** Bytes that the uplink has not sent yet. */
  left(transfer: number): number {
    return this.#words[transfer * STRIDE + LEFT]!;
  }

  setLeft(transfer: number, bytes: number): void {
    this.#words[transfer * STRIDE + LEFT] = bytes;
  }

  /** The next of the same end that is outstanding, -1 for none. */
  nextOutstanding(transfer: number): number {
    return this.#words[transfer * STRIDE + NEXT_OUTSTANDING]!;
  }

  setNextOutstanding(transfer: number, next: number): void {
    this.#words[transfer * STRIDE + NEXT_OUTSTANDING] = next;
  }

  /** The next in the queue of its wire's server, -1 for none. */
  next(transfer: number): number {
    return this.#words[transfer * STRIDE + NEXT]!;
  }

  setNext(transfer: number, next: number): void {
    this.#words[transfer * STRIDE + NEXT] = next;
  }

  /** Goes up each time that the number is free again: events that come late are known by it. */
  generation(transfer: number): number {
    return this.#words[transfer * STRIDE + GENERATION]!;
  }

  #grow(): void {
    const larger = new Int32Array(this.#words.length * 2);
    larger.set(this.#words);
    this.#words = larger;
  }
}
