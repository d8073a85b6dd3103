import type { Logger } from 'pino';
import type { AnnouncedPeer, Announcer, SwarmReport } from '../swarm.ts';
import { AnnounceLedger } from './announce-ledger.ts';

/** What the loop needs of its swarm. */
export interface AnnounceLoopDeps {
  readonly announcer: Announcer;
  readonly logger: Logger;
  /** All swarms of this host as they stand now, none named twice; the loop sends what has changed of them. */
  readonly describe: () => HostDescription;
  readonly onPeers: (swarmId: string, peers: readonly AnnouncedPeer[]) => void;
  /** Spreads the announces of hosts that started together; `Math.random` unless told. */
  readonly random?: () => number;
}

/** A host and its swarms. */
export type HostDescription = Omit<Parameters<Announcer['announce']>[0], 'sequence' | 'since' | 'full'>;

/** The first change after quiet goes out at once; those that come within this time after it go out together. */
const GATHER_MS = 20;
/** After a failure, about: the tracker may be restarting. */
const RETRY_MS = 1_000;
/** On stopping: peers learn at once that this one is gone, but an absent tracker must not hold up the end. */
const STOP_TIMEOUT_MS = 1_000;
/** Swarms that one announce carries at most (the tracker's own limit). */
const MAX_SWARMS = 10_000;
/** An interval is cut by up to this share, so that hosts that started together do not announce together for ever. */
const JITTER = 0.15;

/**
 * One announce for all blobs of a host, again and again, and as soon as something changes: a pull's first byte waits for it.
 * It carries what has changed since the last one; one without changes renews the host's stay in all its swarms.
 * Announces go out one after the other.
 */
export class AnnounceLoop {
  readonly #deps: AnnounceLoopDeps;
  readonly #random: () => number;
  readonly #ledger = new AnnounceLedger();
  readonly #abort = new AbortController();
  #cancelNext: () => void = () => {};
  #dueAtMs = Number.POSITIVE_INFINITY;
  #beganAtMs = Number.NEGATIVE_INFINITY;
  #running: Promise<void> = Promise.resolve();
  #again = false;
  #busy = false;
  #started = false;

  constructor(deps: AnnounceLoopDeps) {
    this.#deps = deps;
    this.#random = deps.random ?? Math.random;
  }

  start(): void {
    this.#started = true;
    this.soon();
  }

  /** Something has changed: announce it without waiting for the interval. */
  soon(): void {
    if (!this.#started) return;
    if (this.#busy) this.#again = true;
    else this.#schedule(this.#beganAtMs + GATHER_MS - performance.now());
  }

  /** Tells the tracker that this host leaves all swarms. */
  async stop(): Promise<void> {
    this.#started = false;
    this.#cancelNext();
    this.#abort.abort(new Error('the swarm is closing'));
    await this.#running;
    const host = this.#deps.describe();
    try {
      const changes = { full: false, swarms: this.#ledger.allStopped(host.swarms) };
      await this.#send(host, changes, AbortSignal.timeout(STOP_TIMEOUT_MS));
    } catch (error) {
      // The tracker drops a silent peer by itself.
      this.#deps.logger.debug({ err: error }, 'announce of the end failed');
    }
  }

  #schedule(delayMs: number): void {
    const dueAtMs = performance.now() + delayMs;
    if (dueAtMs >= this.#dueAtMs) return;
    this.#cancelNext();
    this.#dueAtMs = dueAtMs;
    const begin = () => {
      this.#running = this.#announce();
    };
    if (delayMs <= 0) {
      // Not this moment: what changes in the same turn of the event loop goes along.
      const immediate = setImmediate(begin);
      this.#cancelNext = () => clearImmediate(immediate);
    } else {
      const timer = setTimeout(begin, delayMs);
      this.#cancelNext = () => clearTimeout(timer);
    }
  }

  async #announce(): Promise<void> {
    this.#dueAtMs = Number.POSITIVE_INFINITY;
    this.#beganAtMs = performance.now();
    this.#busy = true;
    let nextMs = RETRY_MS * (0.5 + this.#random());
    try {
      nextMs = (await this.#announceChanges()) * (1 - JITTER * this.#random());
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#deps.logger.warn({ err: error }, 'announce failed');
    }
    this.#busy = false;
    if (!this.#started) return;
    const again = this.#again;
    this.#again = false;
    this.#schedule(nextMs);
    if (again) this.soon();
  }

  /** @returns when to announce again, in milliseconds */
  async #announceChanges(): Promise<number> {
    const host = this.#deps.describe();
    const changes = this.#ledger.changesTo(host.swarms);
    const intervalMs = await this.#send(host, changes, this.#abort.signal);
    if (intervalMs !== undefined) return intervalMs;
    // It has been restarted, or is another one: it gets everything, at once.
    const again = this.#deps.describe();
    const answered = await this.#send(again, this.#ledger.changesTo(again.swarms), this.#abort.signal);
    if (answered !== undefined) return answered;
    throw new Error('the tracker asked for all swarms although it had just got them: trackers may be changing places');
  }

  /**
   * One request as a rule; more when there are more swarms than one may carry.
   * @returns when to announce again; `undefined` when the tracker wants to know everything
   */
  async #send(
    host: HostDescription,
    { full, swarms }: { readonly full: boolean; readonly swarms: readonly SwarmReport[] },
    signal: AbortSignal,
  ): Promise<number | undefined> {
    let intervalMs = RETRY_MS;
    for (let from = 0; from === 0 || from < swarms.length; from += MAX_SWARMS) {
      const some = swarms.slice(from, from + MAX_SWARMS);
      const numbers = this.#ledger.send(some);
      const request = { ...host, ...numbers, ...(full && from === 0 ? { full } : {}), swarms: some };
      const answer = await this.#deps.announcer.announce(request, signal);
      if (answer.full === true) {
        this.#ledger.forget();
        return undefined;
      }
      this.#ledger.answered(numbers.sequence, some);
      for (const swarmId in answer.swarms) this.#deps.onPeers(swarmId, answer.swarms[swarmId]!);
      intervalMs = answer.intervalMs;
    }
    return intervalMs;
  }
}
