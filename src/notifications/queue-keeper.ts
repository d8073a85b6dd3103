import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Logger } from 'pino';
import { type Clock, ConfigError, UnavailableError } from '../core/index.ts';
import { EventQueue, type EventQueueOptions } from './event-queue.ts';
import type { Losses } from './losses.ts';
import type { NotificationMetrics } from './metrics.ts';
import { sqliteFault } from './queue-database.ts';

/** What {@link QueueKeeper} needs. */
export interface QueueKeeperDeps {
  readonly logger: Logger;
  readonly metrics: NotificationMetrics;
  readonly losses: Losses;
  readonly clock: Clock;
}

/** Without a failure for this long the queue is said to work again. */
const CALM_MS = 10_000;
/** Damaged files that are kept to be looked at; older ones are removed, so that a bad disk does not fill. */
const DAMAGED_KEPT = 3;

/**
 * The queue on disk, whatever happens to it: a file that is damaged is set aside and a new one begun, and one that cannot be
 * opened is tried again at the next use. Between reading and renaming there is no `await`, so that nothing comes between.
 */
export class QueueKeeper implements Disposable {
  readonly #file: string;
  readonly #options: EventQueueOptions;
  readonly #deps: QueueKeeperDeps;
  #queue: EventQueue | undefined;
  #works = true;
  #failedAtMs = 0;

  private constructor(file: string, options: EventQueueOptions, deps: QueueKeeperDeps) {
    this.#file = file;
    this.#options = options;
    this.#deps = deps;
  }

  /**
   * Opens the queue, with its folder; the caller disposes of the keeper. A full disk or a damaged file does not keep it from
   * opening.
   * @throws ConfigError when another process has the file open, another version has made it, or it is out of reach
   */
  static async open(file: string, options: EventQueueOptions, deps: QueueKeeperDeps): Promise<QueueKeeper> {
    try {
      await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOSPC') throw openError(file, cause);
    }
    const keeper = new QueueKeeper(file, options, deps);
    try {
      keeper.use(() => undefined);
    } catch (error) {
      const cause = error instanceof UnavailableError ? error.cause : error;
      if (cause instanceof ConfigError) throw cause;
      const fault = sqliteFault(cause);
      if (fault !== 'full' && fault !== 'damaged') throw openError(file, cause);
    }
    return keeper;
  }

  /**
   * Changes the queue, at once.
   * @throws UnavailableError when it could not be done; later it may be
   */
  change<T>(work: (queue: EventQueue) => T): T {
    const result = this.use(work);
    this.#note(true);
    return result;
  }

  /**
   * Does something with the queue, at once; what it says of the disk is only that it can be read.
   * @throws UnavailableError when it could not be done; later it may be
   */
  use<T>(work: (queue: EventQueue) => T): T {
    try {
      this.#queue ??= this.#open();
      return work(this.#queue);
    } catch (cause) {
      if (sqliteFault(cause) === 'damaged' && this.#queue !== undefined) this.#replace(cause);
      this.#note(false, cause);
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new UnavailableError(`the notification queue ${this.#file} cannot be used: ${reason}`, {}, { cause });
    }
  }

  /** What waits for each endpoint; nothing while the queue cannot be used. */
  figures(): ReadonlyMap<string, { readonly events: number; readonly oldestMs: number | undefined }> {
    try {
      return this.use((queue) => new Map(this.#options.endpoints.map((name) => [name, queue.figures(name)])));
    } catch {
      // `use` has logged it; a scrape of the metrics goes on without these.
      return new Map();
    }
  }

  [Symbol.dispose](): void {
    this.#queue?.close();
    this.#queue = undefined;
  }

  #open(): EventQueue {
    let queue: EventQueue;
    try {
      queue = EventQueue.open(this.#file, this.#options);
    } catch (error) {
      if (sqliteFault(error) !== 'damaged') throw error;
      this.#setAside(error);
      queue = EventQueue.open(this.#file, this.#options);
    }
    for (const [endpoint, events] of queue.forgotten) {
      this.#deps.logger.warn({ endpoint, events }, 'the configuration has this endpoint no more; its queue is removed');
    }
    return queue;
  }

  /** Puts a new queue in the place of one that turned out damaged while it was open. */
  #replace(error: unknown): void {
    const lost = this.#queue?.counts() ?? new Map<string, number>();
    this.#queue?.close();
    this.#queue = undefined;
    try {
      this.#setAside(error);
      this.#queue = this.#open();
    } catch (cause) {
      this.#deps.logger.error({ err: cause, file: this.#file }, 'no new notification queue can be begun');
    }
    for (const [endpoint, events] of lost) this.#deps.losses.note(endpoint, 'damaged', events);
  }

  #setAside(error: unknown): void {
    const { logger, metrics, clock } = this.#deps;
    const stamp = new Date(clock.nowMs()).toISOString().replaceAll(/[:.]/g, '-');
    const damaged = `${this.#file}.damaged-${stamp}`;
    // The log of changes belongs to its database, under its name.
    for (const suffix of ['', '-wal']) {
      if (existsSync(this.#file + suffix)) renameSync(this.#file + suffix, damaged + suffix);
    }
    metrics.damagedQueues.inc();
    logger.error(
      { err: error, file: this.#file, damaged },
      'the notification queue is damaged: it is set aside with the events in it, and a new one is begun',
    );
    this.#removeOldDamaged();
  }

  #removeOldDamaged(): void {
    const folder = dirname(this.#file);
    const prefix = `${basename(this.#file)}.damaged-`;
    const names = readdirSync(folder).filter((name) => name.startsWith(prefix) && !name.endsWith('-wal'));
    for (const name of names.toSorted().slice(0, -DAMAGED_KEPT)) {
      for (const suffix of ['', '-wal']) rmSync(join(folder, name + suffix), { force: true });
    }
  }

  /** Logs when the queue stops to work, and when it works again for good: a disk that is full takes a little now and then. */
  #note(works: boolean, error?: unknown): void {
    const nowMs = this.#deps.clock.monotonicMs();
    if (!works) this.#failedAtMs = nowMs;
    if (works === this.#works || (works && nowMs - this.#failedAtMs < CALM_MS)) return;
    this.#works = works;
    const { logger } = this.#deps;
    if (works) logger.info({ file: this.#file }, 'the notification queue works again');
    else logger.error({ err: error, file: this.#file }, 'the notification queue cannot be used; the registry goes on');
  }
}

function openError(file: string, cause: unknown): ConfigError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const busy = sqliteFault(cause) === 'busy';
  const advice = busy
    ? 'another process has it open; stop that one, or set notifications.directory to a folder of its own'
    : 'set notifications.directory to a folder that this program can write to';
  return new ConfigError(`the notification queue ${file} cannot be opened: ${reason}; ${advice}`, { file }, { cause });
}
