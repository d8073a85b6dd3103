/** What {@link Semaphore.run} throws when more callers wait than it has places for. */
export class SemaphoreFullError extends Error {}

/** Limits how many tasks run at once. Those that wait go in the order in which they came, and their number is bounded. */
export class Semaphore {
  readonly #permits: number;
  readonly #maxWaiting: number;
  readonly #waiting = new Set<() => void>();
  #running = 0;

  /** `permits` tasks at once; `maxWaiting` callers wait at most. */
  constructor(permits: number, maxWaiting: number) {
    this.#permits = permits;
    this.#maxWaiting = maxWaiting;
  }

  /**
   * Runs a task when a permit is free. The signal ends the waiting only, the task minds it for itself: a permit is never
   * free while its task still works. @throws SemaphoreFullError; the reason of the signal
   */
  async run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    if (this.#running < this.#permits) this.#running++;
    else await this.#wait(signal);
    try {
      return await task();
    } finally {
      this.#release();
    }
  }

  /** Resolves holding the permit that an ending task hands over. */
  #wait(signal: AbortSignal | undefined): Promise<void> {
    if (this.#waiting.size >= this.#maxWaiting) {
      return Promise.reject(new SemaphoreFullError(`${this.#maxWaiting} calls are waiting already`));
    }
    return new Promise((resolve, reject) => {
      const enter = () => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      const leave = () => {
        this.#waiting.delete(enter);
        reject(signal?.reason);
      };
      this.#waiting.add(enter);
      signal?.addEventListener('abort', leave, { once: true });
    });
  }

  #release(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#running--;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
