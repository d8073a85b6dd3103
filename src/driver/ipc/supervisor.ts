import { setTimeout as delay } from 'node:timers/promises';
import { StorageUnavailableError } from '../errors.ts';
import { BackOff, type BackOffTimes } from './back-off.ts';
import type { DriverConnection } from './connection.ts';
import { type DriverProcess, driverNameOf } from './driver-process.ts';
import type { DriverProgram } from './program.ts';
import { type DriverInfo, formatInfo } from './protocol.ts';

/** Times of a supervisor, in milliseconds. */
export interface SupervisorTimes extends BackOffTimes {
  /** How long a call waits for a start that is due. Longer, and it fails at once. */
  readonly patienceMs: number;
  /** How long a program whose connection broke has to show that it is there. */
  readonly probeMs: number;
}

export const supervisorTimes: SupervisorTimes = {
  firstDelayMs: 100,
  longestDelayMs: 30_000,
  steadyMs: 60_000,
  patienceMs: 1_000,
  probeMs: 5_000,
};

/**
 * Keeps a driver program running: one that ends is started again, after a pause that grows as long as it keeps ending. Calls
 * that were under way fail, because nobody knows how far they came; the next one waits for the new program.
 */
export class Supervisor implements DriverProgram {
  readonly info: DriverInfo;
  readonly #launch: () => Promise<DriverProcess>;
  readonly #times: SupervisorTimes;
  readonly #closing = new AbortController();
  /** The program, or the attempt to start it that is under way or due next. */
  #current: Promise<DriverProcess>;
  /** When the attempt begins, while it is only due; of `performance.now()`. */
  #dueMs = 0;
  readonly #backOff: BackOff;
  #lastFailure = 'it has not been started yet';
  readonly #probes = new WeakMap<DriverProcess, Promise<void>>();

  private constructor(launch: () => Promise<DriverProcess>, first: DriverProcess, times: SupervisorTimes) {
    this.#launch = launch;
    this.#times = times;
    this.#backOff = new BackOff(times);
    this.info = first.info;
    this.#current = Promise.resolve(first);
    this.#watch(first);
  }

  /** Starts the program; the error of a first start goes to the caller. @throws LaunchError */
  static async start(launch: () => Promise<DriverProcess>, times: SupervisorTimes): Promise<Supervisor> {
    return new Supervisor(launch, await launch(), times);
  }

  async connect(path: string, signal: AbortSignal | undefined): Promise<DriverConnection> {
    for (;;) {
      if (this.#closing.signal.aborted) throw this.#unavailable(path, 'the driver is closed');
      const waitMs = this.#dueMs - performance.now();
      if (waitMs > this.#times.patienceMs) {
        const message = `the driver program is down, and started again in ${Math.ceil(waitMs / 1000)} s; ${this.#lastFailure}`;
        throw this.#unavailable(path, message);
      }
      const running = await this.#unlessAborted(this.#current, path, signal);
      if (!running.connection.isDoubtful) return running.connection;
      await this.#unlessAborted(this.#probe(running), path, signal);
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const running = await this.#current.catch(() => undefined);
    await running?.close();
  }

  #watch(running: DriverProcess): void {
    const startedMs = performance.now();
    void running.ended.then((how) => {
      if (this.#closing.signal.aborted) return;
      this.#lastFailure = running.describe(`ended (${how})`);
      void running.connection.close(new Error(this.#lastFailure));
      this.#startAgain(performance.now() - startedMs);
    });
  }

  #startAgain(ranMs: number): void {
    const delayMs = this.#backOff.next(ranMs);
    this.#dueMs = performance.now() + delayMs;
    const attempt = this.#attempt(delayMs);
    this.#current = attempt;
    attempt.then(
      (running) => this.#watch(running),
      (error: Error) => {
        this.#lastFailure = error.message;
        if (!this.#closing.signal.aborted) this.#startAgain(0);
      },
    );
  }

  async #attempt(delayMs: number): Promise<DriverProcess> {
    await delay(delayMs, undefined, { signal: this.#closing.signal });
    const running = await this.#launch();
    if (formatInfo(running.info) === formatInfo(this.info)) return running;
    await running.kill();
    throw new Error(`it was ${formatInfo(this.info)}, and is ${formatInfo(running.info)} after it was started again`);
  }

  /** Finds out whether a program whose connection broke is still there; resolves when it answers, or has been replaced. */
  #probe(running: DriverProcess): Promise<void> {
    const known = this.#probes.get(running);
    if (known !== undefined) return known;
    const probe = this.#findOut(running).finally(() => this.#probes.delete(running));
    this.#probes.set(running, probe);
    return probe;
  }

  async #findOut(running: DriverProcess): Promise<void> {
    const { connection, ended } = running;
    connection.isDoubtful = false;
    const signal = AbortSignal.timeout(this.#times.probeMs);
    try {
      await connection.done({ method: 'GET', call: 'health', path: '/', context: { signal } });
    } catch {
      connection.isDoubtful = true;
      // Most likely it has ended, and the news is still on its way. What answers no more is ended.
      const news = await Promise.race([ended, delay(500, undefined)]);
      if (news === undefined) await running.kill();
      await ended;
    }
  }

  async #unlessAborted<T>(work: Promise<T>, path: string, signal: AbortSignal | undefined): Promise<T> {
    signal?.throwIfAborted();
    let stop: (() => void) | undefined;
    const aborted = new Promise<never>((_, reject) => {
      stop = () => reject(signal?.reason);
      signal?.addEventListener('abort', stop, { once: true });
    });
    try {
      return await Promise.race([work, aborted]);
    } catch (error) {
      if (signal?.aborted && error === signal.reason) throw error;
      const text = error instanceof Error ? error.message : String(error);
      throw this.#unavailable(path, `the driver program could not be started again (${text})`, error);
    } finally {
      if (stop !== undefined) signal?.removeEventListener('abort', stop);
    }
  }

  #unavailable(path: string, message: string, cause?: unknown): StorageUnavailableError {
    return new StorageUnavailableError(driverNameOf(this.info), path, message, { cause });
  }
}
