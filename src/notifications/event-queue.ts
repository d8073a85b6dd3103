import type { DatabaseSync } from 'node:sqlite';
import { forgetOthers, type Lane, openLane, openQueueDatabase, sqliteFault } from './queue-database.ts';

/** An event for one endpoint, as it is to be sent. */
export interface NewEvent {
  readonly endpoint: string;
  /** Milliseconds since 1970. */
  readonly createdAtMs: number;
  /** JSON. */
  readonly text: string;
}

/** An event that waits. */
export interface QueuedEvent {
  /** Grows within an endpoint, and is never given twice. */
  readonly seq: number;
  readonly createdAtMs: number;
  readonly text: string;
}

/** How much may wait for one endpoint. */
export interface QueueBounds {
  readonly maxEvents: number;
  readonly maxBytes: number;
}

/** What {@link EventQueue.open} needs. */
export interface EventQueueOptions extends QueueBounds {
  /** The queue has these, and forgets all others with what waits for them. */
  readonly endpoints: readonly string[];
  /** The file's bound; the bounds of the endpoints come first in practice. Default: none. */
  readonly maxFileBytes?: number | undefined;
}

/**
 * Events on their way to endpoints, in one SQLite file; each endpoint has a table, so that one with a long queue costs the
 * others nothing. Everything here is synchronous and throws SQLite's own errors (see `sqliteFault` in queue-database.ts).
 *
 * A commit is a write without a sync: it survives the end of the process in any way, and at a loss of power the newest
 * events may be missing, as those that were still in memory would be anyhow: no answer to a client waits for an event.
 */
export class EventQueue {
  /** Endpoints that the file had and the configuration has not, with the number of events that went with them. */
  readonly forgotten: ReadonlyMap<string, number>;
  readonly #database: DatabaseSync;
  readonly #bounds: QueueBounds;
  readonly #lanes: ReadonlyMap<string, Lane>;

  private constructor(database: DatabaseSync, options: EventQueueOptions) {
    this.#database = database;
    this.#bounds = options;
    this.forgotten = forgetOthers(database, options.endpoints);
    this.#lanes = new Map(options.endpoints.map((name) => [name, openLane(database, name)]));
  }

  /**
   * Opens the file, or makes it; its folder has to be there. No other process can open it until {@link close}.
   * @throws ConfigError when another version has made it; SQLite's errors when it is damaged, in use, or out of reach
   */
  static open(file: string, options: EventQueueOptions): EventQueue {
    return openQueueDatabase(file, options.maxFileBytes, (database) => new EventQueue(database, options));
  }

