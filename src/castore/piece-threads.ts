import { Worker } from 'node:worker_threads';
import { UnavailableError } from '../core/index.ts';
import type { BlockPlace } from './memory-blocks.ts';
import type { AnsweredJob, PieceAnswer, PieceJob, SlabPart } from './piece-jobs.ts';
import type { StoreLogger } from './store-logger.ts';

const program = new URL('./piece-worker.ts', import.meta.url);

/** The threads of a store that check, write and hash pieces. They start with the first piece. */
export class PieceThreads {
  readonly #threads: readonly PieceThread[];
  #assigned = 0;

  constructor(count: number, logger: StoreLogger) {
    this.#threads = Array.from({ length: count }, () => new PieceThread(logger));
  }

  /** The thread for one more file, in turn; `undefined` when the store has none. */
  assign(): PieceThread | undefined {
    this.#assigned += 1;
    return this.#threads[this.#assigned % this.#threads.length];
  }

  /** Ends the threads, once nothing is under way. */
  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }
}

/**
 * One thread. Jobs of one turn of the event loop go to it in one message, and are done in order. It keeps the process alive
 * only while it has something to do.
 *
 * When it dies, what was under way fails, only after the thread has ended, so that it cannot write into a file that has been
 * closed; the next job starts another thread, which knows no running digest.
 */
export class PieceThread {
  readonly #logger: StoreLogger;
  readonly #waiting = new Map<number, PromiseWithResolvers<boolean | string>>();
  /** Slabs that the thread of now has been given. */
  readonly #slabs = new Set<number>();
  #worker: Worker | undefined;
  #batch: PieceJob[] = [];
  #lastJob = 0;
  #lastBlob = 0;
  #closed = false;

  constructor(logger: StoreLogger) {
    this.#logger = logger;
  }

  /** Jobs that are not answered yet. */
  get pending(): number {
    return this.#waiting.size;
  }

  /** A number for the running digest of one more blob. */
  nextBlob(): number {
    this.#lastBlob += 1;
    return this.#lastBlob;
  }

  /** Names a block to the thread. The block has to be retained until the job that has it is answered. */
  part({ slab, offset }: BlockPlace, length: number): SlabPart {
    if (!this.#slabs.has(slab.id)) {
      this.#slabs.add(slab.id);
      this.#post({ kind: 'slab', slab: slab.id, memory: slab.memory });
    }
    return { slab: slab.id, offset, length };
  }

  /** Resolves with the answer. Rejects with the error of the disk, or when the thread died. */
  run(job: AnsweredJob): Promise<boolean | string> {
    if (this.#closed) return Promise.reject(new UnavailableError('the store is closed, its threads have ended'));
    this.#lastJob += 1;
    const answer = Promise.withResolvers<boolean | string>();
    if (this.#waiting.size === 0) this.#worker?.ref();
    this.#waiting.set(this.#lastJob, answer);
    this.#post({ ...job, id: this.#lastJob });
    return answer.promise;
  }

  /** The thread need not remember the running digest of a blob. */
  forget(blob: number): void {
    if (this.#worker !== undefined) this.#post({ kind: 'forget', blob });
  }

  /** Ends the thread. What is under way fails. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#worker?.terminate();
  }

  #post(job: PieceJob): void {
    if (this.#batch.length === 0) setImmediate(() => this.#send());
    this.#batch.push(job);
  }

  #send(): void {
    const batch = this.#batch;
    this.#batch = [];
    if (batch.length === 0) return;
    this.#worker ??= this.#closed ? undefined : this.#start();
    this.#worker?.postMessage(batch);
    if (this.#worker === undefined) this.#failAll(new UnavailableError('the store was closed'));
  }

  #start(): Worker {
    const worker = new Worker(program, { name: 'pieces' });
    let cause: unknown;
    worker.on('message', (answers: readonly PieceAnswer[]) => this.#settle(answers));
    worker.on('error', (error) => {
      cause = error;
    });
    worker.once('exit', (status) => this.#onExit(status, cause));
    if (this.#waiting.size === 0) worker.unref();
    return worker;
  }

  #settle(answers: readonly PieceAnswer[]): void {
    for (const { id, value, error } of answers) {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(value ?? false);
      else
        waiting?.reject(Object.assign(new Error(error.message), error.code === undefined ? {} : { code: error.code }));
    }
    if (this.#waiting.size === 0) this.#worker?.unref();
  }

  #onExit(status: number, cause: unknown): void {
    this.#worker = undefined;
    this.#slabs.clear();
    // What was not sent yet names slabs that the next thread has not been given.
    this.#batch = [];
    if (!this.#closed)
      this.#logger.warn({ err: cause, status }, 'the thread that checks pieces has ended; it is started again');
    const reason = this.#closed ? 'the store was closed' : `the thread that checks pieces ended with status ${status}`;
    this.#failAll(new UnavailableError(reason, {}, { cause }));
  }

  #failAll(error: Error): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(error);
  }
}
