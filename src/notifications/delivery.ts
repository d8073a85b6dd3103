import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type Clock, UnavailableError } from '../core/index.ts';
import type { NotificationEndpointConfig } from './config.ts';
import type { EndpointClient, Outcome } from './endpoint-client.ts';
import type { QueuedEvent } from './event-queue.ts';
import type { Losses } from './losses.ts';
import type { NotificationMetrics } from './metrics.ts';
import type { QueueKeeper } from './queue-keeper.ts';
import { backoffMs } from './retry-wait.ts';
import { renderEnvelope } from './wire-event.ts';

/** What {@link Delivery} needs. */
export interface DeliveryDeps {
  readonly keeper: QueueKeeper;
  /** Closed by whoever made it, after the delivery has stopped. */
  readonly client: EndpointClient;
  readonly losses: Losses;
  readonly metrics: NotificationMetrics;
  readonly logger: Logger;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

/** Text of events in one request, unless a single one has more. */
const BATCH_BYTES = 1024 ** 2;
/** After a batch that was not full: in a rush a request for every few events would cost more than the events. */
const LINGER_MS = 20;
/** Between two tries to read the queue while the disk fails. */
const QUEUE_RETRY_MS = 1_000;

/**
 * Sends what is queued for one endpoint, in order, one request at a time. An event leaves the queue once a receiver has
 * taken it, so that one that was on its way when the program ended is sent again: at least once.
 *
 * - What fails is tried for ever, with growing waits.
 * - What is refused (4xx) is sent in halves, so that one event which a receiver cannot stand is soon alone and the others
 *   get through. Alone it is tried `maxRefusals` times and then dropped. The wait does not shrink by that: a receiver that
 *   refuses everything, because its URL is wrong, costs few events until somebody looks.
 */
export class Delivery {
  readonly #endpoint: NotificationEndpointConfig;
  readonly #maxAgeMs: number | undefined;
  readonly #deps: DeliveryDeps;
  readonly #logger: Logger;
  readonly #stopping = new AbortController();
  readonly #cutOff = new AbortController();
  #news = Promise.withResolvers<void>();
  #running: Promise<void> | undefined;
  #batchSize: number;
  /** Requests that were not taken since one was. */
  #failures = 0;
  /** How often the first event of the queue was refused by itself. */
  #refusals = 0;
  #redirect: string | undefined;

  constructor(
    endpoint: NotificationEndpointConfig,
    { maxAgeMs }: { readonly maxAgeMs: number | undefined },
    deps: DeliveryDeps,
  ) {
    this.#endpoint = endpoint;
    this.#maxAgeMs = maxAgeMs;
    this.#deps = deps;
    this.#logger = deps.logger.child({ endpoint: endpoint.name });
    this.#batchSize = endpoint.batchSize;
  }

  /** Begins with what is queued. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Says that there is something new in the queue. */
  wake(): void {
    this.#news.resolve();
  }

