import type { CaStore } from '../castore/index.ts';
import {
  BlobNotFoundError,
  type Clock,
  type Digest,
  KeyedMutex,
  type Repository,
  UnavailableError,
} from '../core/index.ts';
import type { JobStore, WriteBackJob } from './job-store.ts';

/** What {@link WriteBackQueue} needs. The caller closes the jobs after it. */
export interface WriteBackQueueDeps {
  readonly castore: CaStore;
  readonly jobs: JobStore;
  readonly clock: Clock;
}

/** What keeps a blob on disk until the backend has it. */
const WRITE_BACK_PIN = 'write-back';

/**
 * Keeps two facts about a blob together: its job in the queue, and the pin that keeps it on disk. The pin is there as long
 * as the job is, whichever upload and write-back of one digest meet.
 */
export class WriteBackQueue {
  readonly pin = WRITE_BACK_PIN;
  readonly #castore: CaStore;
  readonly #jobs: JobStore;
  readonly #clock: Clock;
  readonly #mutex = new KeyedMutex();
  #onAdded: () => void = () => undefined;

  constructor({ castore, jobs, clock }: WriteBackQueueDeps) {
    this.#castore = castore;
    this.#jobs = jobs;
    this.#clock = clock;
  }

  /** Tells one listener of each job that is added. */
  onAdded(listener: () => void): void {
    this.#onAdded = listener;
  }

  /**
   * Pins a blob that is on disk and queues its write-back; resolves once both would survive a power failure.
   * @throws UnavailableError when the blob was evicted before it could be pinned
   */
  async add(
    digest: Digest,
    { repository, delayMs }: { readonly repository: Repository | undefined; readonly delayMs: number },
  ): Promise<void> {
    await this.#mutex.run(digest, async () => {
      try {
        await this.#castore.blobs.pin(digest, this.pin);
      } catch (cause) {
        if (!(cause instanceof BlobNotFoundError)) throw cause;
        throw new UnavailableError(`blob ${digest} was evicted while it was being kept`, { digest }, { cause });
      }
      const nowMs = this.#clock.nowMs();
      await this.#jobs.add({ digest, repository, nowMs, notBeforeMs: nowMs + delayMs });
    });
    this.#onAdded();
  }

  /** Ends a job whose blob the backend has. @returns false when it was added again meanwhile: then it has to run again */
  async finish(job: WriteBackJob): Promise<boolean> {
    return this.#mutex.run(job.digest, async () => {
      if (!this.#jobs.finish(job)) return false;
      await this.#castore.blobs.unpin(job.digest, this.pin);
      return true;
    });
  }

  /**
   * Queues every blob that is pinned without a job, as a crash between the two leaves it, or a queue file that was lost.
   * @returns how many
   */
  async recover(signal: AbortSignal): Promise<number> {
    let recovered = 0;
    for await (const { digest } of this.#castore.blobs.list()) {
      signal.throwIfAborted();
      if (this.#jobs.has(digest) || !(await this.#castore.blobs.pins(digest)).includes(this.pin)) continue;
      await this.add(digest, { repository: undefined, delayMs: 0 });
      recovered += 1;
    }
    return recovered;
  }
}
