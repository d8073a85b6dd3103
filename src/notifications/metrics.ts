import { Counter, Gauge, type Registry } from 'prom-client';

/** Why an event was given up. */
export type LossReason = 'queue_full' | 'age' | 'refused' | 'disk' | 'damaged';

/** What is asked of the queue at each scrape. */
export interface PendingFigures {
  readonly events: number;
  readonly oldestMs: number | undefined;
}

/** Counts what notifications do. */
export class NotificationMetrics {
  /** `queued` once written to the queue, `delivered` once a receiver has taken it. */
  readonly events: Counter<'endpoint' | 'result'>;
  readonly dropped: Counter<'endpoint' | 'reason'>;
  /** The HTTP status, or `timeout`, or `unreachable`. */
  readonly requests: Counter<'endpoint' | 'status'>;
  readonly damagedQueues: Counter;
  #pending: () => ReadonlyMap<string, PendingFigures> = () => new Map();

  /** @param registry where the metrics are shown; it must not have them yet */
  constructor(registry: Registry, nowMs: () => number) {
    const registers = [registry];
    this.events = new Counter({
      name: 'shoal_notifications_events_total',
      help: 'Events by endpoint and result: queued (written to the queue on disk), delivered (the receiver has taken it).',
      labelNames: ['endpoint', 'result'],
      registers,
    });
    this.dropped = new Counter({
      name: 'shoal_notifications_dropped_total',
      help:
        'Events that were given up, by endpoint and reason: queue_full, age, refused (4xx too often), disk (the queue could ' +
        'not be written), damaged (they were in a queue file that was damaged).',
      labelNames: ['endpoint', 'reason'],
      registers,
    });
    this.requests = new Counter({
      name: 'shoal_notifications_requests_total',
      help: 'Requests to endpoints, by HTTP status; "timeout" and "unreachable" when there was no answer.',
      labelNames: ['endpoint', 'status'],
      registers,
    });
    this.damagedQueues = new Counter({
      name: 'shoal_notifications_damaged_queues_total',
      help: 'Queue files that were damaged and set aside.',
      registers,
    });
    const figures = () => this.#pending();
    new Gauge({
      name: 'shoal_notifications_pending',
      help: 'Events that wait on disk for an endpoint.',
      labelNames: ['endpoint'],
      registers,
      collect() {
        for (const [endpoint, { events }] of figures()) this.set({ endpoint }, events);
      },
    });
    new Gauge({
      name: 'shoal_notifications_oldest_seconds',
      help: 'Age of the oldest event that waits for an endpoint; 0 when none does.',
      labelNames: ['endpoint'],
      registers,
      collect() {
        for (const [endpoint, { oldestMs }] of figures()) {
          this.set({ endpoint }, oldestMs === undefined ? 0 : Math.max(0, nowMs() - oldestMs) / 1000);
        }
      },
    });
  }

  /** Says where the gauges read. */
  readPendingFrom(pending: () => ReadonlyMap<string, PendingFigures>): void {
    this.#pending = pending;
  }
}
