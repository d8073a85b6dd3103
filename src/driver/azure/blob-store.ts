import type { BlobDownloadResponseParsed, BlobRequestConditions, ContainerClient, Metadata } from '@azure/storage-blob';
import { Semaphore } from '../semaphore.ts';
import { isConditionFailure, isMissing, isUnanswered } from './azure-errors.ts';
import type { CopySource } from './connection.ts';

/** What is known of a blob. */
export interface BlobFacts {
  readonly sizeBytes: number;
  /** When it was written, by the clock of whoever wrote it where that is known, else by the service's, in whole seconds. */
  readonly modTimeMs: number;
  readonly etag: string;
  readonly metadata: Metadata;
  readonly contentType: string | undefined;
}

/** An entry of a listing: a blob, or with a delimiter what several begin with; names of the latter end in a slash. */
export interface ListedName {
  readonly name: string;
  readonly sizeBytes: number;
  readonly modTimeMs: number;
  readonly metadata: Metadata;
}

/** What a listing asks for. */
export interface ListRequest {
  readonly prefix: string;
  /** Only the next part of each name, as in a directory. */
  readonly isShallow?: boolean;
  readonly pageSize?: number | undefined;
  readonly withMetadata?: boolean;
}

/** One answer to a listing. */
export interface NamePage {
  readonly names: readonly ListedName[];
  /** For the next page; `undefined` after the last. */
  readonly marker: string | undefined;
}

/** A block of a blob, in order. */
export interface BlockFacts {
  readonly id: string;
  readonly sizeBytes: number;
}

/** The list of blocks that a blob is made of. */
export interface BlockListFacts {
  readonly blocks: readonly BlockFacts[];
  readonly etag: string;
}

/** Metadata that holds the time of writing, in milliseconds: the service's own has whole seconds only. */
const modTimeKey = 'shoalmodtime';

/** Metadata of whoever writes: tells whether a write whose answer was lost has been done. */
const writeKey = 'shoalwrite';

/** Longest answer to a request without a body to speak of, its retries included. */
const callTimeoutMs = 120_000;

/** Longest answer to a request that carries a block or makes the service copy one, its retries included. */
const transferTimeoutMs = 15 * 60_000;

/** The service's limit for the names of one answer. */
export const maxPageSize = 5000;

// A request that waits holds little, but what holds the caller (a block, the body of a request) counts too.
const maxWaitingRequests = 10_000;

/**
 * The requests to one container, by names of blobs: a number of them at once, those that wait keep their order. Errors are those
 * of the SDK, a TimeoutError that says how long was waited, SemaphoreFullError; an abort gives the reason of the signal.
 */
export class BlobStore {
  readonly #container: ContainerClient;
  readonly #containerOnce: ContainerClient;
  readonly #semaphore: Semaphore;
  readonly #maxPageSize: number;
  readonly #callTimeoutMs: number;

  constructor(options: {
    readonly container: ContainerClient;
    /** The same container, without retries. */
    readonly containerOnce: ContainerClient;
    readonly maxConcurrency: number;
    /** For tests, in place of the service's own. */
    readonly maxPageSize?: number | undefined;
    /** For tests. */
    readonly callTimeoutMs?: number | undefined;
  }) {
    this.#container = options.container;
    this.#containerOnce = options.containerOnce;
    this.#semaphore = new Semaphore(options.maxConcurrency, maxWaitingRequests);
    this.#maxPageSize = options.maxPageSize ?? maxPageSize;
    this.#callTimeoutMs = options.callTimeoutMs ?? callTimeoutMs;
  }

  /** `undefined` when there is no such blob. */
  async find(name: string, signal?: AbortSignal): Promise<BlobFacts | undefined> {
    try {
      const found = await this.#send(this.#callTimeoutMs, signal, (abortSignal) =>
        this.#container.getBlobClient(name).getProperties({ abortSignal }),
      );
      if (!isReadable(found.copyStatus)) return undefined;
      return {
        sizeBytes: found.contentLength ?? 0,
        modTimeMs: modTimeOf(found.metadata, found.lastModified),
        etag: found.etag ?? '',
        metadata: found.metadata ?? {},
        contentType: found.contentType,
      };
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** Opens a blob for reading. The signal ends the body, too. */
  open(
    name: string,
    range: { readonly offset: number; readonly length?: number | undefined },
    options: { readonly signal: AbortSignal | undefined; readonly ifMatch?: string },
  ): Promise<BlobDownloadResponseParsed> {
    const conditions = options.ifMatch === undefined ? {} : { ifMatch: options.ifMatch };
    return this.#send(this.#callTimeoutMs, options.signal, (abortSignal) =>
      this.#container.getBlobClient(name).download(range.offset, range.length, { abortSignal, conditions }),
    );
  }

