import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import { UnavailableError } from '../core/index.ts';

const program = new URL('./password-worker.ts', import.meta.url);

/** What the thread is told. */
export interface PasswordJob {
  readonly password: string;
  readonly hash: string;
}

/** What it answers. */
export interface PasswordAnswer {
  readonly matches: boolean;
}

interface WaitingJob extends PasswordJob {
  readonly answer: PromiseWithResolvers<boolean>;
}

/** At a tenth of a second a check, the last of them waits for less than ten seconds; clients give up later than that. */
const MAX_WAITING = 64;

/**
 * Checks passwords against bcrypt hashes, one at a time, in a thread of its own: whatever comes in, it takes one processor
 * at most and never the event loop. The thread starts with the first check, and keeps the process alive only while it has
 * something to do; when it dies, the check under way fails, and the next one starts another.
 */
export class PasswordThread {
  readonly #logger: Logger;
  readonly #maxWaiting: number;
  #waiting: WaitingJob[] = [];
  #running: WaitingJob | undefined;
  #worker: Worker | undefined;
  #closed = false;

  /** @param options `maxWaiting`: checks that wait besides the one under way; 64 unless told */
  constructor(options: { readonly logger: Logger; readonly maxWaiting?: number }) {
    this.#logger = options.logger;
    this.#maxWaiting = options.maxWaiting ?? MAX_WAITING;
  }

  /**
   * Whether a password has a hash.
   * @throws UnavailableError when too many checks wait already, the thread died, or this is closed
   */
  check(password: string, hash: string): Promise<boolean> {
    if (this.#closed)
      return Promise.reject(new UnavailableError('passwords are not checked any more: this is closing'));
    if (this.#waiting.length >= this.#maxWaiting) {
      const message = `${this.#waiting.length} passwords wait to be checked already; try again later`;
      return Promise.reject(new UnavailableError(message));
    }
    const answer = Promise.withResolvers<boolean>();
    this.#waiting.push({ password, hash, answer });
    this.#next();
    return answer.promise;
  }

  /** Ends the thread. Checks that are not answered yet fail. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#failAll(new UnavailableError('passwords are not checked any more: this is closing'));
    await this.#worker?.terminate();
  }

  #next(): void {
    if (this.#running !== undefined) return;
    this.#running = this.#waiting.shift();
    if (this.#running === undefined) {
      this.#worker?.unref();
      return;
    }
    this.#worker ??= this.#start();
    this.#worker.ref();
    const { password, hash } = this.#running;
    this.#worker.postMessage({ password, hash } satisfies PasswordJob);
  }

  #start(): Worker {
    const worker = new Worker(program, { name: 'passwords' });
    let cause: unknown;
    worker.on('message', ({ matches }: PasswordAnswer) => {
      const job = this.#running;
      this.#running = undefined;
      job?.answer.resolve(matches);
      this.#next();
    });
    worker.on('error', (error) => {
      cause = error;
    });
    worker.once('exit', (status) => this.#onExit(status, cause));
    return worker;
  }

  #onExit(status: number, cause: unknown): void {
    this.#worker = undefined;
    if (this.#closed) return;
    this.#logger.error({ err: cause, status }, 'the thread that checks passwords has ended; it is started again');
    // All of them: a thread that cannot start would be started once for each.
    this.#failAll(new UnavailableError('the thread that checks passwords has ended; try again', {}, { cause }));
  }

  #failAll(error: UnavailableError): void {
    const jobs = this.#running === undefined ? this.#waiting : [this.#running, ...this.#waiting];
    this.#running = undefined;
    this.#waiting = [];
    for (const { answer } of jobs) answer.reject(error);
  }
}
