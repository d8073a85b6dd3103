/** Lets one task at a time run for each key; others wait in the order in which they came. */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<void>>();

  /** Runs `task` once the tasks before it under this key have ended. */
  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    const { promise: tail, resolve: release } = Promise.withResolvers<void>();
    this.#tails.set(key, tail);
    try {
      await before;
      return await task();
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
      release();
    }
  }

  /**
   * Whether somebody runs or waits under this key. With no `await` between, `isHeld` and then `run` never waits: that is how
   * eviction takes keys, because it runs inside tasks that hold other keys.
   */
  isHeld(key: string): boolean {
    return this.#tails.has(key);
  }

  /** Resolves when nothing runs or waits. */
  async idle(): Promise<void> {
    while (this.#tails.size > 0) await Promise.all(this.#tails.values());
  }
}