  /** Puts a whole blob in one step. @returns its ETag */
  async put(name: string, bytes: Uint8Array, stamp: WriteStamp, options: PutOptions = {}): Promise<string> {
    const { conditions = {}, signal } = options;
    const body = asBuffer(bytes);
    const { etag } = await this.#send(transferTimeoutMs, signal, (abortSignal) =>
      this.#container
        .getBlockBlobClient(name)
        .upload(body, body.length, { abortSignal, conditions, metadata: metadataOf(stamp) }),
    );
    return etag ?? '';
  }

  /**
   * @returns whether it was there. When the answer to a first try was lost and a second finds nothing, the first has done it:
   * whoever moves a blob must not take that for the deletion of somebody else.
   */
  async delete(name: string, options: { signal?: AbortSignal | undefined; ifMatch?: string } = {}): Promise<boolean> {
    try {
      await this.#delete(this.#containerOnce, name, options);
      return true;
    } catch (error) {
      if (await this.#isGone(error, name, options)) return false;
      if (!isUnanswered(error)) throw error;
    }
    try {
      await this.#delete(this.#container, name, options);
      return true;
    } catch (error) {
      if (await this.#isGone(error, name, options)) return true;
      throw error;
    }
  }

  /** Names in the order of their bytes, a page at a time, from the first that has the prefix. */
  async *list(request: ListRequest, signal?: AbortSignal): AsyncIterable<ListedName> {
    let marker: string | undefined;
    do {
      const page = await this.listPage({ ...request, marker }, signal);
      yield* page.names;
      marker = page.marker;
    } while (marker !== undefined);
  }

  /** One page of {@link list}, that behind the page whose `marker` is given. It may be empty and yet not the last. */
  async listPage(
    request: ListRequest & { readonly marker: string | undefined },
    signal?: AbortSignal,
  ): Promise<NamePage> {
    const { prefix, marker, isShallow = false, withMetadata = false } = request;
    const settings = {
      maxPageSize: Math.min(request.pageSize ?? maxPageSize, this.#maxPageSize),
      ...(marker === undefined ? {} : { continuationToken: marker }),
    };
    return this.#send(this.#callTimeoutMs, signal, async (abortSignal) => {
      const options = { prefix, includeMetadata: withMetadata, includeCopy: true, abortSignal };
      const pages = isShallow
        ? this.#container.listBlobsByHierarchy('/', options).byPage(settings)
        : this.#container.listBlobsFlat(options).byPage(settings);
      const { value: page, done } = await pages.next();
      if (done) return { names: [], marker: undefined };
      const next = page.continuationToken || undefined;
      if (next !== undefined && next === marker) throw new Error(`the service gave the page "${marker}" twice`);
      return { names: inOrder(page.segment), marker: next };
    });
  }

  /** Sends a block; it counts only when {@link commitBlocks} names it. */
  async stageBlock(name: string, id: string, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    const body = asBuffer(bytes);
    await this.#send(transferTimeoutMs, signal, (abortSignal) =>
      this.#container.getBlockBlobClient(name).stageBlock(id, body, body.length, { abortSignal }),
    );
  }

  /** Makes a blob of blocks in one step. @returns its ETag */
  async commitBlocks(
    name: string,
    ids: readonly string[],
    stamp: WriteStamp,
    options: PutOptions = {},
  ): Promise<string> {
    const { conditions = {}, contentType, signal } = options;
    const headers = contentType === undefined ? {} : { blobHTTPHeaders: { blobContentType: contentType } };
    const { etag } = await this.#send(this.#callTimeoutMs, signal, (abortSignal) =>
      this.#container
        .getBlockBlobClient(name)
        .commitBlockList([...ids], { abortSignal, conditions, metadata: metadataOf(stamp), ...headers }),
    );
    return etag ?? '';
  }

  /** The blocks that count. */
  async blockList(name: string, signal?: AbortSignal): Promise<BlockListFacts> {
    const { committedBlocks, etag } = await this.#send(this.#callTimeoutMs, signal, (abortSignal) =>
      this.#container.getBlockBlobClient(name).getBlockList('committed', { abortSignal }),
    );
    const blocks = (committedBlocks ?? []).map(({ name: id, size }) => ({ id, sizeBytes: size }));
    return { blocks, etag: etag ?? '' };
  }

  /** Has the service copy a whole blob, while it is that of `ifMatch`, and waits until it has. @returns the ETag of the copy */
  async copy(
    name: string,
    from: CopySource,
    options: { readonly ifMatch: string; readonly stamp: WriteStamp; readonly signal: AbortSignal | undefined },
  ): Promise<string> {
    const { etag } = await this.#send(transferTimeoutMs, options.signal, (abortSignal) =>
      this.#container.getBlobClient(name).syncCopyFromURL(from.url, {
        abortSignal,
        metadata: metadataOf(options.stamp),
        sourceConditions: { ifMatch: options.ifMatch },
        ...authorize(from),
      }),
    );
    return etag ?? '';
  }

  /** {@link stageBlock} of bytes that the service reads by itself. */
  async stageCopy(
    name: string,
    id: string,
    { from, offset, length }: { readonly from: CopySource; readonly offset: number; readonly length: number },
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#send(transferTimeoutMs, signal, (abortSignal) =>
      this.#container
        .getBlockBlobClient(name)
        .stageBlockFromURL(id, from.url, offset, length, { abortSignal, ...authorize(from) }),
    );
  }

  async #delete(
    container: ContainerClient,
    name: string,
    { signal, ifMatch }: { signal?: AbortSignal | undefined; ifMatch?: string },
  ): Promise<void> {
    const conditions = ifMatch === undefined ? {} : { ifMatch };
    await this.#send(this.#callTimeoutMs, signal, (abortSignal) =>
      container.getBlobClient(name).delete({ abortSignal, deleteSnapshots: 'include', conditions }),
    );
  }

  /** A condition on what is not there may be refused as a condition (Azurite does), or as missing. */
  async #isGone(error: unknown, name: string, { signal }: { signal?: AbortSignal | undefined }): Promise<boolean> {
    if (isMissing(error)) return true;
    return isConditionFailure(error) && (await this.find(name, signal)) === undefined;
  }

  /** The time counts for the answer; the signal that the request gets stays with the body behind it. */
  async #send<T>(
    timeoutMs: number,
    signal: AbortSignal | undefined,
    request: (abortSignal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    return this.#semaphore.run(async () => {
      const late = new AbortController();
      const timer = setTimeout(() => late.abort(), timeoutMs);
      try {
        return await request(signal === undefined ? late.signal : AbortSignal.any([late.signal, signal]));
      } catch (error) {
        signal?.throwIfAborted();
        if (late.signal.aborted) throw timeoutError(timeoutMs, error);
        throw error;
      } finally {
        clearTimeout(timer);
      }
    }, signal);
  }
}

