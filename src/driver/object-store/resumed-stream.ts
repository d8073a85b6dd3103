import { Readable } from 'node:stream';
import { countShortLivedBytes } from '../../core/index.ts';
import { StorageUnavailableError } from '../errors.ts';

/** Breaks that a download goes on after, one close behind the other. */
const maxResumes = 5;

/** A download that has got this far since the last break is as good as new. */
const progressBytes = 16 * 1024 * 1024;

/**
 * The bytes of a download. It ends when all of them have come. A connection that breaks in the middle, or stands still while
 * somebody waits, is made anew from where it broke, a few times; what then still fails is the driver's error. It never ends with
 * a byte missing.
 */
export class ResumedStream extends Readable {
  readonly #driverName: string;
  readonly #path: string;
  readonly #explain: (error: unknown) => unknown;
  readonly #stallMs: number;
  readonly #resume: (givenBytes: number) => Promise<Readable>;
  readonly #release: () => void;
  #source: Readable;
  #isResuming = false;
  #timer: NodeJS.Timeout | undefined;
  #givenBytes = 0;
  #missingBytes: number;
  #resumes = 0;
  #resumedAtBytes = 0;

  /**
   * `resume` opens the same bytes again, behind those that were given out already. `release` is called once, when the stream
   * is over. When `signal` aborts, the stream ends in its reason. `explain` makes the driver's error of one that `resume` has
   * thrown.
   */
  constructor(options: {
    readonly source: Readable;
    readonly driverName: string;
    readonly path: string;
    readonly lengthBytes: number;
    readonly stallMs: number;
    readonly signal: AbortSignal | undefined;
    readonly resume: (givenBytes: number) => Promise<Readable>;
    readonly release: () => void;
    readonly explain: (error: unknown) => unknown;
  }) {
    super();
    this.#source = options.source;
    this.#driverName = options.driverName;
    this.#path = options.path;
    this.#explain = options.explain;
    this.#missingBytes = options.lengthBytes;
    this.#stallMs = options.stallMs;
    this.#resume = options.resume;
    this.#release = options.release;
    this.#listen(options.source);
    if (options.signal !== undefined) this.#endWith(options.signal);
  }

  override _read(): void {
    this.#await();
    this.#source.resume();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    clearTimeout(this.#timer);
    this.#release();
    this.#source.destroy();
    callback(error);
  }

  #endWith(signal: AbortSignal): void {
    const abort = () => this.destroy(asError(signal.reason));
    // The abort may come before anybody has begun to read; whoever reads then still gets the error.
    this.on('error', () => undefined);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
    this.once('close', () => signal.removeEventListener('abort', abort));
  }

  #listen(source: Readable): void {
    let isOver = false;
    const end = (error?: unknown) => {
      if (isOver) return;
      isOver = true;
      if (source === this.#source) this.#endOfSource(error);
    };
    source.on('data', (chunk: Buffer) => this.#take(source, chunk));
    source.on('end', () => end());
    // Stays when the source is over: a connection that is aborted reports that.
    source.on('error', (error) => end(error));
    source.on('close', () => end());
    source.pause();
  }

  #take(source: Readable, chunk: Buffer): void {
    if (source !== this.#source || this.#isResuming || this.destroyed) return;
    this.#givenBytes += chunk.length;
    countShortLivedBytes(chunk.length);
    this.#missingBytes -= chunk.length;
    clearTimeout(this.#timer);
    if (this.push(chunk)) this.#await();
    else source.pause();
  }

  /** Somebody waits for the next bytes: from now on they may not take too long. */
  #await(): void {
    clearTimeout(this.#timer);
    if (this.#isResuming || this.#missingBytes === 0) return;
    const stalled = () => this.#endOfSource(new Error(`no byte for ${this.#stallMs} ms`));
    this.#timer = setTimeout(stalled, this.#stallMs).unref();
  }

  #endOfSource(error: unknown): void {
    clearTimeout(this.#timer);
    if (this.destroyed || this.#isResuming) return;
    if (this.#missingBytes === 0) {
      this.push(null);
      return;
    }
    if (this.#givenBytes - this.#resumedAtBytes >= progressBytes) this.#resumes = 0;
    if (this.#missingBytes < 0 || this.#resumes >= maxResumes) {
      this.destroy(this.#brokenError(error));
      return;
    }
    this.#resumes++;
    this.#resumedAtBytes = this.#givenBytes;
    this.#isResuming = true;
    this.#source.destroy();
    this.#resume(this.#givenBytes).then(
      (source) => this.#goOn(source),
      (failure: unknown) => this.destroy(asError(this.#explain(failure))),
    );
  }

  #goOn(source: Readable): void {
    if (this.destroyed) {
      source.on('error', () => undefined).destroy();
      return;
    }
    this.#isResuming = false;
    this.#source = source;
    this.#listen(source);
    this.#await();
    source.resume();
  }

  #brokenError(cause: unknown): Error {
    const total = this.#givenBytes + this.#missingBytes;
    const why = cause instanceof Error ? cause.message : 'the answer ended early';
    const what = `reading broke off ${this.#resumes + 1} times, the last time after ${this.#givenBytes} of ${total} bytes (${why})`;
    return new StorageUnavailableError(this.#driverName, this.#path, what, { cause });
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error), { cause: error });
}
