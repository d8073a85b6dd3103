import { setImmediate as nextTurn } from 'node:timers/promises';

/** Answers in a row, some tenths of a millisecond together. */
const MOST_IN_A_TURN = 32;

/**
 * Keeps answers that need nothing of the system from taking the event loop for themselves: a caller that asks again as soon
 * as it is answered would keep timers and sockets waiting for ever.
 */
export class LoopTurns {
  #answers = 0;

  /** To be called before such an answer; resolves at once as a rule, and now and then after everybody else had a turn. */
  async take(): Promise<void> {
    if (this.#answers === 0) {
      setImmediate(() => {
        this.#answers = 0;
      });
    }
    this.#answers++;
    if (this.#answers > MOST_IN_A_TURN) await nextTurn();
  }
}
