/** Calls that wait until a range of pieces is verified. */
export class RangeWaiters {
  readonly #has: (piece: number) => boolean;
  readonly #waiters = new Set<Waiter>();

  constructor(has: (piece: number) => boolean) {
    this.#has = has;
  }

  /** Resolves when all pieces from `first` to `last` are there. Rejects with the signal's reason, or that of {@link end}. */
  wait(first: number, last: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    const waiter: Waiter = { next: first, last, ...Promise.withResolvers<void>() };
    if (this.#advance(waiter)) return Promise.resolve();
    const onAbort = () => {
      this.#waiters.delete(waiter);
      waiter.reject(signal?.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#waiters.add(waiter);
    return waiter.promise.finally(() => signal?.removeEventListener('abort', onAbort));
  }

  /** More pieces are there. */
  onVerified(): void {
    for (const waiter of this.#waiters) {
      if (!this.#advance(waiter)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }

  /** Nothing more will come. */
  end(reason: Error): void {
    for (const waiter of this.#waiters) waiter.reject(reason);
    this.#waiters.clear();
  }

  /** Moves a waiter over verified pieces. @returns whether it has all it waits for */
  #advance(waiter: Waiter): boolean {
    while (waiter.next <= waiter.last && this.#has(waiter.next)) waiter.next++;
    return waiter.next > waiter.last;
  }
}

interface Waiter extends PromiseWithResolvers<void> {
  next: number;
  readonly last: number;
}
