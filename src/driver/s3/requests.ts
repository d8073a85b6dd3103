import type { S3 } from '@aws-sdk/client-s3';
import { StorageUnavailableError } from '../errors.ts';
import { Semaphore, SemaphoreFullError } from '../semaphore.ts';
import { driverName, toDriverError } from './errors.ts';

/** What a request is sent for: its path stands in errors, its signal ends it. */
export interface RequestScope {
  readonly path: string;
  readonly signal?: AbortSignal | undefined;
}

// A request that waits holds little, but what holds the caller (a part of a blob) counts too.
const maxWaitingRequests = 10_000;

/** Sends all requests of a driver, a number of them at once; those that wait keep their order. */
export class S3Requests {
  readonly bucket: string;
  readonly #client: S3;
  readonly #semaphore: Semaphore;

  constructor(options: { readonly client: S3; readonly bucket: string; readonly maxConcurrency: number }) {
    this.bucket = options.bucket;
    this.#client = options.client;
    this.#semaphore = new Semaphore(options.maxConcurrency, maxWaitingRequests);
  }

  /**
   * Sends one request; a body in its answer is read after this. @throws PathNotFoundError for a key that is not there, other
   * driver errors with the SDK's as `cause`; the signal's reason
   */
  async send<T>(
    { path, signal }: RequestScope,
    request: (client: S3, options: { readonly abortSignal?: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    try {
      const options = signal === undefined ? {} : { abortSignal: signal };
      return await this.#semaphore.run(() => request(this.#client, options), signal);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (error instanceof SemaphoreFullError) {
        throw new StorageUnavailableError(driverName, path, error.message, { cause: error });
      }
      throw toDriverError(error, path);
    }
  }
}
