import { finished, type Readable } from 'node:stream';
import { Histogram, type Registry } from 'prom-client';
import { AppError } from '../../core/index.ts';
import { DelegatingDriver } from '../delegating.ts';
import type {
  CallContext,
  FileInfo,
  FileWriter,
  ListPage,
  PutCondition,
  ReadRange,
  StorageDriver,
  WalkOptions,
} from '../storage-driver.ts';

/** Seconds; a writer lives as long as a request of a client. */
const DURATION_BUCKETS = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300];

type Labels = 'driver' | 'operation' | 'outcome';

/** What {@link TimedDriver}s of one program count and time. */
export class StorageMetrics {
  readonly duration: Histogram<Labels>;

  /** @param registry where the metrics are shown; it must not have them yet */
  constructor(registry: Registry) {
    this.duration = new Histogram({
      name: 'shoal_storage_operation_duration_seconds',
      help:
        'Seconds of each call of a storage driver, by driver, operation and outcome ("ok" or the code of the error); "read" and ' +
        '"write" last from the opening of a reader or writer to its end, as slow as its client.',
      labelNames: ['driver', 'operation', 'outcome'],
      buckets: DURATION_BUCKETS,
      registers: [registry],
    });
  }
}

/** Times every operation of a driver, its readers and writers from beginning to end. */
export class TimedDriver extends DelegatingDriver {
  readonly #metrics: StorageMetrics;

  /** @param inner is closed with this one */
  constructor(inner: StorageDriver, metrics: StorageMetrics) {
    super(inner);
    this.#metrics = metrics;
  }

  override getContent(path: string, context?: CallContext): Promise<Buffer> {
    return this.#time('getContent', () => super.getContent(path, context));
  }

  override putContent(path: string, content: Uint8Array, context?: CallContext): Promise<void> {
    return this.#time('putContent', () => super.putContent(path, content, context));
  }

  override putContentIf(
    path: string,
    content: Uint8Array,
    condition: PutCondition,
    context?: CallContext,
  ): Promise<void> {
    return this.#time('putContentIf', () => super.putContentIf(path, content, condition, context));
  }

  override async reader(path: string, range: ReadRange, context?: CallContext): Promise<Readable> {
    const end = this.#begin('read');
    const stream = await this.#time('reader', () => super.reader(path, range, context));
    // Lent bytes come without an `end`, and a client that leaves is no failure of the storage: only its own errors are one.
    finished(stream, () => end(stream.errored ?? undefined));
    return stream;
  }

  override async writer(
    path: string,
    options: { readonly append: boolean },
    context?: CallContext,
  ): Promise<FileWriter> {
    const end = this.#begin('write');
    const writer = await this.#time('writer', () => super.writer(path, options, context));
    return new TimedWriter(writer, end);
  }

  override stat(path: string, context?: CallContext): Promise<FileInfo> {
    return this.#time('stat', () => super.stat(path, context));
  }

  override list(path: string, page?: ListPage, context?: CallContext): AsyncIterable<string> {
    return this.#timeSteps('list', super.list(path, page, context));
  }

  override move(source: string, destination: string, context?: CallContext): Promise<void> {
    return this.#time('move', () => super.move(source, destination, context));
  }

  override delete(path: string, context?: CallContext): Promise<void> {
    return this.#time('delete', () => super.delete(path, context));
  }

  override redirectURL(
    path: string,
    request: { readonly method: string },
    context?: CallContext,
  ): Promise<string | undefined> {
    return this.#time('redirectURL', () => super.redirectURL(path, request, context));
  }

  override walk(path: string, options?: WalkOptions, context?: CallContext): AsyncIterable<FileInfo> {
    return this.#timeSteps('walk', super.walk(path, options, context));
  }

  async #time<T>(operation: string, call: () => Promise<T>): Promise<T> {
    const end = this.#begin(operation);
    try {
      const result = await call();
      end(undefined);
      return result;
    } catch (error) {
      end(error);
      throw error;
    }
  }

  async *#timeSteps<T>(operation: string, items: AsyncIterable<T>): AsyncIterable<T> {
    const end = this.#begin(operation);
    try {
      yield* items;
      end(undefined);
    } catch (error) {
      end(error);
      throw error;
    } finally {
      // Whoever has left early has what it came for; after an end above this does nothing.
      end(undefined);
    }
  }

  /** @returns notes the end, once */
  #begin(operation: string): (error: unknown) => void {
    const stop = this.#metrics.duration.startTimer({ driver: this.name, operation });
    let hasEnded = false;
    return (error) => {
      if (hasEnded) return;
      hasEnded = true;
      stop({ outcome: outcomeOf(error) });
    };
  }
}

/** A writer whose end is noted, and what went wrong first. */
class TimedWriter implements FileWriter {
  readonly #writer: FileWriter;
  readonly #end: (error: unknown) => void;

  constructor(writer: FileWriter, end: (error: unknown) => void) {
    this.#writer = writer;
    this.#end = end;
  }

  get size(): number {
    return this.#writer.size;
  }

  get revision(): string | undefined {
    return this.#writer.revision;
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#noting(() => this.#writer.write(bytes));
  }

  commit(): Promise<void> {
    return this.#noting(() => this.#writer.commit());
  }

  cancel(): Promise<void> {
    return this.#noting(() => this.#writer.cancel());
  }

  async close(): Promise<void> {
    await this.#noting(() => this.#writer.close());
    this.#end(undefined);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #noting(call: () => Promise<void>): Promise<void> {
    try {
      await call();
    } catch (error) {
      this.#end(error);
      throw error;
    }
  }
}

function outcomeOf(error: unknown): string {
  if (error === undefined) return 'ok';
  return error instanceof AppError ? error.code : 'aborted';
}
