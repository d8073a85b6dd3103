import type { Readable } from 'node:stream';
import { AppError } from '../core/index.ts';
import { InvalidOffsetError, InvalidPathError, StorageInternalError, UnsupportedError } from './errors.ts';
import { OrderedWriter } from './ordered-writer.ts';
import { findPathFault } from './paths.ts';
import type {
  CallContext,
  Capabilities,
  FileInfo,
  FileWriter,
  ListPage,
  PutCondition,
  ReadRange,
  StorageDriver,
  WalkOptions,
} from './storage-driver.ts';

/**
 * Wraps a driver in what is the same for all of them, so that a driver sees only calls that make sense:
 * - paths, offsets, lengths and limits are checked, and an aborted signal ends a call before it begins;
 * - a driver without `write` refuses all that writes, one without `redirect` never answers with a URL;
 * - an error that is none of ours becomes {@link StorageInternalError} with its cause; those of ours, and the reason of
 *   an aborted signal, pass through untouched;
 * - a reader is destroyed with the signal's reason when the signal aborts; a writer's calls are kept in order.
 *
 * The signal of `writer` counts for opening it; the writer itself ends by its own calls. Wrapping twice does nothing.
 */
export function validated(driver: StorageDriver): StorageDriver {
  return alreadyValidated in driver ? driver : new ValidatedDriver(driver);
}

/** Marks drivers that are wrapped, or that hand every call to one that is. */
export const alreadyValidated = Symbol('validated storage driver');

class ValidatedDriver implements StorageDriver {
  readonly [alreadyValidated] = true;
  readonly #driver: StorageDriver;

  constructor(driver: StorageDriver) {
    this.#driver = driver;
  }

  get name(): string {
    return this.#driver.name;
  }

  get capabilities(): Capabilities {
    return this.#driver.capabilities;
  }

  getContent(path: string, context?: CallContext): Promise<Buffer> {
    return this.#call(path, context, () => this.#driver.getContent(path, context));
  }

  putContent(path: string, content: Uint8Array, context?: CallContext): Promise<void> {
    return this.#call(path, context, () => {
      this.#requireWrite(path, 'putContent');
      return this.#driver.putContent(path, content, context);
    });
  }

  putContentIf(path: string, content: Uint8Array, condition: PutCondition, context?: CallContext): Promise<void> {
    return this.#call(path, context, () => {
      this.#requireWrite(path, 'putContentIf');
      if (!this.capabilities.conditionalPut) throw new UnsupportedError(this.name, path, 'putContentIf');
      return this.#driver.putContentIf(path, content, condition, context);
    });
  }

  reader(path: string, range: ReadRange, context?: CallContext): Promise<Readable> {
    return this.#call(path, context, async () => {
      this.#checkNumber(path, range.offset);
      if (range.length !== undefined) this.#checkNumber(path, range.length);
      return endWithSignal(await this.#driver.reader(path, range, context), context?.signal);
    });
  }

  writer(path: string, options: { readonly append: boolean }, context?: CallContext): Promise<FileWriter> {
    return this.#call(path, context, async () => {
      this.#requireWrite(path, 'writer');
      return new OrderedWriter({
        writer: await this.#driver.writer(path, options, context),
        driverName: this.name,
        path,
        wrap: (error) => this.#wrap(error, path, undefined),
      });
    });
  }

  stat(path: string, context?: CallContext): Promise<FileInfo> {
    return this.#call(path, context, () => this.#driver.stat(path, context), { root: true });
  }

  async *list(path: string, page: ListPage = {}, context?: CallContext): AsyncIterable<string> {
    const { after, limit } = page;
    const check = () => {
      if (after !== undefined) this.#checkPath(after, true);
      if (limit !== undefined) this.#checkNumber(path, limit);
    };
    yield* this.#iterate(path, context, check, () => this.#driver.list(path, page, context));
  }

  move(source: string, destination: string, context?: CallContext): Promise<void> {
    return this.#call(source, context, () => {
      this.#checkPath(destination, false);
      this.#requireWrite(source, 'move');
      return this.#driver.move(source, destination, context);
    });
  }

  delete(path: string, context?: CallContext): Promise<void> {
    return this.#call(path, context, () => {
      this.#requireWrite(path, 'delete');
      return this.#driver.delete(path, context);
    });
  }

  redirectURL(path: string, request: { readonly method: string }, context?: CallContext): Promise<string | undefined> {
    return this.#call(path, context, async () =>
      this.capabilities.redirect ? this.#driver.redirectURL(path, request, context) : undefined,
    );
  }

  async *walk(path: string, options: WalkOptions = {}, context?: CallContext): AsyncIterable<FileInfo> {
    const { startAfter } = options;
    const check = () => {
      if (startAfter !== undefined) this.#checkPath(startAfter, true);
    };
    yield* this.#iterate(path, context, check, () => this.#driver.walk(path, options, context));
  }

  close(): Promise<void> {
    return this.#driver.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #call<T>(
    path: string,
    context: CallContext | undefined,
    call: () => Promise<T>,
    { root = false } = {},
  ): Promise<T> {
    try {
      this.#checkPath(path, root);
      context?.signal?.throwIfAborted();
      return await call();
    } catch (error) {
      throw this.#wrap(error, path, context?.signal);
    }
  }

  async *#iterate<T>(
    path: string,
    context: CallContext | undefined,
    check: () => void,
    call: () => AsyncIterable<T>,
  ): AsyncIterable<T> {
    try {
      this.#checkPath(path, true);
      check();
      context?.signal?.throwIfAborted();
      for await (const item of call()) {
        yield item;
        context?.signal?.throwIfAborted();
      }
    } catch (error) {
      throw this.#wrap(error, path, context?.signal);
    }
  }

  #checkPath(path: string, root: boolean): void {
    if (path === '/' && root) return;
    const fault = findPathFault(path);
    if (fault !== undefined) throw new InvalidPathError(this.name, path, fault);
  }

  #checkNumber(path: string, value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) throw new InvalidOffsetError(this.name, path, value);
  }

  #requireWrite(path: string, what: string): void {
    if (!this.capabilities.write) throw new UnsupportedError(this.name, path, what);
  }

  #wrap(error: unknown, path: string, signal: AbortSignal | undefined): unknown {
    if (error instanceof AppError) return error;
    if (signal?.aborted) {
      if (error === signal.reason) return error;
      // Node's own calls report an abort by an error of their own, not by the reason.
      if (error instanceof Error && error.name === 'AbortError') return signal.reason;
    }
    const text = error instanceof Error ? error.message : String(error);
    return new StorageInternalError(this.name, path, `unexpected error (${text})`, { cause: error });
  }
}

/** Destroys a stream with the signal's reason when the signal aborts before the stream has ended. */
function endWithSignal(stream: Readable, signal: AbortSignal | undefined): Readable {
  if (signal === undefined) return stream;
  const abort = () => {
    const { reason } = signal;
    stream.destroy(reason instanceof Error ? reason : new Error(`aborted: ${reason}`, { cause: reason }));
  };
  // The abort may come before the caller has begun to read. Whoever reads still gets the error; without this listener it
  // would end the process.
  stream.on('error', () => undefined);
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  stream.once('close', () => signal.removeEventListener('abort', abort));
  return stream;
}
