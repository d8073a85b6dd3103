/** How a dial ended without a wire: nobody there, closed before its handshake, or no answer in time. */
export type DialFailure = 'refused' | 'closed' | 'timeout';

/** A peer to dial. */
export interface Dial {
  /** Calls back once: without anything when there is a wire. */
  readonly connect: (done: (failure?: DialFailure) => void) => void;
  /** Whether nobody wants it any more. */
  readonly cancelled: () => boolean;
  readonly onFailed: (failure: DialFailure) => void;
  /** It has ended, well or not, and will not be tried again. */
  readonly onEnded: () => void;
}

/** Dials of one process at a time; more at once would make a crowd of every arrival. */
const MAX_AT_ONCE = 4;

/** Dials that wait; a host that knows of more peers than this has enough of them. */
const MAX_WAITING = 1_024;

/** One that follows another starts after up to this, so that hosts that were told the same do not move in step. */
const JITTER_MS = 20;

/** A peer may be about to load the blob: it is dialled again after 50 to 100 ms, this often. */
const MAX_RETRIES = 3;
const RETRY_MS = 50;

/** Dials a few peers at a time, the rest in order, and those again that closed before their handshake. */
export class Dialler {
  readonly #random: () => number;
  readonly #waiting: Attempt[] = [];
  readonly #timers = new Set<NodeJS.Timeout>();
  #running = 0;
  #closed = false;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Queues a dial. @returns whether there was room; without, nothing is called back */
  add(dial: Dial): boolean {
    if (this.#closed || this.#waiting.length >= MAX_WAITING) return false;
    this.#waiting.push({ dial, retries: 0 });
    this.#startNext(0);
    return true;
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#waiting.length = 0;
  }

  #startNext(delayMs: number): void {
    if (this.#closed || this.#running >= MAX_AT_ONCE) return;
    const attempt = this.#waiting.shift();
    if (attempt === undefined) return;
    this.#running++;
    this.#after(delayMs, () => this.#start(attempt));
  }

  #start(attempt: Attempt): void {
    const { dial } = attempt;
    if (dial.cancelled()) {
      this.#end(dial);
      return;
    }
    let ended = false;
    dial.connect((failure) => {
      if (ended) return;
      ended = true;
      if (failure === 'closed' && attempt.retries < MAX_RETRIES) this.#retry(attempt);
      else this.#end(dial, failure);
    });
  }

  #retry(attempt: Attempt): void {
    this.#free();
    attempt.retries++;
    this.#after(RETRY_MS * (1 + this.#random()), () => {
      // It has waited long enough: before those that have not been dialled yet.
      this.#waiting.unshift(attempt);
      this.#startNext(0);
    });
  }

  #end(dial: Dial, failure?: DialFailure): void {
    dial.onEnded();
    if (failure !== undefined) dial.onFailed(failure);
    this.#free();
  }

  #free(): void {
    this.#running--;
    this.#startNext(JITTER_MS * this.#random());
  }

  #after(delayMs: number, action: () => void): void {
    if (delayMs === 0) {
      action();
      return;
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!this.#closed) action();
    }, delayMs);
    this.#timers.add(timer);
  }
}

interface Attempt {
  readonly dial: Dial;
  retries: number;
}
