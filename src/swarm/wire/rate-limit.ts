/**
 * A limit of bytes a second. Whoever has bytes to move asks whether some may go, moves them, and then counts what it was:
 * the bucket may go into debt by one block or chunk, and waits until that is paid back. So what passes keeps to the rate
 * over time, whatever the sizes.
 */
export class TokenBucket {
  readonly #nowMs: () => number;
  readonly #savedMs: number;
  #bytesPerMs = 0;
  #tokens = 0;
  #atMs = 0;
  #awaited = false;

  /** `nowMs` never runs backwards; an idle bucket saves up `savedMs`. Without {@link setRate} nothing is limited. */
  constructor(nowMs: () => number, savedMs = SAVED_MS) {
    this.#nowMs = nowMs;
    this.#savedMs = savedMs;
  }

  /** Whether there is a limit at all. */
  get limited(): boolean {
    return this.#bytesPerMs > 0;
  }

  /** Bytes a second; 0 for no limit. Takes effect at once; a debt stays. */
  setRate(bytesPerSecond: number): void {
    this.#refill();
    this.#bytesPerMs = bytesPerSecond / 1000;
    // What was saved up under another rate would be a burst under this one.
    this.#tokens = this.limited ? Math.min(0, this.#tokens) : 0;
  }

  /** As if nothing had been moved for long. */
  fill(): void {
    this.#tokens = this.#bytesPerMs * this.#savedMs;
  }

  /** Counts bytes that have been moved. */
  take(bytes: number): void {
    if (!this.limited) return;
    this.#refill();
    this.#awaited = false;
    this.#tokens -= bytes;
  }

  /** How long to wait until bytes may be moved, in milliseconds; 0 when they may. Whoever has to wait has bytes to move. */
  waitMs(): number {
    if (!this.limited) return 0;
    this.#refill();
    if (this.#tokens > 0) return 0;
    this.#awaited = true;
    return Math.max(1, Math.ceil(-this.#tokens / this.#bytesPerMs));
  }

  /** Bytes that may be moved now; without a limit any number. */
  available(): number {
    if (!this.limited) return Number.POSITIVE_INFINITY;
    this.#refill();
    return Math.max(0, this.#tokens);
  }

  #refill(): void {
    const nowMs = this.#nowMs();
    const most = this.#bytesPerMs * (this.#awaited ? Math.max(LATE_MS, this.#savedMs) : this.#savedMs);
    const grown = this.#tokens + (nowMs - this.#atMs) * this.#bytesPerMs;
    // What was there stays there: it was earned by waiting.
    this.#tokens = Math.max(this.#tokens, Math.min(most, grown));
    this.#atMs = nowMs;
  }
}

/** What an idle bucket saves up: too little to be seen as a burst. */
const SAVED_MS = 50;

/** What one saves up that somebody waits for, so that timers of a busy event loop that fire late cost nothing. */
const LATE_MS = 500;
