import type { BlobDownloadResponseParsed, BlobRequestConditions, ContainerClient, Metadata } from '@azure/storage-blob';
import { isMissing } from './azure-errors.ts';

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
  readonly pageSize?: number;
  readonly withMetadata?: boolean;
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
export const transferTimeoutMs = 15 * 60_000;

/** The requests to one container, by names of blobs. Errors are those of the SDK. */
export class BlobStore {
  readonly container: ContainerClient;
  readonly #maxPageSize: number | undefined;

  constructor(container: ContainerClient, options: { readonly maxPageSize?: number | undefined } = {}) {
    this.container = container;
    this.#maxPageSize = options.maxPageSize;
  }

  /** `undefined` when there is no such blob. */
  async find(name: string, signal?: AbortSignal): Promise<BlobFacts | undefined> {
    try {
      const client = this.container.getBlobClient(name);
      const found = await client.getProperties({ abortSignal: within(callTimeoutMs, signal) });
      // Of a copy that another program has begun and not finished, or that has failed, nothing can be read.
      if ((found.copyStatus ?? 'success') !== 'success') return undefined;
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
  async open(
    name: string,
    range: { readonly offset: number; readonly length?: number | undefined },
    options: { readonly signal: AbortSignal | undefined; readonly ifMatch?: string },
  ): Promise<BlobDownloadResponseParsed> {
    // The signal stays with the body, and the time counts for the answer only.
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), callTimeoutMs);
    try {
      return await this.container.getBlobClient(name).download(range.offset, range.length, {
        abortSignal: AbortSignal.any([late.signal, ...(options.signal === undefined ? [] : [options.signal])]),
        conditions: options.ifMatch === undefined ? {} : { ifMatch: options.ifMatch },
      });
    } catch (error) {
      if (late.signal.aborted) throw timeoutError(error);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Puts a whole blob in one step. @returns its ETag */
  async put(name: string, bytes: Uint8Array, stamp: WriteStamp, options: PutOptions = {}): Promise<string> {
    const { etag } = await this.container.getBlockBlobClient(name).upload(Buffer.from(bytes), bytes.length, {
      abortSignal: within(transferTimeoutMs, options.signal),
      conditions: options.conditions ?? {},
      metadata: metadataOf(stamp),
    });
    return etag ?? '';
  }

  /** @returns whether it was there */
  async delete(name: string, options: { signal?: AbortSignal | undefined; ifMatch?: string } = {}): Promise<boolean> {
    try {
      await this.container.getBlobClient(name).delete({
        abortSignal: within(callTimeoutMs, options.signal),
        deleteSnapshots: 'include',
        conditions: options.ifMatch === undefined ? {} : { ifMatch: options.ifMatch },
      });
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  /**
   * Names in the order of their bytes, a page at a time. Always from the first: the SDK's `startFrom` is for the newest service
   * versions only, and its meaning with a delimiter is not documented well enough to leave names out by it.
   */
  async *list(request: ListRequest, signal?: AbortSignal): AsyncIterable<ListedName> {
    const { prefix, isShallow = false, withMetadata = false } = request;
    const maxPageSize = Math.min(request.pageSize ?? 5000, this.#maxPageSize ?? 5000);
    let marker: string | undefined;
    do {
      const options = { prefix, includeMetadata: withMetadata, abortSignal: within(callTimeoutMs, signal) };
      const settings = { maxPageSize, ...(marker === undefined ? {} : { continuationToken: marker }) };
      const pages = isShallow
        ? this.container.listBlobsByHierarchy('/', options).byPage(settings)
        : this.container.listBlobsFlat(options).byPage(settings);
      const { value: page, done } = await pages.next();
      if (done) return;
      yield* inOrder(page.segment);
      const next = page.continuationToken || undefined;
      if (next !== undefined && next === marker) throw new Error(`the service gave the page "${marker}" twice`);
      marker = next;
    } while (marker !== undefined);
  }

  /** Sends a block; it counts only when {@link commitBlocks} names it. */
  async stageBlock(name: string, id: string, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    const client = this.container.getBlockBlobClient(name);
    await client.stageBlock(id, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), bytes.length, {
      abortSignal: within(transferTimeoutMs, signal),
    });
  }

  /** Makes a blob of blocks in one step. @returns its ETag */
  async commitBlocks(
    name: string,
    ids: readonly string[],
    stamp: WriteStamp,
    options: PutOptions = {},
  ): Promise<string> {
    const { etag } = await this.container.getBlockBlobClient(name).commitBlockList([...ids], {
      abortSignal: within(callTimeoutMs, options.signal),
      conditions: options.conditions ?? {},
      metadata: metadataOf(stamp),
      ...(options.contentType === undefined ? {} : { blobHTTPHeaders: { blobContentType: options.contentType } }),
    });
    return etag ?? '';
  }

  /** The blocks that count. */
  async blockList(name: string, signal?: AbortSignal): Promise<BlockListFacts> {
    const client = this.container.getBlockBlobClient(name);
    const { committedBlocks, etag } = await client.getBlockList('committed', {
      abortSignal: within(callTimeoutMs, signal),
    });
    const blocks = (committedBlocks ?? []).map(({ name: id, size }) => ({ id, sizeBytes: size }));
    return { blocks, etag: etag ?? '' };
  }
}

/** What a write leaves in the metadata of its blob. */
export interface WriteStamp {
  readonly modTimeMs: number;
  /** Another text for every write. */
  readonly writeId: string;
  /** For unfinished bytes: the path that they belong to. */
  readonly path?: string;
  /** Other metadata to be kept. */
  readonly kept?: Metadata;
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
export function metadataOf({ modTimeMs, writeId, path, kept }: WriteStamp): Metadata {
  return {
    ...kept,
    [modTimeKey]: String(modTimeMs),
    [writeKey]: writeId,
    ...(path === undefined ? {} : { shoalpath: path }),
  };
}

/** A signal that also aborts after a time. */
export function within(timeoutMs: number, signal: AbortSignal | undefined): AbortSignal {
  const timeout = AbortSignal.timeout(timeoutMs);
  return signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
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
    if ((properties.copyStatus ?? 'success') !== 'success') continue;
    const modTimeMs = modTimeOf(metadata, properties.lastModified);
    names.push({ name, sizeBytes: properties.contentLength ?? 0, modTimeMs, metadata });
  }
  if (blobPrefixes.length === 0) return names;
  return names.sort((left, right) => (left.name < right.name ? -1 : 1));
}

function timeoutError(cause: unknown): Error {
  return new DOMException(`no answer within ${callTimeoutMs} ms`, { name: 'TimeoutError', cause });
}