/** Whether a blob has its bytes: of a copy that another program has begun and not finished, or that has failed, none can be read. */
export function isReadable(copyStatus: string | undefined): boolean {
  return (copyStatus ?? 'success') === 'success';
}

/** What a write leaves in the metadata of its blob. */
export interface WriteStamp {
  readonly modTimeMs: number;
  /** Another text for every write. */
  readonly writeId: string;
  /** For unfinished bytes: the path that they belong to. */
  readonly path?: string;
}

/** See {@link BlobStore.put}. */
export interface PutOptions {
  readonly conditions?: BlobRequestConditions;
  readonly contentType?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The path that unfinished bytes belong to. */
export function sessionPathOf({ metadata }: ListedName): string | undefined {
  return metadata['shoalpath'];
}

/** Which write a blob is of. */
export function writeIdOf({ metadata }: BlobFacts): string | undefined {
  return metadata[writeKey];
}

/** What the service keeps with a blob. */
function metadataOf({ modTimeMs, writeId, path }: WriteStamp): Metadata {
  return {
    [modTimeKey]: String(modTimeMs),
    [writeKey]: writeId,
    ...(path === undefined ? {} : { shoalpath: path }),
  };
}

function modTimeOf(metadata: Metadata | undefined, lastModified: Date | undefined): number {
  const stamped = Number(metadata?.[modTimeKey]);
  return Number.isSafeInteger(stamped) ? stamped : (lastModified?.getTime() ?? 0);
}

interface ListSegment {
  readonly blobItems: readonly {
    readonly name: string;
    readonly metadata?: Metadata;
    readonly properties: { readonly contentLength?: number; readonly lastModified: Date; readonly copyStatus?: string };
  }[];
  readonly blobPrefixes?: readonly { readonly name: string }[];
}

/** A page has its blobs and its directories apart; together they are in the order of their bytes. */
function inOrder({ blobItems, blobPrefixes = [] }: ListSegment): ListedName[] {
  const names: ListedName[] = [];
  for (const { name } of blobPrefixes) names.push({ name, sizeBytes: 0, modTimeMs: 0, metadata: {} });
  for (const { name, metadata = {}, properties } of blobItems) {
    if (!isReadable(properties.copyStatus)) continue;
    const modTimeMs = modTimeOf(metadata, properties.lastModified);
    names.push({ name, sizeBytes: properties.contentLength ?? 0, modTimeMs, metadata });
  }
  if (blobPrefixes.length === 0) return names;
  return names.sort((left, right) => (left.name < right.name ? -1 : 1));
}

function authorize({ authorization }: CopySource) {
  return authorization === undefined ? {} : { sourceAuthorization: authorization };
}

/** The same memory, as the SDK wants it. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function timeoutError(timeoutMs: number, cause: unknown): Error {
  const error = new Error(`no answer within ${timeoutMs} ms`, { cause });
  error.name = 'TimeoutError';
  return error;
}
