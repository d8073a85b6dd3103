import type { Logger } from 'pino';
import { type Clock, UnavailableError } from '../../core/index.ts';
import type { SwarmStatistics } from '../swarm.ts';
import { BUSY } from './loop-busyness.ts';
import type { ProcessStatus } from './protocol.ts';
import { countsOf, NO_STATISTICS, sumOf } from './summed-statistics.ts';

/** One of the processes, as the pool sees it. */
export interface PooledProcess {
  readonly pid: number | undefined;
  readonly port: number | undefined;
  readonly hasEnded: boolean;
  /** What it told last. */
  readonly status: ProcessStatus | undefined;
  /** Whether downloads are there, also those that it has not told of yet. */
  readonly isFetching: boolean;
  /** One more step of time has passed. @returns how many in a row without a word from it */
  step(): number;
  /** Ends it at once. */
  kill(): void;
  /** Ends it; never rejects. */
  close(): Promise<void>;
}

/** What a {@link ProcessPool} works with. */
export interface ProcessPoolDeps<P extends PooledProcess> {
  /** Processes at most. */
  readonly most: number;
  /** One that has had no swarm for this long is ended. */
  readonly emptyMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Starts one; no two that run have the same slot, 0 to `most` - 1. */
  readonly start: (slot: number, onEnded: () => void) => Promise<P>;
  /** One has started, or ended. */
  readonly onChange: () => void;
}

/** After a process has not begun, or has died. Doubled each time, up to the longest. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;
/** Steps without a word after which a process hangs. They are this process's own, which may have been stopped, too. */
const SILENT_STEPS = 30;

interface Member<P> {
  readonly process: P;
  readonly startedAtMs: number;
  emptySinceMs: number;
  /** It is being ended on purpose. */
  closing: Promise<void> | undefined;
}

/** The peer processes of a host: started when one is wanted, ended when they have nothing to do. */
export class ProcessPool<P extends PooledProcess> {
  readonly #deps: ProcessPoolDeps<P>;
  readonly #members = new Map<number, Member<P>>();
  #starting: Promise<void> | undefined;
  #pauseMs = FIRST_PAUSE_MS;
  #notBeforeMs = 0;
  #ended = NO_STATISTICS;
  #closed = false;

  constructor(deps: ProcessPoolDeps<P>) {
    this.#deps = deps;
  }

  /** Those that run, and are not being ended. */
  all(): P[] {
    return [...this.#members.values()].filter(({ closing }) => closing === undefined).map(({ process }) => process);
  }

  /** The process that is least busy, if it is less than this, and has time left. One that has just begun has not told yet. */
  idlest(lessThan: number): P | undefined {
    const byLoad = this.all().sort((a, b) => loadOf(a) - loadOf(b));
    const [least] = byLoad;
    return least !== undefined && loadOf(least) < Math.min(lessThan, BUSY) ? least : undefined;
  }

  /** Starts one more, unless there are as many as may be, or the last one failed just now. */
  startOne(): void {
    const nowMs = this.#deps.clock.monotonicMs();
    if (this.#closed || this.#starting !== undefined || nowMs < this.#notBeforeMs) return;
    const slots = Array.from({ length: this.#deps.most }, (_, slot) => slot);
    const slot = slots.find((one) => !this.#members.has(one));
    if (slot === undefined) return;
    this.#starting = this.#start(slot).finally(() => {
      this.#starting = undefined;
    });
  }

  /** Time has passed: looks after those that hang, and those that have nothing to do. */
  step(): void {
    const nowMs = this.#deps.clock.monotonicMs();
    for (const member of this.#members.values()) {
      const { process } = member;
      if (process.step() > SILENT_STEPS) {
        this.#deps.logger.warn({ process: process.pid }, 'a peer process hangs, and is killed');
        process.kill();
      }
      if (process.isFetching || process.status === undefined || process.status.swarms > 0) member.emptySinceMs = nowMs;
      if (nowMs - member.emptySinceMs > this.#deps.emptyMs) void this.#end(member);
    }
  }

  /** The sums over all processes, also of those that have ended. */
  statistics(): SwarmStatistics {
    const running = [...this.#members.values()].map(({ process }) => process.status?.statistics ?? NO_STATISTICS);
    return { ...running.reduce(sumOf, this.#ended), processes: this.#members.size };
  }

  /** Ends all. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#starting;
    await Promise.all([...this.#members.values()].map((member) => this.#end(member)));
  }

  async #start(slot: number): Promise<void> {
    const { clock, logger, start, onChange } = this.#deps;
    try {
      const process = await start(slot, () => this.#onEnded(slot));
      if (process.hasEnded) throw new UnavailableError('a peer process ended as soon as it had begun');
      const nowMs = clock.monotonicMs();
      this.#members.set(slot, { process, startedAtMs: nowMs, emptySinceMs: nowMs, closing: undefined });
      logger.info({ process: process.pid, port: process.port }, 'a peer process has begun');
      onChange();
    } catch (error) {
      logger.warn({ err: error }, 'a peer process has not begun');
      this.#pause();
    }
  }

  #end(member: Member<P>): Promise<void> {
    member.closing ??= member.process.close();
    return member.closing;
  }

  #onEnded(slot: number): void {
    const member = this.#members.get(slot);
    if (member === undefined) return;
    const { process, closing, startedAtMs } = member;
    this.#members.delete(slot);
    this.#ended = sumOf(this.#ended, countsOf(process.status?.statistics ?? NO_STATISTICS));
    if (closing === undefined) {
      this.#deps.logger.warn({ process: process.pid }, 'a peer process has died: what it had goes on in this one');
      if (this.#deps.clock.monotonicMs() - startedAtMs > LONGEST_PAUSE_MS) this.#pauseMs = FIRST_PAUSE_MS;
      this.#pause();
    }
    this.#deps.onChange();
  }

  #pause(): void {
    this.#notBeforeMs = this.#deps.clock.monotonicMs() + this.#pauseMs;
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * this.#pauseMs);
  }
}

function loadOf(process: PooledProcess): number {
  return process.status?.utilisation ?? 0;
}
