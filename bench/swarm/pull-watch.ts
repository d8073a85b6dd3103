import { setTimeout as sleep } from 'node:timers/promises';
import { monotonicMs } from '../lib/monotonic.ts';
import type { HostPull, PreparedSwarm } from './engine.ts';

/** How one host stands when the run is over. */
export interface PullOutcome {
  readonly status: 'finished' | 'unfinished' | 'killed' | 'failed';
  readonly pull?: HostPull;
  /** Of a host that was still at it. */
  readonly partial?: { readonly bytes: number; readonly afterMs: number };
  readonly error?: string;
}

/** The pulls of one run: begins them all, and knows when those that count are over. */
export class PullWatch {
  readonly #swarm: PreparedSwarm;
  readonly #startMs: ReadonlyMap<number, number>;
  readonly #ended = new Map<number, PullOutcome>();
  readonly #expectedLosses = new Set<number>();
  readonly #judged: Promise<unknown>;

  /**
   * @param startMs when each host is to begin, on the monotonic clock
   * @param judged the hosts that the run waits for
   */
  constructor(swarm: PreparedSwarm, startMs: ReadonlyMap<number, number>, judged: readonly number[]) {
    this.#swarm = swarm;
    this.#startMs = startMs;
    const pulls = new Map([...startMs].map(([host, atMs]) => [host, this.#follow(host, atMs)]));
    this.#judged = Promise.all(judged.map((host) => pulls.get(host)));
  }

  /** From now on the end of this host is no failure. */
  expectLoss(host: number): void {
    this.#expectedLosses.add(host);
  }

  /** Resolves when every host that counts has ended, well or not, or at that moment of the monotonic clock. */
  async done(deadlineMs: number, signal: AbortSignal): Promise<void> {
    const timer = new AbortController();
    const either = AbortSignal.any([timer.signal, signal]);
    const timeout = sleep(Math.max(0, deadlineMs - monotonicMs()), undefined, { signal: either }).catch(() => {
      // Ended early: the pulls are over, or the whole bench is.
    });
    await Promise.race([this.#judged, timeout]);
    timer.abort();
  }

  /** How a host stands. */
  async outcome(host: number): Promise<PullOutcome> {
    const ended = this.#ended.get(host);
    if (ended !== undefined) return ended;
    if (this.#expectedLosses.has(host)) return { status: 'killed' };
    const afterMs = monotonicMs() - this.#startMs.get(host)!;
    const { bytes } = await this.#swarm.progress(host);
    return { status: 'unfinished', partial: { bytes, afterMs } };
  }

  async #follow(host: number, atMs: number): Promise<void> {
    try {
      this.#ended.set(host, { status: 'finished', pull: await this.#swarm.pull(host, atMs) });
    } catch (error) {
      const lost = this.#expectedLosses.has(host);
      this.#ended.set(host, lost ? { status: 'killed' } : { status: 'failed', error: (error as Error).message });
    }
  }
}
