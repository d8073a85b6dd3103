/** The rate is that of so many suggestions that came back last. */
const LAST = 32;
/** Beyond what is on its way at best, pieces may wait in the origin's uplink for about so long. */
const WAIT_MS = 250;
/** So many may be open whatever the rate. */
const LEAST = 8;

/**
 * How many suggestions an origin may have open, to all its peers together. What is open beyond what the uplink carries only
 * waits in it, and a suggestion waits behind the pieces that were suggested before: with many wires on a narrow uplink for
 * seconds. By Little's law as many may be open as come back in the time that one takes at best, and a little more.
 */
export class SuggestionBudget {
  /** Suggestions that are open. */
  open = 0;
  readonly #atMs = new Float64Array(LAST);
  #returned = 0;
  /** Never forgotten: what is open makes every later one take longer. */
  #leastMs = Number.POSITIVE_INFINITY;
  #most = Number.POSITIVE_INFINITY;

  /** Whether no more may be opened for now. */
  get spent(): boolean {
    return this.open >= this.#most;
  }

  /** The peer has a suggested piece, so long after it was suggested. */
  onTurnaround(tookMs: number, nowMs: number): void {
    this.#leastMs = Math.min(this.#leastMs, tookMs);
    const at = this.#returned++ % LAST;
    const sinceMs = this.#atMs[at]!;
    this.#atMs[at] = nowMs;
    if (this.#returned <= LAST) return;
    const perMs = LAST / Math.max(nowMs - sinceMs, 1);
    this.#most = Math.max(LEAST, Math.ceil(perMs * (this.#leastMs + WAIT_MS)));
  }
}
