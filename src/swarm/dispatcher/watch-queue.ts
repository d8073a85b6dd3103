/** Pieces with times, first come, first out, in memory that grows to what it has to hold and is used again. */
export class WatchQueue {
  #pieces = new Int32Array(64);
  #atMs = new Float64Array(64);
  #first = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** When the first one was put in. */
  firstAtMs(): number {
    return this.#atMs[this.#first]!;
  }

  push(piece: number, atMs: number): void {
    if (this.#count === this.#pieces.length) this.#grow();
    const at = (this.#first + this.#count++) % this.#pieces.length;
    this.#pieces[at] = piece;
    this.#atMs[at] = atMs;
  }

  /** Takes the first one out. There has to be one. */
  shift(): number {
    const piece = this.#pieces[this.#first]!;
    this.#first = (this.#first + 1) % this.#pieces.length;
    this.#count--;
    return piece;
  }

  #grow(): void {
    const pieces = new Int32Array(this.#pieces.length * 2);
    const atMs = new Float64Array(this.#pieces.length * 2);
    for (let i = 0; i < this.#count; i++) {
      const from = (this.#first + i) % this.#pieces.length;
      pieces[i] = this.#pieces[from]!;
      atMs[i] = this.#atMs[from]!;
    }
    this.#pieces = pieces;
    this.#atMs = atMs;
    this.#first = 0;
  }
}
