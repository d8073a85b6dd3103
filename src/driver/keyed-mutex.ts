/** Runs tasks of one key one after the other, in the order in which they came; those of different keys at once. */
export class KeyedMutex {
  /** The end of the last task of each key; a key without tasks has no entry. */
  readonly #tails = new Map<string, Promise<void>>();

  /** Runs a task once all earlier ones of its key have ended, however they ended. */
  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    const { promise: tail, resolve: end } = Promise.withResolvers<void>();
    this.#tails.set(key, tail);
    try {
      await before;
      return await task();
    } finally {
      end();
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }
}
