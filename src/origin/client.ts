import type { Readable } from 'node:stream';
import {
  AppError,
  BlobNotFoundError,
  type ByteRange,
  type Digest,
  NoSpaceError,
  type Repository,
  rendezvousOrder,
  UnavailableError,
} from '../core/index.ts';
import { ServiceClient } from '../http/index.ts';
import { type BlobStatAnswer, originRoutes } from './protocol.ts';

/** A source that an upload can be read from more than once: a retry on the next owner starts again. */
export interface UploadSource {
  readonly sizeBytes: number;
  open(): Promise<Readable>;
}

/** Where an origin looks for a blob. */
export interface WhereToLook {
  /** On its own disk only: neither in its backend nor at other origins. */
  readonly local?: boolean;
}

/** Until an origin has kept a blob, copied it to a second one, and answered. */
const UPLOAD_TIMEOUT_MS = 600_000;
/** Making metainfo of a blob that the origin has to fetch from its backend first. */
const METAINFO_TIMEOUT_MS = 600_000;
/** An origin that did not answer is asked last for this long. */
const DOWN_MS = 5_000;

/** One origin, as other programs call it. */
export class OriginClient {
  readonly baseUrl: string;
  readonly #client: ServiceClient;

  constructor(options: { baseUrl: string; clusterToken: string }) {
    this.baseUrl = options.baseUrl;
    this.#client = new ServiceClient({ role: 'origin', ...options });
  }

  /** The length of a blob in bytes. @throws BlobNotFoundError */
  async stat(digest: Digest, signal?: AbortSignal, options?: WhereToLook): Promise<number> {
    const answer = await this.#client.json<BlobStatAnswer>({
      method: 'GET',
      path: originRoutes.stat(digest),
      query: { local: options?.local },
      signal,
    });
    return answer.sizeBytes;
  }

  /** The length of a blob in bytes; the origin makes sure that the backend has it, or will. @throws BlobNotFoundError */
  async keep(digest: Digest, signal?: AbortSignal): Promise<number> {
    const path = originRoutes.keep(digest);
    return (await this.#client.json<BlobStatAnswer>({ method: 'POST', path, signal })).sizeBytes;
  }

  /** The caller reads the stream to its end or destroys it. A range has one byte at least. @throws BlobNotFoundError */
  async open(
    digest: Digest,
    range: ByteRange | undefined,
    signal?: AbortSignal,
    options?: WhereToLook,
  ): Promise<Readable> {
    const answer = await this.#client.stream({
      method: 'GET',
      path: originRoutes.blob(digest),
      query: { local: options?.local },
      headers: range === undefined ? {} : { range: `bytes=${range.offset}-${range.offset + range.length - 1}` },
      timeoutMs: METAINFO_TIMEOUT_MS,
      signal,
    });
    return answer.body;
  }

  /** Resolves once the blob is acknowledged; a `replica` is kept by this origin alone. */
  async upload(
    digest: Digest,
    source: UploadSource,
    options: { repository?: Repository | undefined; replica?: boolean; signal?: AbortSignal | undefined },
  ): Promise<void> {
    await this.#client.bytes({
      method: 'PUT',
      path: originRoutes.blob(digest),
      query: { repository: options.repository, replica: options.replica },
      body: await source.open(),
      contentLength: source.sizeBytes,
      timeoutMs: UPLOAD_TIMEOUT_MS,
      signal: options.signal,
    });
  }

  /** Encoded metainfo. */
  async metainfo(digest: Digest, signal?: AbortSignal): Promise<Buffer> {
    const path = originRoutes.metainfo(digest);
    return this.#client.bytes({ method: 'GET', path, timeoutMs: METAINFO_TIMEOUT_MS, signal });
  }

  /** An encoded metainfo answer (`tracker/protocol.ts`). */
  async inline(digest: Digest, signal?: AbortSignal): Promise<Buffer> {
    const path = originRoutes.inline(digest);
    return this.#client.bytes({ method: 'GET', path, timeoutMs: METAINFO_TIMEOUT_MS, signal });
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}

