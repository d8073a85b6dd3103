import { performance } from 'node:perf_hooks';

const SAMPLE_MS = 1000;
/**
 * Above this share of one core, work goes to another thread although that costs more in sum. Counted as processor time of
 * this thread, not as the loop's utilisation: where processes compete for few cores a loop seems busy while it waits for a
 * core, and hops to a thread make that worse (eight agents on two cores: 0.75 of line rate with hops).
 */
const LIGHT_SHARE = 0.6;
/** A write into the page cache takes 0.02 ms; one that takes this long waits for the disk, not for a core. */
const SLOW_WRITE_MS = 50;
const SLOW_FOR_MS = 10_000;
/** What is done at once in one turn of the loop, so that many pieces at a time do not stop it. */
const TURN_BYTES = 512 * 1024;

/** Whether there is time on the event loop for small pieces, and none of them would wait there for the disk. */
export class LoopLoad {
  readonly #usedMs: () => number;
  readonly #nowMs: () => number;
  #sampledMs: number;
  #sampledAtMs: number;
  #isLight = true;
  #slowUntilMs = 0;
  #bytesOfTurn = 0;

  /** @param clocks processor time that this thread has used, and the time, both in ms */
  constructor(clocks: { usedMs: () => number; nowMs: () => number } = threadClocks) {
    this.#usedMs = clocks.usedMs;
    this.#nowMs = clocks.nowMs;
    this.#sampledMs = clocks.usedMs();
    this.#sampledAtMs = clocks.nowMs();
  }

  /** Whether this many bytes may be hashed and written on the loop now; counts them when they may. */
  admits(bytes: number): boolean {
    const nowMs = this.#nowMs();
    if (nowMs - this.#sampledAtMs >= SAMPLE_MS) this.#measure(nowMs);
    if (!this.#isLight || nowMs < this.#slowUntilMs || this.#bytesOfTurn + bytes > TURN_BYTES) return false;
    if (this.#bytesOfTurn === 0) {
      setImmediate(() => {
        this.#bytesOfTurn = 0;
      });
    }
    this.#bytesOfTurn += bytes;
    return true;
  }

  /** A write on the loop took so long. */
  wrote(durationMs: number): void {
    if (durationMs > SLOW_WRITE_MS) this.#slowUntilMs = this.#nowMs() + SLOW_FOR_MS;
  }

  #measure(nowMs: number): void {
    const usedMs = this.#usedMs();
    this.#isLight = usedMs - this.#sampledMs < LIGHT_SHARE * (nowMs - this.#sampledAtMs);
    this.#sampledMs = usedMs;
    this.#sampledAtMs = nowMs;
  }
}

const threadClocks = {
  usedMs: () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  },
  nowMs: () => performance.now(),
};
