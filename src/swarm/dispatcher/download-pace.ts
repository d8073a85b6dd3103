/** The rate is looked at this often, in ms. */
const PERIOD_MS = 100;
/** The rate is a running mean over about so many periods. */
const PERIODS = 6;

/**
 * How many pieces a download has to have on its way to keep up its rate, found by trying: fewer while the rate is what it
 * was at best, more when it falls. Only wires to peers whose uplinks others need more are held to it.
 */
export class DownloadPace {
  /** Pieces on their way that are enough. */
  enough = Number.POSITIVE_INFINITY;
  #rate = 0;
  #best = 0;
  #pieces = 0;
  #sinceMs: number;

  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
  }

  /** A piece came in. */
  onPiece(): void {
    this.#pieces++;
  }

  tick(nowMs: number, inFlight: number): void {
    const tookMs = nowMs - this.#sinceMs;
    if (tookMs < PERIOD_MS * 0.9) return;
    this.#rate += (this.#pieces / tookMs - this.#rate) / PERIODS;
    this.#sinceMs = nowMs;
    this.#pieces = 0;
    // What was best is forgotten slowly: the link may have become narrower for good.
    this.#best = Math.max(this.#rate, this.#best * 0.997);
    if (this.#rate > 0.96 * this.#best) this.enough = Math.max(2, Math.min(this.enough, inFlight) - 1);
    else if (this.#rate < 0.93 * this.#best) this.enough += 2;
  }
}