  /** Stops. A request that runs may end within `graceMs`; after that it is cut off, and sent again at the next start. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping.abort();
    this.#news.resolve();
    const timer = setTimeout(() => this.#cutOff.abort(), graceMs);
    await this.#running;
    clearTimeout(timer);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      // Taken before the look at the queue: what is queued during the step is not slept through.
      const news = this.#news.promise;
      const waitMs = await this.#step().catch((error: unknown) => {
        if (!(error instanceof UnavailableError || this.#cutOff.signal.aborted)) {
          this.#logger.error({ err: error }, 'a delivery of notifications broke off');
        }
        return QUEUE_RETRY_MS;
      });
      if (waitMs === undefined) {
        await news;
        this.#news = Promise.withResolvers();
      } else if (waitMs > 0) {
        await delay(waitMs, undefined, { signal }).catch(() => undefined); // Aborted: the loop ends by itself.
      }
    }
  }

  /** @returns how long to wait before the next one; `undefined` when nothing is queued */
  async #step(): Promise<number | undefined> {
    const { keeper, client, metrics } = this.#deps;
    this.#dropAged();
    const { name } = this.#endpoint;
    // The queue may be another one by the time of the answer: a damaged one is replaced.
    const { queue, events } = keeper.use((queue) => {
      return { queue, events: queue.read(name, { maxEvents: this.#batchSize, maxBytes: BATCH_BYTES }) };
    });
    const last = events.at(-1);
    if (last === undefined) return undefined;
    const outcome = await client.post(renderEnvelope(events.map(({ text }) => text)), this.#cutOff.signal);
    metrics.requests.inc({ endpoint: name, status: String(outcome.status) });
    const end = (seq: number) => {
      try {
        return keeper.change((current) => (current === queue ? queue.removeUpTo(name, seq) : 0));
      } catch {
        return 0; // The keeper has logged it. They are not read again, and counted when they can be deleted.
      }
    };
    if (outcome.kind === 'taken') {
      const full = events.length >= this.#batchSize;
      this.#taken(outcome, () => end(last.seq));
      return full ? 0 : LINGER_MS;
    }
    if (outcome.kind === 'refused') return this.#refused(outcome, events, () => end(last.seq));
    return this.#failed(outcome);
  }

  #dropAged(): void {
    const { keeper, clock, losses } = this.#deps;
    const maxAgeMs = this.#maxAgeMs;
    if (maxAgeMs === undefined) return;
    const { name } = this.#endpoint;
    let dropped = 0;
    try {
      dropped = keeper.use((queue) => queue.removeOlderThan(name, clock.nowMs() - maxAgeMs));
    } catch {
      return; // The keeper has logged it. They are not read again, so that the younger ones can go.
    }
    if (dropped > 0) this.#refusals = 0;
    losses.note(name, 'age', dropped);
  }

  #taken({ redirect }: Extract<Outcome, { kind: 'taken' }>, end: () => number): void {
    if (this.#failures > 0) this.#logger.info({ failures: this.#failures }, 'the endpoint takes notifications again');
    if (redirect !== undefined && redirect !== this.#redirect) {
      this.#logger.warn(
        { redirect },
        'the endpoint took notifications with a redirect elsewhere, which is not followed',
      );
    }
    this.#redirect = redirect;
    this.#failures = 0;
    this.#refusals = 0;
    this.#batchSize = Math.min(this.#endpoint.batchSize, this.#batchSize * 2);
    this.#deps.metrics.events.inc({ endpoint: this.#endpoint.name, result: 'delivered' }, end());
  }

  async #refused(outcome: Refused, events: readonly QueuedEvent[], end: () => number): Promise<number> {
    if (events.length > 1) {
      this.#batchSize = Math.floor(events.length / 2);
      this.#logger.warn(
        traitsOf(outcome, { events: events.length }),
        'notifications were refused; fewer go at once now',
      );
      return outcome.retryAfterMs ?? 0;
    }
    this.#refusals += 1;
    const { maxRefusals, name } = this.#endpoint;
    if (maxRefusals > 0 && this.#refusals >= maxRefusals) {
      this.#logger.error(
        traitsOf(outcome, { refusals: this.#refusals, event: events[0]?.text.slice(0, 2_000) }),
        'a notification is dropped: the endpoint has refused it too often',
      );
      this.#refusals = 0;
      this.#deps.losses.note(name, 'refused', end());
    }
    return this.#failed(outcome);
  }

  async #failed(outcome: Refused): Promise<number> {
    this.#failures += 1;
    // What a receiver asks for counts when it is longer.
    const backoff = Math.ceil(backoffMs(this.#failures, this.#endpoint, this.#deps.random()));
    const waitMs = Math.max(backoff, outcome.retryAfterMs ?? 0);
    this.#logger.warn(traitsOf(outcome, { failures: this.#failures, waitMs }), 'notifications were not taken');
    if (outcome.status === 401 || outcome.status === 403) await this.#reloadHeaders();
    return waitMs;
  }

  async #reloadHeaders(): Promise<void> {
    try {
      await this.#deps.client.reloadHeaders();
    } catch (error) {
      this.#logger.error({ err: error }, 'the headers of the endpoint cannot be read again; the old ones stay');
    }
  }
}

type Refused = Exclude<Outcome, { kind: 'taken' }>;

function traitsOf({ status, reason }: Refused, more: object): object {
  return { status, reason, ...more };
}
