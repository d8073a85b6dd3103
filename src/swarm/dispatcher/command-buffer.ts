/** Kind of command: ask a peer for a whole piece. */
export const REQUEST = 0;
/** Kind of command: take a request back. */
export const CANCEL = 1;
/** Kind of command: suggest a piece to a peer (BEP 6). */
export const SUGGEST = 2;

const FIELDS = 3;

/**
 * What is to be done, as integers in memory that is used again and again: nothing is allocated once it has grown to what
 * one event brings at most. Whoever carries the commands out reads them by index and clears the buffer.
 */
export class CommandBuffer {
  #count = 0;
  #fields = new Int32Array(8 * FIELDS);

  get count(): number {
    return this.#count;
  }

  /** {@link REQUEST}, {@link CANCEL} or {@link SUGGEST}. */
  kind(index: number): number {
    return this.#fields[index * FIELDS]!;
  }

  /** The peer's slot number. */
  peer(index: number): number {
    return this.#fields[index * FIELDS + 1]!;
  }

  piece(index: number): number {
    return this.#fields[index * FIELDS + 2]!;
  }

  /** For those who decide. */
  push(kind: number, peer: number, piece: number): void {
    let at = this.#count * FIELDS;
    if (at === this.#fields.length) {
      const larger = new Int32Array(this.#fields.length * 2);
      larger.set(this.#fields);
      this.#fields = larger;
    }
    this.#fields[at++] = kind;
    this.#fields[at++] = peer;
    this.#fields[at] = piece;
    this.#count++;
  }

  clear(): void {
    this.#count = 0;
  }
}
