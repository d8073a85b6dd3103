/** A socket gives some 30 KiB at a time; a write of that costs more on its way to a thread and back than in it. */
const BATCH_BYTES = 256 * 1024;

/**
 * Writes chunks behind the caller: one that comes while nothing is being written goes at once, those that come meanwhile go
 * together. So a slow body is written as it comes, and a fast one in larger parts; two parts are in memory at most.
 */
export class BatchedWrites {
  readonly #write: (bytes: Buffer) => Promise<void>;
  #batch: Buffer[] = [];
  #batchBytes = 0;
  /** The write that is under way, or the one that has failed. */
  #writing: Promise<void> | undefined;
  #hasFailed = false;

  /** @param write is called with one part at a time, in order, and not again once it has failed */
  constructor(write: (bytes: Buffer) => Promise<void>) {
    this.#write = write;
  }

  /** Takes a chunk; the caller leaves it alone from now on. @throws what an earlier write has thrown */
  async add(chunk: Buffer): Promise<void> {
    if (this.#hasFailed) await this.#writing;
    this.#batch.push(chunk);
    this.#batchBytes += chunk.length;
    if (this.#writing === undefined) this.#begin();
    else if (this.#batchBytes >= BATCH_BYTES) await this.#writing;
  }

  /** Waits until everything is written. @throws what a write has thrown */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
  }

  #begin(): void {
    const [first] = this.#batch;
    const bytes =
      this.#batch.length === 1 && first !== undefined ? first : Buffer.concat(this.#batch, this.#batchBytes);
    this.#batch = [];
    this.#batchBytes = 0;
    this.#writing = this.#write(bytes).then(() => {
      this.#writing = undefined;
      if (this.#batchBytes > 0) this.#begin();
    });
    // Whoever comes next gets the error.
    this.#writing.catch(() => {
      this.#hasFailed = true;
    });
  }
}
