/** Times of a {@link BackOff}, in milliseconds. */
export interface BackOffTimes {
  /** Before the first start again, and at most before later ones; each is twice the one before. */
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
  /** A program that has run this long begins with the first delay again. */
  readonly steadyMs: number;
}

/** How long to wait before a program that has ended is started again: the longer, the more often it ended. */
export class BackOff {
  readonly #times: BackOffTimes;
  #delayMs: number;

  constructor(times: BackOffTimes) {
    this.#times = times;
    this.#delayMs = times.firstDelayMs;
  }

  /** The pause before the next start, after the program has run for so long; 0 when it could not be started at all. */
  next(ranMs: number): number {
    const { firstDelayMs, longestDelayMs, steadyMs } = this.#times;
    const delayMs = ranMs >= steadyMs ? firstDelayMs : this.#delayMs;
    this.#delayMs = Math.min(delayMs * 2, longestDelayMs);
    return delayMs;
  }
}
