import type { Readable } from 'node:stream';
import { DelegatingDriver } from '../delegating.ts';
import { StorageUnavailableError } from '../errors.ts';
import { Semaphore, SemaphoreFullError } from '../semaphore.ts';
import type {
  CallContext,
  FileInfo,
  FileWriter,
  ListPage,
  PutCondition,
  ReadRange,
  StorageDriver,
} from '../storage-driver.ts';

/** Calls that wait at most; a call that waits holds little, but what holds its caller (a request, its body) counts too. */
const MAX_WAITING = 10_000;

/**
 * Lets so many calls at once through to a driver; the others wait in the order in which they came, as long as their signal
 * lets them. A reader or writer counts while it is opened, not while it is open, and each step of a listing that the driver
 * answers in pages counts as a call. `walk` goes through as it is: its driver calls `list` and `stat` by itself.
 */
export class RegulatedDriver extends DelegatingDriver {
  readonly #semaphore: Semaphore;

  /** @param inner is closed with this one; @param maxConcurrency calls at once */
  constructor(inner: StorageDriver, maxConcurrency: number) {
    super(inner);
    this.#semaphore = new Semaphore(maxConcurrency, MAX_WAITING);
  }

  override getContent(path: string, context?: CallContext): Promise<Buffer> {
    return this.#run(path, context, () => super.getContent(path, context));
  }

  override putContent(path: string, content: Uint8Array, context?: CallContext): Promise<void> {
    return this.#run(path, context, () => super.putContent(path, content, context));
  }

  override putContentIf(
    path: string,
    content: Uint8Array,
    condition: PutCondition,
    context?: CallContext,
  ): Promise<void> {
    return this.#run(path, context, () => super.putContentIf(path, content, condition, context));
  }

  override reader(path: string, range: ReadRange, context?: CallContext): Promise<Readable> {
    return this.#run(path, context, () => super.reader(path, range, context));
  }

  override writer(path: string, options: { readonly append: boolean }, context?: CallContext): Promise<FileWriter> {
    return this.#run(path, context, () => super.writer(path, options, context));
  }

  override stat(path: string, context?: CallContext): Promise<FileInfo> {
    return this.#run(path, context, () => super.stat(path, context));
  }

  override async *list(path: string, page?: ListPage, context?: CallContext): AsyncIterable<string> {
    const entries = super.list(path, page, context)[Symbol.asyncIterator]();
    try {
      for (;;) {
        const step = await this.#run(path, context, () => entries.next());
        if (step.done === true) return;
        yield step.value;
      }
    } finally {
      await entries.return?.();
    }
  }

  override move(source: string, destination: string, context?: CallContext): Promise<void> {
    return this.#run(source, context, () => super.move(source, destination, context));
  }

  override delete(path: string, context?: CallContext): Promise<void> {
    return this.#run(path, context, () => super.delete(path, context));
  }

  override redirectURL(
    path: string,
    request: { readonly method: string },
    context?: CallContext,
  ): Promise<string | undefined> {
    return this.#run(path, context, () => super.redirectURL(path, request, context));
  }

  async #run<T>(path: string, context: CallContext | undefined, call: () => Promise<T>): Promise<T> {
    try {
      return await this.#semaphore.run(call, context?.signal);
    } catch (error) {
      if (!(error instanceof SemaphoreFullError)) throw error;
      throw new StorageUnavailableError(this.name, path, error.message, { cause: error });
    }
  }
}
