import { performance } from 'node:perf_hooks';

/** Above this share of busy time an event loop has no time left. */
export const BUSY = 0.8;
/** The load is measured in steps of this length. */
export const LOAD_STEP_MS = 1_000;

/** How busy the main process's event loop is. */
export interface LoopBusyness {
  /** Takes a measurement; called every {@link LOAD_STEP_MS}. */
  measure(): void;
  /** Busy time in the last two seconds, 0 to 1. */
  readonly utilisation: number;
  /** For how long it has been over {@link BUSY}. */
  readonly busyMs: number;
}

/**
 * A loop that waits for a core is busy, but another process would wait with it: to count as busy, its thread has to get
 * three quarters of what the loop takes.
 */
const LEAST_CORE = 0.75;

/** {@link LoopBusyness} of this process. */
export class MeasuredBusyness implements LoopBusyness {
  #loop = performance.eventLoopUtilization();
  #cpu = process.threadCpuUsage();
  #atMs = performance.now();
  #last = 0;
  #beforeLast = 0;
  #busyMs = 0;

  get utilisation(): number {
    return (this.#last + this.#beforeLast) / 2;
  }

  get busyMs(): number {
    return this.#busyMs;
  }

  measure(): void {
    const loop = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(loop, this.#loop);
    const { user, system } = process.threadCpuUsage(this.#cpu);
    const nowMs = performance.now();
    const elapsedMs = nowMs - this.#atMs;
    const core = (user + system) / 1_000 / elapsedMs;
    this.#loop = loop;
    this.#cpu = process.threadCpuUsage();
    this.#atMs = nowMs;
    this.#beforeLast = this.#last;
    this.#last = Math.min(utilization, core / LEAST_CORE);
    this.#busyMs = this.#last > BUSY ? this.#busyMs + elapsedMs : 0;
  }
}
