/** Lets callers that want the same thing at the same time share one run of it. */
export class SingleFlight<T> {
  readonly #running = new Map<string, Promise<T>>();

  has(key: string): boolean {
    return this.#running.has(key);
  }

  /** Resolves when all runs of now have ended, however they end. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#running.values());
  }

  /**
   * Joins the run of `key`, or begins it. The run goes on when a caller's signal ends its wait.
   * @throws what the run throws, or the signal's reason
   */
  async run(key: string, task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    let running = this.#running.get(key);
    if (running === undefined) {
      running = task().finally(() => this.#running.delete(key));
      // With every caller gone, a failure has nobody to tell; the task logs what matters.
      running.catch(() => undefined);
      this.#running.set(key, running);
    }
    return signal === undefined ? running : abortable(running, signal);
  }
}

/** The promise's result, or a rejection with the signal's reason, whichever is first. */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const ended = Promise.withResolvers<never>();
  const end = () => ended.reject(signal.reason);
  signal.addEventListener('abort', end, { once: true });
  try {
    return await Promise.race([promise, ended.promise]);
  } finally {
    signal.removeEventListener('abort', end);
  }
}
