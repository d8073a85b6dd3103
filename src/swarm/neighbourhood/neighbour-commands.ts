/** Dial the peer with this number. */
export const DIAL = 0;
/** Close the wire in this slot. */
export const DROP = 1;
/** Name others to the peer in this slot, then close its wire. */
export const TURN_AWAY = 2;

/** What a {@link Neighbourhood} wants done: a reused buffer, carried out in order and cleared by the caller. */
export class NeighbourCommands {
  #kinds = new Uint8Array(8);
  #targets = new Int32Array(8);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** {@link DIAL}, {@link DROP} or {@link TURN_AWAY}. */
  kind(index: number): number {
    return this.#kinds[index]!;
  }

  /** The number of a peer for {@link DIAL}, a slot otherwise. */
  target(index: number): number {
    return this.#targets[index]!;
  }

  push(kind: number, target: number): void {
    if (this.#count === this.#kinds.length) this.#grow();
    this.#kinds[this.#count] = kind;
    this.#targets[this.#count++] = target;
  }

  clear(): void {
    this.#count = 0;
  }

  #grow(): void {
    const [kinds, targets] = [this.#kinds, this.#targets];
    this.#kinds = new Uint8Array(2 * kinds.length);
    this.#kinds.set(kinds);
    this.#targets = new Int32Array(2 * targets.length);
    this.#targets.set(targets);
  }
}
