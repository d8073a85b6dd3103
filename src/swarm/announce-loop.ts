import type { Logger } from 'pino';
import type { AnnouncedPeer, Announcer } from './swarm.ts';

/** What the loop needs of its swarm. */
export interface AnnounceLoopDeps {
  readonly announcer: Announcer;
  readonly logger: Logger;
  /** All swarms of this host as they stand now. */
  readonly describe: () => Parameters<Announcer['announce']>[0];
  readonly onPeers: (swarmId: string, peers: readonly AnnouncedPeer[]) => void;
}

/** Changes that come within this time go out in one announce. */
const GATHER_MS = 20;
/** After a failure: the tracker may be restarting. */
const RETRY_MS = 1_000;
/** On stopping: peers learn at once that this one is gone, but an absent tracker must not hold up the end. */
const STOP_TIMEOUT_MS = 1_000;
/** Swarms that one announce carries at most (the tracker's own limit). */
const MAX_SWARMS = 10_000;

/** One announce for all blobs of a host, again and again, and soon after a change. */
export class AnnounceLoop {
  readonly #deps: AnnounceLoopDeps;
  readonly #abort = new AbortController();
  /** Whether each swarm of the last announce still stood; those that went are reported as stopped. */
  #announced = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #dueAtMs = Number.POSITIVE_INFINITY;
  #running: Promise<void> = Promise.resolve();
  #again = false;
  #busy = false;
  #started = false;

  constructor(deps: AnnounceLoopDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#started = true;
    this.soon();
  }

  /** Something has changed: announce it without waiting for the interval. */
  soon(): void {
    if (this.#started) this.#schedule(GATHER_MS);
  }

  /** Tells the tracker that this host leaves all swarms. */
  async stop(): Promise<void> {
    this.#started = false;
    clearTimeout(this.#timer);
    this.#abort.abort(new Error('the swarm is closing'));
    await this.#running;
    const request = this.#deps.describe();
    const ids = new Set([...this.#announced, ...request.swarms.map((swarm) => swarm.swarmId as string)]);
    const swarms = [...ids].map((swarmId) => stopped(swarmId));
    try {
      await this.#send({ ...request, swarms }, AbortSignal.timeout(STOP_TIMEOUT_MS));
    } catch (error) {
      // The tracker drops a silent peer by itself.
      this.#deps.logger.debug({ err: error }, 'announce of the end failed');
    }
  }

  #schedule(delayMs: number): void {
    if (this.#busy) {
      this.#again = true;
      return;
    }
    const dueAtMs = performance.now() + delayMs;
    if (dueAtMs >= this.#dueAtMs) return;
    clearTimeout(this.#timer);
    this.#dueAtMs = dueAtMs;
    this.#timer = setTimeout(() => {
      this.#running = this.#announce();
    }, delayMs);
  }

  async #announce(): Promise<void> {
    this.#dueAtMs = Number.POSITIVE_INFINITY;
    this.#busy = true;
    let nextMs = RETRY_MS;
    try {
      nextMs = await this.#announceOnce();
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#deps.logger.warn({ err: error }, 'announce failed');
    }
    this.#busy = false;
    if (!this.#started) return;
    const again = this.#again;
    this.#again = false;
    this.#schedule(again ? GATHER_MS : nextMs);
  }

  async #announceOnce(): Promise<number> {
    const request = this.#deps.describe();
    const current = new Set<string>(request.swarms.map((swarm) => swarm.swarmId));
    const gone = [...this.#announced].filter((swarmId) => !current.has(swarmId)).map((swarmId) => stopped(swarmId));
    const intervalMs = await this.#send({ ...request, swarms: [...gone, ...request.swarms] }, this.#abort.signal);
    this.#announced = current;
    return intervalMs;
  }

  /** One request as a rule; a host with more swarms than one may carry sends several. @returns when to announce again */
  async #send(request: Parameters<Announcer['announce']>[0], signal: AbortSignal): Promise<number> {
    let intervalMs = RETRY_MS;
    for (let from = 0; from === 0 || from < request.swarms.length; from += MAX_SWARMS) {
      const swarms = request.swarms.slice(from, from + MAX_SWARMS);
      const answer = await this.#deps.announcer.announce({ ...request, swarms }, signal);
      for (const [swarmId, peers] of Object.entries(answer.swarms)) this.#deps.onPeers(swarmId, peers);
      intervalMs = answer.intervalMs;
    }
    return intervalMs;
  }
}

function stopped(swarmId: string): Parameters<Announcer['announce']>[0]['swarms'][number] {
  return { swarmId: swarmId as never, event: 'stopped', complete: false, want: 0 };
}
