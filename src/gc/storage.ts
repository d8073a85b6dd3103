import { type Digest, findDigest } from '../core/index.ts';
import {
  type CallContext,
  type FileInfo,
  NotADirectoryError,
  NotAFileError,
  PathNotFoundError,
  type StorageDriver,
} from '../driver/index.ts';
import type { Pace } from './pace.ts';

/**
 * The storage as a collection sees it: every operation waits for its turn and ends with the signal, and what is not there
 * is a value. It takes single objects only: a collection never deletes a directory, so it never deletes what came into one
 * after it had looked.
 *
 * In a dry run nothing is written, whatever is called; calls that write say that they have done it.
 */
export class GcStorage {
  readonly dryRun: boolean;
  readonly #driver: StorageDriver;
  readonly #pace: Pace;
  readonly #signal: AbortSignal | undefined;
  #operations = 0;

  constructor(deps: {
    readonly driver: StorageDriver;
    readonly pace: Pace;
    readonly signal: AbortSignal | undefined;
    readonly dryRun: boolean;
  }) {
    this.#driver = deps.driver;
    this.#pace = deps.pace;
    this.#signal = deps.signal;
    this.dryRun = deps.dryRun;
  }

  /** How many operations there have been. */
  get operations(): number {
    return this.#operations;
  }

  /** The names directly below a directory, in order; none when there is no such directory. */
  async *names(directory: string): AsyncIterable<string> {
    await this.#turn();
    try {
      for await (const path of this.#driver.list(directory, {}, this.#context())) {
        yield path.slice(path.lastIndexOf('/') + 1);
      }
    } catch (error) {
      if (!(error instanceof PathNotFoundError || error instanceof NotADirectoryError)) throw error;
    }
  }

  /** Facts about an object; `undefined` when there is none. */
  async find(path: string): Promise<FileInfo | undefined> {
    await this.#turn();
    const info = await orUndefined(this.#driver.stat(path, this.#context()));
    return info?.isDirectory === true ? undefined : info;
  }

  /** The first bytes of an object, `maxBytes` at most; `undefined` when there is none. */
  async readUpTo(path: string, maxBytes: number): Promise<Buffer | undefined> {
    await this.#turn();
    const stream = await orUndefined(this.#driver.reader(path, { offset: 0, length: maxBytes }, this.#context()));
    if (stream === undefined) return undefined;
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  }

  /** The content of a link; `undefined` when there is no link. `digest` is `undefined` when it holds none. */
  async readLink(path: string): Promise<{ readonly digest: Digest | undefined } | undefined> {
    await this.#turn();
    const content = await orUndefined(this.#driver.getContent(path, this.#context()));
    return content === undefined ? undefined : { digest: findDigest(content.toString('utf8').trim()) };
  }

  /** Moves an object; `false` when it is gone. */
  move(source: string, destination: string): Promise<boolean> {
    return this.#write(() => this.#driver.move(source, destination, this.#context()));
  }

  /** Deletes an object; `false` when it is gone. */
  remove(path: string): Promise<boolean> {
    return this.#write(() => this.#driver.delete(path, this.#context()));
  }

  /** Writes a small object. */
  async put(path: string, content: Uint8Array): Promise<void> {
    await this.#write(() => this.#driver.putContent(path, content, this.#context()));
  }

  async #write(call: () => Promise<void>): Promise<boolean> {
    await this.#turn();
    if (this.dryRun) return true;
    const done = call().then(() => true);
    return (await orUndefined(done)) === true;
  }

  async #turn(): Promise<void> {
    await this.#pace.turn(this.#signal);
    this.#operations += 1;
  }

  #context(): CallContext {
    return this.#signal === undefined ? {} : { signal: this.#signal };
  }
}

async function orUndefined<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof PathNotFoundError || error instanceof NotAFileError) return undefined;
    throw error;
  }
}
