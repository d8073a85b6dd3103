import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { EventSink, RegistryEvent } from '../registry/index.ts';
import type { NotificationEndpointConfig } from './config.ts';
import type { NewEvent } from './event-queue.ts';
import type { Losses } from './losses.ts';
import type { NotificationMetrics } from './metrics.ts';
import type { QueueKeeper } from './queue-keeper.ts';
import { type EventSource, renderEvent, targetMediaType } from './wire-event.ts';

/** What {@link EventIntake} needs. */
export interface EventIntakeDeps {
  readonly keeper: QueueKeeper;
  readonly losses: Losses;
  readonly metrics: NotificationMetrics;
  readonly logger: Logger;
  /** Told after events were written for an endpoint. */
  readonly onQueued: (endpoint: string) => void;
}

/** Between the first event in memory and its transaction: pulls of a rush share one, and nobody notices the delay. */
const FLUSH_AFTER_MS = 5;
/** Between two tries to write while the disk does not take it. */
const FLUSH_RETRY_MS = 1_000;
/** Events in one transaction at most, so that a backlog does not hold up requests for long; fewer where there is little room. */
const FLUSH_MAX_EVENTS = 1_000;
/** What may wait in memory for the disk; seconds of a rush. */
const MEMORY_MAX_EVENTS = 10_000;
const MEMORY_MAX_BYTES = 16 * 1024 ** 2;

/** Takes events of a registry, and writes them to the queue a few milliseconds later, all that came meanwhile at once. */
export class EventIntake implements EventSink {
  readonly #deps: EventIntakeDeps;
  readonly #endpoints: readonly NotificationEndpointConfig[];
  readonly #source: EventSource;
  #waiting: NewEvent[] = [];
  #bytes = 0;
  #flushEvents = FLUSH_MAX_EVENTS;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param endpoints those that are told; disabled ones left out */
  constructor(endpoints: readonly NotificationEndpointConfig[], source: EventSource, deps: EventIntakeDeps) {
    this.#deps = deps;
    this.#endpoints = endpoints;
    this.#source = source;
  }

  publish(event: RegistryEvent): void {
    try {
      this.#take(event);
    } catch (error) {
      // Whatever it is, the request that has caused the event was a success.
      this.#deps.logger.error({ err: error, action: event.action }, 'an event cannot be made a notification');
    }
  }

  /** Writes what is in memory; what the disk does not take now is lost. */
  close(): void {
    clearTimeout(this.#timer);
    this.#closed = true;
    while (this.#waiting.length > 0) {
      const tried = Math.min(this.#flushEvents, this.#waiting.length);
      if (!this.#writeSome() && tried === 1) break;
    }
    while (this.#waiting.length > 0) this.#dropOldest();
  }

  #take(event: RegistryEvent): void {
    const endpoints = this.#endpoints.filter((endpoint) => wants(endpoint, event));
    if (endpoints.length === 0) return;
    if (this.#closed) {
      for (const { name } of endpoints) this.#deps.losses.note(name, 'disk', 1);
      return;
    }
    const id = randomUUID();
    const texts = new Map<boolean, string>();
    for (const { name, includeReferences } of endpoints) {
      let text = texts.get(includeReferences);
      if (text === undefined) {
        text = renderEvent(event, id, { source: this.#source, includeReferences });
        texts.set(includeReferences, text);
      }
      this.#waiting.push({ endpoint: name, createdAtMs: event.timeMs, text });
      this.#bytes += text.length;
    }
    while (this.#waiting.length > MEMORY_MAX_EVENTS || this.#bytes > MEMORY_MAX_BYTES) this.#dropOldest();
    this.#timer ??= setTimeout(() => this.#flush(), FLUSH_AFTER_MS);
  }

  #flush(): void {
    const written = this.#writeSome();
    // Further transactions come one at a time, with requests between them.
    const waitMs = written ? 0 : FLUSH_RETRY_MS;
    this.#timer = this.#waiting.length === 0 ? undefined : setTimeout(() => this.#flush(), waitMs);
  }

  /** @returns false when the disk does not take it; then everything stays in memory */
  #writeSome(): boolean {
    const { keeper, losses, metrics, onQueued } = this.#deps;
    const events = this.#waiting.slice(0, this.#flushEvents);
    try {
      const dropped = keeper.change((queue) => queue.add(events));
      for (const [endpoint, count] of dropped) losses.note(endpoint, 'queue_full', count);
    } catch {
      // The keeper has logged it.
      this.#flushEvents = Math.max(1, Math.floor(events.length / 2));
      return false;
    }
    this.#flushEvents = Math.min(FLUSH_MAX_EVENTS, this.#flushEvents * 2);
    this.#waiting = this.#waiting.slice(events.length);
    const counts = new Map<string, number>();
    for (const { endpoint, text } of events) {
      this.#bytes -= text.length;
      counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1);
    }
    for (const [endpoint, count] of counts) {
      metrics.events.inc({ endpoint, result: 'queued' }, count);
      onQueued(endpoint);
    }
    return true;
  }

  #dropOldest(): void {
    const oldest = this.#waiting.shift();
    if (oldest === undefined) return;
    this.#bytes -= oldest.text.length;
    this.#deps.losses.note(oldest.endpoint, 'disk', 1);
  }
}

function wants({ ignore }: NotificationEndpointConfig, event: RegistryEvent): boolean {
  if (ignore.actions.includes(event.action)) return false;
  const mediaType = targetMediaType(event);
  return mediaType === undefined || !ignore.mediaTypes.includes(mediaType);
}