  /**
   * Adds events in one transaction: all or none. Beyond the bounds the oldest of an endpoint go.
   * @returns how many went, by endpoint
   */
  add(events: readonly NewEvent[]): Map<string, number> {
    return this.#transaction(() => {
      for (const event of events) this.#insert(event);
      return this.#trim();
    });
  }

  /** The oldest events of an endpoint: `maxEvents` at most, and no more than fit into `maxBytes`, but one at least. */
  read(endpoint: string, { maxEvents, maxBytes }: QueueBounds): QueuedEvent[] {
    const lane = this.#laneOf(endpoint);
    const events: QueuedEvent[] = [];
    let bytes = 0;
    for (const row of lane.read.iterate(lane.doneSeq, maxEvents)) {
      const text = String(row['event']);
      bytes += Buffer.byteLength(text);
      if (events.length > 0 && bytes > maxBytes) break;
      events.push({ seq: Number(row['seq']), createdAtMs: Number(row['created_at']), text });
    }
    return events;
  }

  /**
   * Ends all events of an endpoint up to one. Even when this throws {@link read} does not give them again, until the file is
   * opened anew.
   * @returns how many that were; those that the bounds had taken meanwhile do not count
   */
  removeUpTo(endpoint: string, seq: number): number {
    const lane = this.#laneOf(endpoint);
    lane.doneSeq = Math.max(lane.doneSeq, seq);
    return this.#transaction(() => this.#remove(lane, seq));
  }

  /**
   * Ends the oldest events of an endpoint as long as they were made before a moment; {@link read} does not give them again,
   * as with {@link removeUpTo}.
   * @returns how many that were
   */
  removeOlderThan(endpoint: string, createdBeforeMs: number): number {
    const lane = this.#laneOf(endpoint);
    const first = lane.firstSince.get(createdBeforeMs)?.['seq'];
    const last = typeof first === 'number' ? first - 1 : lane.nextSeq - 1;
    if (last <= lane.doneSeq) return 0;
    const [oldest] = this.read(endpoint, { maxEvents: 1, maxBytes: 0 });
    if (oldest === undefined || oldest.seq > last) return 0;
    lane.doneSeq = last;
    return this.#transaction(() => this.#remove(lane, last));
  }

  /** What waits for an endpoint. */
  figures(endpoint: string): {
    readonly events: number;
    readonly bytes: number;
    readonly oldestMs: number | undefined;
  } {
    const { events, bytes, read, doneSeq } = this.#laneOf(endpoint);
    const oldest = events === 0 ? undefined : read.get(doneSeq, 1)?.['created_at'];
    return { events, bytes, oldestMs: typeof oldest === 'number' ? oldest : undefined };
  }

  /** Events by endpoint, without a look at the file. */
  counts(): Map<string, number> {
    return new Map([...this.#lanes].map(([name, { events }]) => [name, events]));
  }

  /** Nothing may be called afterwards. */
  close(): void {
    if (this.#database.isOpen) this.#database.close();
  }

  #insert({ endpoint, createdAtMs, text }: NewEvent): void {
    const lane = this.#laneOf(endpoint);
    lane.insert.run(lane.nextSeq, Math.floor(createdAtMs), text);
    lane.nextSeq += 1;
    lane.events += 1;
    lane.bytes += Buffer.byteLength(text);
  }

  #trim(): Map<string, number> {
    const dropped = new Map<string, number>();
    for (const [name, lane] of this.#lanes) {
      let { events, bytes } = lane;
      if (events <= this.#bounds.maxEvents && bytes <= this.#bounds.maxBytes) continue;
      let last = 0;
      for (const row of lane.oldest.iterate()) {
        if (events <= this.#bounds.maxEvents && bytes <= this.#bounds.maxBytes) break;
        events -= 1;
        bytes -= Number(row['bytes']);
        last = Number(row['seq']);
      }
      dropped.set(name, this.#remove(lane, last));
    }
    return dropped;
  }

  #remove(lane: Lane, seq: number): number {
    const row = lane.sum.get(seq);
    const events = Number(row?.['events'] ?? 0);
    if (events === 0) return 0;
    lane.remove.run(seq);
    lane.events -= events;
    lane.bytes -= Number(row?.['bytes'] ?? 0);
    return events;
  }

  #laneOf(endpoint: string): Lane {
    const lane = this.#lanes.get(endpoint);
    if (lane === undefined) throw new TypeError(`the notification queue has no endpoint ${endpoint}`);
    return lane;
  }

  /** All or nothing, of the figures kept by heart too. */
  #transaction<T>(work: () => T): T {
    const before = [...this.#lanes.values()].map((lane) => {
      const { events, bytes, nextSeq } = lane;
      return { lane, figures: { events, bytes, nextSeq } };
    });
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      this.#rollBack();
      if (sqliteFault(error) === 'full') this.#makeRoom();
      for (const { lane, figures } of before) Object.assign(lane, figures);
      throw error;
    }
  }

  /** What has been moved from the log of changes to the tables makes room in the log, for what deletes at least. */
  #makeRoom(): void {
    try {
      this.#database.exec('PRAGMA wal_checkpoint(PASSIVE)');
    } catch {
      // There is no room for that either; whoever asked is told so.
    }
  }

  #rollBack(): void {
    try {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
    } catch {
      // SQLite has rolled back by itself, as it does when the disk is full; the first error is the one that counts.
    }
  }
}
