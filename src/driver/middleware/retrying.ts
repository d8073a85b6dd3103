import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../../core/index.ts';
import { DelegatingDriver } from '../delegating.ts';
import { PathNotFoundError } from '../errors.ts';
import type {
  CallContext,
  FileInfo,
  FileWriter,
  ListPage,
  ReadRange,
  StorageDriver,
  WalkOptions,
} from '../storage-driver.ts';

/** How often, and how patiently, a {@link RetryingDriver} tries. */
export interface RetryOptions {
  /** Tries of one call, the first included. */
  readonly attempts: number;
  /** Wait before the second try in milliseconds; doubled for each one after it, and each made shorter by chance, by up to half. */
  readonly firstWaitMs: number;
  readonly longestWaitMs: number;
}

/** Enough to outlast a restart of what stands in front of the storage, short enough that a client still waits. */
export const defaultRetryOptions: RetryOptions = { attempts: 4, firstWaitMs: 100, longestWaitMs: 2_000 };

/**
 * Tries calls again that failed in a way that may pass (`retryable`), with growing waits in between.
 *
 * Only calls that do the same when they are done twice: reads, puts, deletes, opening a reader or a writer, listings from
 * where they broke off. Not `move` and `putContentIf`, which may have happened although their answer was lost; and not the
 * bytes of a reader or writer that is open: who reads or uploads goes on by ranges and offsets.
 */
export class RetryingDriver extends DelegatingDriver {
  readonly #options: RetryOptions;
  readonly #random: () => number;

  /** @param inner is closed with this one */
  constructor(inner: StorageDriver, options: RetryOptions = defaultRetryOptions, random: () => number = Math.random) {
    super(inner);
    this.#options = options;
    this.#random = random;
  }

  override getContent(path: string, context?: CallContext): Promise<Buffer> {
    return this.#retry(context, () => super.getContent(path, context));
  }

  override putContent(path: string, content: Uint8Array, context?: CallContext): Promise<void> {
    return this.#retry(context, () => super.putContent(path, content, context));
  }

  override reader(path: string, range: ReadRange, context?: CallContext): Promise<Readable> {
    return this.#retry(context, () => super.reader(path, range, context));
  }

  override writer(path: string, options: { readonly append: boolean }, context?: CallContext): Promise<FileWriter> {
    return this.#retry(context, () => super.writer(path, options, context));
  }

  override stat(path: string, context?: CallContext): Promise<FileInfo> {
    return this.#retry(context, () => super.stat(path, context));
  }

  override redirectURL(
    path: string,
    request: { readonly method: string },
    context?: CallContext,
  ): Promise<string | undefined> {
    return this.#retry(context, () => super.redirectURL(path, request, context));
  }

  override delete(path: string, context?: CallContext): Promise<void> {
    return this.#retry(context, async (attempt) => {
      try {
        await super.delete(path, context);
      } catch (error) {
        // An earlier try has done it, and its answer was lost.
        if (attempt === 1 || !(error instanceof PathNotFoundError)) throw error;
      }
    });
  }

  override async *list(path: string, page: ListPage = {}, context?: CallContext): AsyncIterable<string> {
    let { after } = page;
    let left = page.limit;
    yield* this.#resume(
      context,
      () => super.list(path, pageOf(after, left), context),
      (entry) => {
        after = entry;
        if (left !== undefined) left -= 1;
      },
    );
  }

  override async *walk(path: string, options: WalkOptions = {}, context?: CallContext): AsyncIterable<FileInfo> {
    let { startAfter } = options;
    const begin = () => super.walk(path, startAfter === undefined ? {} : { startAfter }, context);
    yield* this.#resume(context, begin, (entry) => {
      startAfter = entry.path;
    });
  }

  /** An iteration that goes on behind its last item. Tries are counted anew whenever there was one. */
  async *#resume<T>(
    context: CallContext | undefined,
    begin: () => AsyncIterable<T>,
    onItem: (item: T) => void,
  ): AsyncIterable<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        for await (const item of begin()) {
          attempt = 1;
          onItem(item);
          yield item;
        }
        return;
      } catch (error) {
        await this.#waitAfter(error, attempt, context);
      }
    }
  }

  async #retry<T>(context: CallContext | undefined, call: (attempt: number) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await call(attempt);
      } catch (error) {
        await this.#waitAfter(error, attempt, context);
      }
    }
  }

  /** @throws the error, when there is no use in another try or no more of them; the signal's reason */
  async #waitAfter(error: unknown, attempt: number, context: CallContext | undefined): Promise<void> {
    const { attempts, firstWaitMs, longestWaitMs } = this.#options;
    if (!(error instanceof AppError && error.retryable) || attempt >= attempts) throw error;
    const waitMs = Math.min(longestWaitMs, firstWaitMs * 2 ** (attempt - 1)) * (1 - this.#random() / 2);
    try {
      await delay(waitMs, undefined, context?.signal === undefined ? {} : { signal: context.signal });
    } catch {
      throw context?.signal?.reason;
    }
  }
}

function pageOf(after: string | undefined, limit: number | undefined): ListPage {
  return { ...(after === undefined ? {} : { after }), ...(limit === undefined ? {} : { limit }) };
}
