/**
 * Writes one thing behind the caller: {@link add} waits for the write before, begins the next one, and does not wait for it.
 * So two chunks are in memory at most.
 */
export class WriteBehind {
  #last: Promise<void> = Promise.resolve();

  /** Begins a write once the one before has ended. @throws what the one before has thrown; then this one does not begin */
  async add(write: () => Promise<void>): Promise<void> {
    await this.#last;
    this.#last = write();
    // Whoever waits for it next gets the error.
    this.#last.catch(() => undefined);
  }

  /** Resolves when nothing is being written any more. @returns whether all went well */
  settled(): Promise<boolean> {
    return this.#last.then(
      () => true,
      () => false,
    );
  }

  /** @throws what the last write has thrown */
  async done(): Promise<void> {
    await this.#last;
  }
}
