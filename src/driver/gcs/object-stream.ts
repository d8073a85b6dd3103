import { Readable } from 'node:stream';
import { StorageUnavailableError } from '../errors.ts';
import { toDriverError } from './errors.ts';
import { driverName } from './parameters.ts';

/** Breaks that a download goes on after, one close behind the other. */
const maxResumes = 3;

/** A download that has got this far since the last break is as good as new. */
const progressBytes = 16 * 1024 * 1024;

/**
 * The bytes of a download. It ends when all of them have come. A connection that breaks in the middle is made anew from where
 * it broke, a few times; what then still fails is the driver's error. It never ends with a byte missing.
 */
export class ObjectStream extends Readable {
  readonly #path: string;
  readonly #resume: (givenBytes: number) => Promise<Readable>;
  readonly #release: () => void;
  #source: Readable;
  #givenBytes = 0;
  #missingBytes: number;
  #resumes = 0;
  #resumedAtBytes = 0;

  /**
   * `resume` opens the same bytes again, behind those that were given out already. `release` is called once, when the stream
   * is over.
   */
  constructor(options: {
    readonly source: Readable;
    readonly path: string;
    readonly lengthBytes: number;
    readonly resume: (givenBytes: number) => Promise<Readable>;
    readonly release: () => void;
  }) {
    super();
    this.#source = options.source;
    this.#path = options.path;
    this.#missingBytes = options.lengthBytes;
    this.#resume = options.resume;
    this.#release = options.release;
    this.#listen(options.source);
  }

  override _read(): void {
    this.#source.resume();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#release();
    this.#source.destroy();
    callback(error);
  }

  #listen(source: Readable): void {
    let isOver = false;
    const end = (error?: unknown) => {
      if (isOver) return;
      isOver = true;
      this.#endOfSource(error);
    };
    source.on('data', (chunk: Buffer) => this.#take(source, chunk));
    source.on('end', () => end());
    // Stays when the source is over: a connection that is aborted reports that.
    source.on('error', (error) => end(error));
    source.on('close', () => end());
    source.pause();
  }

  #take(source: Readable, chunk: Buffer): void {
    if (source !== this.#source || this.destroyed) return;
    this.#givenBytes += chunk.length;
    this.#missingBytes -= chunk.length;
    if (!this.push(chunk)) source.pause();
  }

  #endOfSource(error: unknown): void {
    if (this.destroyed) return;
    if (this.#missingBytes === 0) {
      this.push(null);
      return;
    }
    if (this.#givenBytes - this.#resumedAtBytes >= progressBytes) this.#resumes = 0;
    if (this.#missingBytes < 0 || this.#resumes >= maxResumes) {
      const what = `the download broke ${this.#resumes + 1} times, the last time with ${this.#missingBytes} bytes missing`;
      this.destroy(new StorageUnavailableError(driverName, this.#path, what, { cause: error }));
      return;
    }
    this.#resumes++;
    this.#resumedAtBytes = this.#givenBytes;
    this.#source.destroy();
    this.#goOn().catch((failure: unknown) => this.destroy(asError(toDriverError(failure, this.#path))));
  }

  async #goOn(): Promise<void> {
    const source = await this.#resume(this.#givenBytes);
    if (this.destroyed) {
      source.on('error', () => undefined).destroy();
      return;
    }
    this.#source = source;
    this.#listen(source);
    source.resume();
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
