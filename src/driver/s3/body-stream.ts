import { Readable } from 'node:stream';
import { countShortLivedBytes } from '../../core/index.ts';
import { StorageUnavailableError } from '../errors.ts';
import { driverName } from './errors.ts';

/**
 * The body of an answer as a reader gives it: it ends after exactly the bytes that were announced, or in an error. An answer
 * that stands still for too long while somebody waits for it is an error as well; a reader that is slow itself is none.
 */
export class BodyStream extends Readable {
  readonly #body: Readable;
  readonly #path: string;
  readonly #stallMs: number;
  /** `undefined` when the store has not told. */
  readonly #expected: number | undefined;
  #received = 0;
  #isWhole = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: {
    readonly body: Readable;
    readonly path: string;
    readonly expectedBytes: number | undefined;
    readonly stallMs: number;
  }) {
    super();
    this.#body = options.body;
    this.#path = options.path;
    this.#expected = options.expectedBytes;
    this.#stallMs = options.stallMs;
    this.#body.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#body.pause();
    this.#body.once('end', () => this.#finish());
    this.#body.on('error', (error) => this.#fail(error));
    this.#body.once('close', () => this.#fail(new Error('the connection was closed')));
  }

  override _read(): void {
    this.#await();
    this.#body.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    clearTimeout(this.#timer);
    this.#body.destroy();
    callback(error);
  }

  #take(chunk: Buffer): void {
    this.#received += chunk.length;
    countShortLivedBytes(chunk.length);
    clearTimeout(this.#timer);
    if (this.push(chunk)) this.#await();
    else this.#body.pause();
  }

  #finish(): void {
    clearTimeout(this.#timer);
    if (this.#expected !== undefined && this.#received !== this.#expected) {
      this.#fail(new Error('the answer ended early'));
      return;
    }
    this.#isWhole = true;
    this.push(null);
  }

  #fail(cause: Error): void {
    // A connection that is closed behind the last byte is the usual end.
    if (this.#isWhole || this.destroyed) return;
    const reason = `reading broke off after ${this.#received} of ${this.#expected ?? 'unknown'} bytes (${cause.message})`;
    this.destroy(new StorageUnavailableError(driverName, this.#path, reason, { cause }));
  }

  #await(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fail(new Error(`no byte for ${this.#stallMs} ms`)), this.#stallMs);
    this.#timer.unref();
  }
}
