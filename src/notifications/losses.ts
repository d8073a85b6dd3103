import type { Logger } from 'pino';
import type { Clock } from '../core/index.ts';
import type { LossReason, NotificationMetrics } from './metrics.ts';

/** A line per endpoint and reason as often as this; the metrics count every event. */
const LOG_EVERY_MS = 60_000;

interface Unsaid {
  events: number;
  loggedAtMs: number;
}

/** Counts events that are given up, and logs them without filling the log: a queue that is full drops some at every turn. */
export class Losses {
  readonly #logger: Logger;
  readonly #metrics: NotificationMetrics;
  readonly #clock: Clock;
  readonly #unsaid = new Map<string, Unsaid>();

  constructor(deps: { readonly logger: Logger; readonly metrics: NotificationMetrics; readonly clock: Clock }) {
    this.#logger = deps.logger;
    this.#metrics = deps.metrics;
    this.#clock = deps.clock;
  }

  /** Notes that `events` events of an endpoint are lost. */
  note(endpoint: string, reason: LossReason, events: number): void {
    if (events === 0) return;
    this.#metrics.dropped.inc({ endpoint, reason }, events);
    const key = `${reason} ${endpoint}`;
    const nowMs = this.#clock.monotonicMs();
    const unsaid = this.#unsaid.get(key) ?? { events: 0, loggedAtMs: Number.NEGATIVE_INFINITY };
    this.#unsaid.set(key, unsaid);
    unsaid.events += events;
    if (nowMs - unsaid.loggedAtMs < LOG_EVERY_MS) return;
    this.#say(key, unsaid);
    unsaid.loggedAtMs = nowMs;
  }

  /** Logs what has not been said yet; at the end. */
  sayAll(): void {
    for (const [key, unsaid] of this.#unsaid) this.#say(key, unsaid);
  }

  #say(key: string, unsaid: Unsaid): void {
    if (unsaid.events === 0) return;
    const [reason, endpoint] = key.split(' ');
    this.#logger.error({ endpoint, reason, events: unsaid.events }, 'notifications were dropped');
    unsaid.events = 0;
  }
}
