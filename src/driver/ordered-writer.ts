import { WriterClosedError } from './errors.ts';
import type { FileWriter } from './storage-driver.ts';

/** How a writer stands, in the words of its error; `open` is the only state that takes bytes. */
type WriterState = 'open' | 'committed' | 'cancelled' | 'closed' | 'broken by an earlier error';

/**
 * Enforces the order of a writer's calls, once for all drivers, so that a driver's own writer is only ever called
 * `write* (commit | cancel)? close`, one call at a time.
 *
 * Calls that are made without awaiting the one before run in the order in which they were made. After a call has failed,
 * `write` and `commit` are refused: a byte may be missing, and an object must not become visible with a hole.
 */
export class OrderedWriter implements FileWriter {
  readonly #writer: FileWriter;
  readonly #driverName: string;
  readonly #path: string;
  readonly #wrap: (error: unknown) => unknown;
  #state: WriterState = 'open';
  #brokenBy: unknown;
  #closing: Promise<void> | undefined;
  #tail: Promise<unknown> = Promise.resolve();

  /** `wrap` makes a driver's error out of whatever the writer threw. */
  constructor(options: {
    readonly writer: FileWriter;
    readonly driverName: string;
    readonly path: string;
    readonly wrap: (error: unknown) => unknown;
  }) {
    this.#writer = options.writer;
    this.#driverName = options.driverName;
    this.#path = options.path;
    this.#wrap = options.wrap;
  }

  get size(): number {
    return this.#writer.size;
  }

  get revision(): string | undefined {
    return this.#writer.revision;
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#inOrder(async () => {
      this.#requireOpen();
      await this.#orBreak(() => this.#writer.write(bytes));
    });
  }

  commit(): Promise<void> {
    return this.#inOrder(async () => {
      this.#requireOpen();
      await this.#orBreak(() => this.#writer.commit());
      this.#state = 'committed';
    });
  }

  cancel(): Promise<void> {
    return this.#inOrder(async () => {
      if (this.#state !== 'broken by an earlier error') this.#requireOpen();
      this.#state = 'cancelled';
      await this.#orBreak(() => this.#writer.cancel());
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#inOrder(async () => {
      if (this.#state === 'open') this.#state = 'closed';
      try {
        await this.#writer.close();
      } catch (error) {
        throw this.#wrap(error);
      }
    });
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #requireOpen(): void {
    if (this.#state === 'open') return;
    const options = this.#brokenBy === undefined ? undefined : { cause: this.#brokenBy };
    throw new WriterClosedError(this.#driverName, this.#path, this.#state, options);
  }

  async #orBreak(call: () => Promise<void>): Promise<void> {
    try {
      await call();
    } catch (error) {
      this.#brokenBy = this.#wrap(error);
      if (this.#state === 'open') this.#state = 'broken by an earlier error';
      throw this.#brokenBy;
    }
  }

  #inOrder<T>(call: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(call);
    // The caller has the error; the next call only has to wait.
    this.#tail = result.catch(() => undefined);
    return result;
  }
}
