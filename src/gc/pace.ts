import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../core/index.ts';

/** Spreads operations evenly, so that a collection leaves the storage to those who push and pull. */
export class Pace {
  readonly #clock: Clock;
  readonly #everyMs: number;
  #nextMs = 0;

  /** @param perSecond operations a second at most; `undefined` for as many as the storage takes */
  constructor(perSecond: number | undefined, clock: Clock) {
    this.#clock = clock;
    this.#everyMs = perSecond === undefined ? 0 : 1000 / perSecond;
  }

  /** Resolves when the next operation may begin. @throws the reason of the signal */
  async turn(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#everyMs === 0) return;
    const nowMs = this.#clock.monotonicMs();
    const turnMs = Math.max(nowMs, this.#nextMs);
    this.#nextMs = turnMs + this.#everyMs;
    if (turnMs <= nowMs) return;
    try {
      await sleep(turnMs - nowMs, undefined, { signal, ref: true });
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  }
}
