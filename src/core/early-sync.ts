/** Little enough to be on disk in a moment, and enough to be worth a call. */
const STEP_BYTES = 32 * 1024 * 1024;

/**
 * Puts a file on disk in the background while it is being written, so that the sync at its end has little left to do. The
 * kernel would begin only when a good part of the memory waits for the disk, or after half a minute.
 */
export class EarlySync {
  readonly #sync: () => Promise<void>;
  #writtenBytes = 0;
  #running: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  /** @param sync puts on disk what is written; called by one at a time, and not again once it has failed */
  constructor(sync: () => Promise<void>) {
    this.#sync = sync;
  }

  /** So many bytes more have been written. */
  wrote(bytes: number): void {
    this.#writtenBytes += bytes;
    if (this.#writtenBytes < STEP_BYTES || this.#running !== undefined || this.#failure !== undefined) return;
    this.#writtenBytes = 0;
    this.#running = this.#runOnce();
  }

  /**
   * Resolves when nothing of it is under way any more, which has to be before the file is closed.
   * @throws what a sync has thrown: the kernel reports once that it has lost bytes, so whoever syncs again would not hear of it
   */
  async settled(): Promise<void> {
    await this.#running;
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #runOnce(): Promise<void> {
    try {
      await this.#sync();
    } catch (error) {
      this.#failure = { error };
    } finally {
      this.#running = undefined;
    }
  }
}