/**
 * All origins behind one face: every call goes to the blob's owners in rendezvous order, and to the next one when an
 * origin does not answer, lacks the blob, or has no room for it. The owner of this object closes it.
 */
export class OriginCluster {
  readonly #clients: ReadonlyMap<string, OriginClient>;
  readonly #downUntilMs = new Map<string, number>();

  constructor(options: { baseUrls: readonly string[]; clusterToken: string }) {
    const { clusterToken } = options;
    this.#clients = new Map(options.baseUrls.map((baseUrl) => [baseUrl, new OriginClient({ baseUrl, clusterToken })]));
  }

  /** Base URLs of all origins, owners of `digest` first. */
  order(digest: Digest): string[] {
    return rendezvousOrder([...this.#clients.keys()], digest);
  }

  /** The length of a blob in bytes. @throws BlobNotFoundError */
  async stat(digest: Digest, signal?: AbortSignal): Promise<number> {
    return this.#tryEach(digest, (origin) => origin.stat(digest, signal));
  }

  /** The length in bytes of a blob that is to be linked anew; the backend has it then, or will. @throws BlobNotFoundError */
  async keep(digest: Digest, signal?: AbortSignal): Promise<number> {
    return this.#tryEach(digest, (origin) => origin.keep(digest, signal));
  }

  /** The bytes of a blob; fails over until the answer begins, not in mid-body. @throws BlobNotFoundError */
  async open(digest: Digest, range: ByteRange | undefined, signal?: AbortSignal): Promise<Readable> {
    return this.#tryEach(digest, async (origin) => {
      const body = await origin.open(digest, range, signal);
      // A body that breaks off: whoever goes on from there is to ask another origin first.
      body.once('error', () => this.#downUntilMs.set(origin.baseUrl, performance.now() + DOWN_MS));
      return body;
    });
  }

  /** Uploads a blob; resolves once it is acknowledged. */
  async upload(digest: Digest, source: UploadSource, repository: Repository, signal?: AbortSignal): Promise<void> {
    await this.#tryEach(digest, (origin) => origin.upload(digest, source, { repository, signal }));
  }

  /** Encoded metainfo. @throws BlobNotFoundError */
  async metainfo(digest: Digest, signal?: AbortSignal): Promise<Buffer> {
    return this.#tryEach(digest, (origin) => origin.metainfo(digest, signal));
  }

  /** An encoded metainfo answer. @throws BlobNotFoundError */
  async inline(digest: Digest, signal?: AbortSignal): Promise<Buffer> {
    return this.#tryEach(digest, (origin) => origin.inline(digest, signal));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.close()));
  }

  async #tryEach<T>(digest: Digest, call: (origin: OriginClient) => Promise<T>): Promise<T> {
    let notFound: unknown;
    let failure: unknown;
    for (const url of this.#answeringFirst(this.order(digest))) {
      try {
        const result = await call(this.#clients.get(url)!);
        this.#downUntilMs.delete(url);
        return result;
      } catch (error) {
        if (error instanceof BlobNotFoundError) notFound = error;
        else if (error instanceof AppError && error.retryable) {
          failure = error;
          this.#downUntilMs.set(url, performance.now() + DOWN_MS);
        } else if (error instanceof NoSpaceError) failure ??= error;
        else throw error;
      }
    }
    // Not found counts only when every origin could be asked: a silent one may have it.
    throw failure ?? notFound ?? new UnavailableError('no origin is configured');
  }

  #answeringFirst(urls: readonly string[]): string[] {
    const now = performance.now();
    const isDown = (url: string) => (this.#downUntilMs.get(url) ?? 0) > now;
    return [...urls.filter((url) => !isDown(url)), ...urls.filter(isDown)];
  }
}
