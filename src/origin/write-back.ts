import type { Logger } from 'pino';
import type { CaStore } from '../castore/index.ts';
import { BlobNotFoundError, type Clock, type Digest, DigestMismatchError } from '../core/index.ts';
import { type BackendBlobs, contextOf } from './backend-blobs.ts';
import type { BlobMetainfo } from './blob-metainfo.ts';
import type { JobStore, WriteBackJob } from './job-store.ts';
import type { OriginMetrics } from './metrics.ts';
import type { OriginBlobs } from './origin-blobs.ts';
import type { WriteBackQueue } from './write-back-queue.ts';

/** What {@link WriteBack} needs. */
export interface WriteBackDeps {
  readonly jobs: JobStore;
  readonly queue: WriteBackQueue;
  readonly castore: CaStore;
  readonly blobs: OriginBlobs;
  readonly metainfo: BlobMetainfo;
  readonly backend: BackendBlobs;
  readonly metrics: OriginMetrics;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly logger: Logger;
}

/** How it works. */
export interface WriteBackOptions {
  readonly concurrency: number;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
}

/** `setTimeout` takes no more than 2^31 - 1 ms; looking once an hour costs nothing. */
const LONGEST_WAIT_MS = 3_600_000;

/**
 * Copies blobs to the backend as their jobs fall due, a bounded number at a time, and tries again for ever: the wait
 * doubles with each failure up to a cap. A job ends only when the backend has blob and metainfo.
 */
export class WriteBack {
  readonly #deps: WriteBackDeps;
  readonly #options: WriteBackOptions;
  readonly #running = new Map<Digest, Promise<void>>();
  readonly #stopping = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: WriteBackDeps, options: WriteBackOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Begins with what is due. */
  start(): void {
    this.#deps.queue.onAdded(() => this.#pump());
    this.#pump();
  }

  /** Stops; what runs is cut off and stays in the queue. */
  async stop(reason: Error): Promise<void> {
    this.#stopping.abort(reason);
    clearTimeout(this.#timer);
    await Promise.all(this.#running.values());
  }

  #pump(): void {
    if (this.#stopping.signal.aborted) return;
    clearTimeout(this.#timer);
    let waitMs: number | undefined;
    try {
      waitMs = this.#beginDue();
    } catch (error) {
      this.#deps.logger.error({ err: error }, 'the write-back queue cannot be read');
      waitMs = this.#options.maxBackoffMs;
    }
    if (waitMs !== undefined) this.#timer = setTimeout(() => this.#pump(), Math.min(waitMs, LONGEST_WAIT_MS));
  }

  /** Starts due jobs on free workers. @returns in how many milliseconds the next one falls due */
  #beginDue(): number | undefined {
    const { jobs, clock } = this.#deps;
    const nowMs = clock.nowMs();
    // Those that run are due as well, so they have to be asked for on top.
    const due = jobs.due(nowMs, this.#options.concurrency + this.#running.size);
    for (const job of due) {
      if (this.#running.size >= this.#options.concurrency) break;
      if (!this.#running.has(job.digest)) this.#begin(job);
    }
    const nextMs = jobs.findNextDueMs(nowMs);
    return nextMs === undefined ? undefined : nextMs - nowMs;
  }

  #begin(job: WriteBackJob): void {
    const run = this.#run(job)
      .catch((error: unknown) => {
        // The job stays due as it was; only the queue itself can fail here.
        this.#deps.logger.error({ err: error, digest: job.digest }, 'the write-back queue cannot be written');
      })
      .finally(() => {
        this.#running.delete(job.digest);
        this.#pump();
      });
    this.#running.set(job.digest, run);
  }

  async #run(job: WriteBackJob): Promise<void> {
    const { queue, metrics, logger } = this.#deps;
    const { signal } = this.#stopping;
    try {
      const result = await this.#bringToBackend(job, signal);
      await queue.finish(job);
      metrics.writeBacks.inc({ result });
      logger.debug({ digest: job.digest, result }, 'write-back is done');
    } catch (error) {
      if (signal.aborted) return;
      metrics.writeBacks.inc({ result: 'failed' });
      this.#postpone(job, error);
    }
  }

  #postpone(job: WriteBackJob, error: unknown): void {
    const { jobs, clock, logger } = this.#deps;
    const waitMs = backoffMs(job.attempts, this.#options, this.#deps.random());
    logger.warn({ err: error, digest: job.digest, attempts: job.attempts + 1, waitMs }, 'write-back failed');
    jobs.postpone(job, clock.nowMs() + waitMs, error instanceof Error ? error.message : String(error));
  }

  async #bringToBackend(job: WriteBackJob, signal: AbortSignal): Promise<'written' | 'present'> {
    const { backend, castore, blobs } = this.#deps;
    const { digest } = job;
    const context = contextOf(job.repository, signal);
    const inBackend = await backend.find(digest, context);
    const local = await castore.blobs.find(digest);
    if (inBackend !== undefined && (local === undefined || local.sizeBytes === inBackend)) {
      await backend.cleanUp(digest, context);
      if (local !== undefined) await this.#deps.metainfo.store(digest, signal);
      return 'present';
    }
    // Gone from this disk, and not in the backend: a copy may be on another origin.
    if (local === undefined) await blobs.fill(digest, signal);
    await this.#copy(digest, context);
    await this.#deps.metainfo.store(digest, signal);
    return 'written';
  }

  async #copy(digest: Digest, context: ReturnType<typeof contextOf>): Promise<void> {
    const { backend, castore, metainfo, logger } = this.#deps;
    try {
      await backend.write(digest, await castore.blobs.open(digest), context);
    } catch (error) {
      if (!(error instanceof DigestMismatchError)) throw error;
      // The disk has changed bytes that were verified once. Without this copy the next try takes another origin's.
      logger.error({ err: error, digest }, 'a blob on this disk is damaged; it is removed');
      metainfo.forget(digest);
      await castore.blobs.delete(digest);
      throw new BlobNotFoundError(`the local copy of blob ${digest} was damaged`, { digest }, { cause: error });
    }
  }
}

/** The wait after the failure number `attempts + 1`: doubling, capped, and spread over half to all of itself. */
export function backoffMs(
  attempts: number,
  { initialBackoffMs, maxBackoffMs }: Pick<WriteBackOptions, 'initialBackoffMs' | 'maxBackoffMs'>,
  random: number,
): number {
  const full = Math.min(maxBackoffMs, initialBackoffMs * 2 ** Math.min(attempts, 40));
  return full * (0.5 + random / 2);
}
