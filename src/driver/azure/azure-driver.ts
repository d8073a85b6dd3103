import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { ConfigError, KeyedMutex } from '../../core/index.ts';
import { ConflictError, PathNotFoundError, StorageUnavailableError } from '../errors.ts';
import type { DriverParameters } from '../parameters.ts';
import { Semaphore, SemaphoreFullError } from '../semaphore.ts';
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
} from '../storage-driver.ts';
import { answerOf, isMissing, toDriverError } from './azure-errors.ts';
import { type BlobFacts, BlobStore } from './blob-store.ts';
import { BlobStream } from './blob-stream.ts';
import { BlockWriter, type BlockWriterDeps } from './block-writer.ts';
import { type AzureConnection, connect } from './connection.ts';
import { BlobCopier, SourceChangedError } from './copier.ts';
import { Listing } from './listing.ts';
import { BlobNames } from './names.ts';
import { type AzureParameters, driverName, readAzureParameters } from './parameters.ts';
import { Places } from './places.ts';
import { Publisher } from './publisher.ts';
import { Removals } from './removals.ts';
import { deleteAll, type UnfinishedBlob, UnfinishedBlobs } from './unfinished-blobs.ts';

// A call that waits holds little, but what holds the caller (a request, its body) counts too.
const maxWaitingCalls = 10_000;

/** As in distribution. */
const redirectLifeMs = 20 * 60_000;

/** No blob is longer; above it, an offset is past the end of any, and a range could not be computed exactly. */
const maxBlobBytes = 2 ** 48;

/** With this many blocks, a short last one is written anew rather than kept: a blob may have 50 000. */
const manyBlocks = 10_000;

const maxMoveTries = 3;

/** What tests change of what is the service's own limit. */
export interface AzureLimits {
  readonly pageSize?: number;
  readonly maxHeld?: number;
  readonly maxSingleCopyBytes?: number;
  readonly manyBlocks?: number;
}

/**
 * Opens the azure driver, and asks the service for a name in the container, so that wrong credentials and a missing container
 * are found here. @throws ConfigError for those and for the parameters, StorageUnavailableError when the service does not answer
 */
export async function createAzureDriver(
  parameters: DriverParameters,
  limits: AzureLimits = {},
): Promise<StorageDriver> {
  const settings = readAzureParameters(parameters);
  const connection = await connectOrExplain(settings);
  const store = new BlobStore(connection.container, { maxPageSize: limits.pageSize });
  const names = new BlobNames(settings.rootdirectory);
  try {
    for await (const _ of store.list({ prefix: names.below('/'), pageSize: 1 })) break;
  } catch (error) {
    throw explainRefusal(error, settings, connection.container.url);
  }
  return new AzureDriver({ settings, connection, store, names, limits });
}

/** Objects as blobs of one container, by the names that distribution gives them. */
class AzureDriver implements StorageDriver {
  readonly name = driverName;
  readonly capabilities: Capabilities;
  readonly #connection: AzureConnection;
  readonly #store: BlobStore;
  readonly #names: BlobNames;
  readonly #places: Places;
  readonly #publisher: Publisher;
  readonly #listing: Listing;
  readonly #unfinished: UnfinishedBlobs;
  readonly #removals = new Removals();
  readonly #writerDeps: BlockWriterDeps;
  readonly #semaphore: Semaphore;
  readonly #moves = new KeyedMutex();
  readonly #appending = new Set<string>();
  readonly #limits: AzureLimits;

  constructor(parts: {
    readonly settings: AzureParameters;
    readonly connection: AzureConnection;
    readonly store: BlobStore;
    readonly names: BlobNames;
    readonly limits: AzureLimits;
  }) {
    const { settings, connection, store, names, limits } = parts;
    this.capabilities = {
      write: true,
      anyPath: true,
      verifiesBlobs: false,
      redirect: connection.signUrl !== undefined,
      conditionalPut: true,
    };
    this.#connection = connection;
    this.#store = store;
    this.#names = names;
    this.#limits = limits;
    this.#places = new Places(store, names);
    const copier = new BlobCopier({
      store,
      copySource: connection.copySource,
      maxSingleBytes: limits.maxSingleCopyBytes,
    });
    this.#publisher = new Publisher({ store, names, places: this.#places, copier });
    this.#listing = new Listing(store, names, { maxHeld: limits.maxHeld });
    this.#unfinished = new UnfinishedBlobs(store, names);
    this.#writerDeps = { store, names, publisher: this.#publisher, chunkBytes: settings.chunksize };
    this.#semaphore = new Semaphore(settings.maxconcurrency, maxWaitingCalls);
  }

  getContent(path: string, context?: CallContext): Promise<Buffer> {
    return this.#run(path, context, async (signal) => buffer(await this.#open(path, { offset: 0 }, signal)));
  }

  putContent(path: string, content: Uint8Array, context?: CallContext): Promise<void> {
    return this.#run(path, context, (signal) => this.#publisher.put(path, content, signal));
  }

  putContentIf(path: string, content: Uint8Array, condition: PutCondition, context?: CallContext): Promise<void> {
    return this.#run(path, context, (signal) => this.#publisher.putIf(path, content, condition, signal));
  }

  reader(path: string, range: ReadRange, context?: CallContext): Promise<Readable> {
    return this.#run(path, context, (signal) => this.#open(path, range, signal));
  }

  writer(path: string, options: { readonly append: boolean }, context?: CallContext): Promise<FileWriter> {
    return this.#run(path, context, (signal) =>
      options.append ? this.#append(path, signal) : this.#begin(path, signal),
    );
  }

  stat(path: string, context?: CallContext): Promise<FileInfo> {
    return this.#run(path, context, async (signal) => {
      const directory = { path, size: 0, modTime: new Date(0), isDirectory: true };
      if (path === '/') {
        // There always, but a health check wants to know whether the service answers.
        await this.#places.hasBelow(path, signal);
        return directory;
      }
      const found = await this.#store.find(this.#names.ofObject(path), signal);
      if (found !== undefined) return toInfo(path, found);
      if (await this.#places.hasBelow(path, signal)) return directory;
      throw new PathNotFoundError(driverName, path);
    });
  }

  list(path: string, page: ListPage = {}, context?: CallContext): AsyncIterable<string> {
    return this.#iterate(path, this.#listing.children(path, page, context?.signal), context?.signal);
  }

  move(source: string, destination: string, context?: CallContext): Promise<void> {
    return this.#run(source, context, (signal) =>
      this.#moves.run(source, () => this.#move(source, destination, signal)),
    );
  }

  delete(path: string, context?: CallContext): Promise<void> {
    return this.#run(path, context, async (signal) => {
      // First what no listing shows: whoever is killed in between leaves something that can be found and deleted again.
      const wasUnfinished = await this.#unfinished.removeWithin(path, signal);
      const wasObject = await this.#store.delete(this.#names.ofObject(path), { signal });
      const wasDirectory = await deleteAll(
        this.#store,
        this.#store.list({ prefix: this.#names.below(path) }, signal),
        signal,
      );
      if (!wasUnfinished && !wasObject && !wasDirectory) throw new PathNotFoundError(driverName, path);
      this.#removals.note(path);
    });
  }

  redirectURL(path: string, request: { readonly method: string }, context?: CallContext): Promise<string | undefined> {
    return this.#run(path, context, async () => {
      if (request.method !== 'GET' && request.method !== 'HEAD') return undefined;
      return this.#connection.signUrl?.(this.#names.ofObject(path), redirectLifeMs);
    });
  }

  async *walk(path: string, options: WalkOptions = {}, context?: CallContext): AsyncIterable<FileInfo> {
    const removals = this.#removals.watch();
    try {
      const found = this.#listing.walk(path, { ...options, removals }, context?.signal);
      yield* this.#iterate(path, found, context?.signal);
    } finally {
      removals.end();
    }
  }

  async close(): Promise<void> {}

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #open(path: string, range: ReadRange, signal: AbortSignal | undefined): Promise<Readable> {
    const { offset } = range;
    const length = range.length === undefined ? undefined : Math.min(range.length, maxBlobBytes);
    if (length === 0 || offset > maxBlobBytes) {
      await this.#places.getObject(path, signal);
      return Readable.from([]);
    }
    // Ends the download with the stream, however that ends.
    const controller = new AbortController();
    const ending = signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]);
    try {
      const name = this.#names.ofObject(path);
      const answer = await this.#store.open(name, { offset, length }, { signal: ending });
      if ((answer.copyStatus ?? 'success') !== 'success') {
        controller.abort();
        throw new PathNotFoundError(driverName, path);
      }
      const lengthBytes = answer.contentLength ?? 0;
      const again = { signal: ending, ifMatch: answer.etag ?? '' };
      return new BlobStream({
        source: answer.readableStreamBody as Readable,
        path,
        lengthBytes,
        resume: async (givenBytes) => {
          const rest = { offset: offset + givenBytes, length: lengthBytes - givenBytes };
          return (await this.#store.open(name, rest, again)).readableStreamBody as Readable;
        },
        release: () => controller.abort(),
      });
    } catch (error) {
      if (answerOf(error)?.status === 416) return Readable.from([]);
      if (isMissing(error)) return this.#places.throwMissing(path, signal);
      throw error;
    }
  }

  async #begin(path: string, signal: AbortSignal | undefined): Promise<FileWriter> {
    await this.#places.requireFree(path, signal);
    for (const name of await this.#unfinished.find(path, signal)) await this.#store.delete(name, { signal });
    const start = { path, earlier: undefined, obsolete: [], onClose: () => undefined };
    return new BlockWriter(this.#writerDeps, start);
  }

  async #append(path: string, signal: AbortSignal | undefined): Promise<FileWriter> {
    if (this.#appending.has(path)) throw new ConflictError(driverName, path, 'another writer appends to it now');
    this.#appending.add(path);
    try {
      const names = await this.#unfinished.find(path, signal);
      const last = names.pop();
      if (last === undefined) await this.#requireEmptyObject(path, signal);
      const earlier = last === undefined ? undefined : await this.#unfinished.open(last, signal);
      const tail = earlier === undefined ? undefined : await this.#readShortTail(earlier, signal);
      return new BlockWriter(this.#writerDeps, {
        path,
        earlier,
        ...(tail === undefined ? {} : { tail }),
        obsolete: names,
        onClose: () => this.#appending.delete(path),
      });
    } catch (error) {
      this.#appending.delete(path);
      throw error;
    }
  }

  async #requireEmptyObject(path: string, signal: AbortSignal | undefined): Promise<void> {
    const found = await this.#store.find(this.#names.ofObject(path), signal);
    if (found !== undefined && found.sizeBytes > 0) {
      throw new ConflictError(driverName, path, 'committed and not empty, cannot be appended to');
    }
    await this.#places.requireFree(path, signal);
    if (found === undefined) throw new PathNotFoundError(driverName, path);
  }

  /** Many small appends must not use up the number of blocks that a blob may have. */
  async #readShortTail({ name, blocks, etag }: UnfinishedBlob, signal: AbortSignal | undefined) {
    const last = blocks.at(-1);
    const limit = this.#limits.manyBlocks ?? manyBlocks;
    if (last === undefined || blocks.length < limit || last.sizeBytes >= this.#writerDeps.chunkBytes) return undefined;
    const offset = blocks.reduce((total, { sizeBytes }) => total + sizeBytes, 0) - last.sizeBytes;
    const request = { signal, ifMatch: etag };
    const answer = await this.#store.open(name, { offset, length: last.sizeBytes }, request);
    return buffer(answer.readableStreamBody as Readable);
  }

  async #move(source: string, destination: string, signal: AbortSignal | undefined): Promise<void> {
    const name = this.#names.ofObject(source);
    for (let attempt = 1; ; attempt++) {
      const facts = await this.#places.getObject(source, signal);
      if (source === destination) return;
      try {
        const { etag, replaced } = await this.#publisher.copy({ source: name, facts }, destination, signal);
        if (await this.#removeMoved(source, facts)) return;
        // Another process has moved or deleted it meanwhile, so it was not for this one to move.
        if (replaced === undefined) await this.#store.delete(this.#names.ofObject(destination), { ifMatch: etag });
        throw new PathNotFoundError(driverName, source);
      } catch (error) {
        if (!(error instanceof SourceChangedError)) throw error;
        if (attempt === maxMoveTries) throw new ConflictError(driverName, source, error.message, { cause: error });
      }
    }
  }

  /** @returns whether it was there; from here on the move is not called off any more */
  async #removeMoved(source: string, { etag }: BlobFacts): Promise<boolean> {
    const wasThere = await this.#store.delete(this.#names.ofObject(source), { ifMatch: etag });
    if (wasThere) this.#removals.note(source);
    return wasThere;
  }

  async #run<T>(
    path: string,
    context: CallContext | undefined,
    task: (signal: AbortSignal | undefined) => Promise<T>,
  ): Promise<T> {
    const signal = context?.signal;
    try {
      return await this.#semaphore.run(() => task(signal), signal);
    } catch (error) {
      if (error instanceof SemaphoreFullError) {
        throw new StorageUnavailableError(driverName, path, error.message, { cause: error });
      }
      throw this.#explain(error, path, signal);
    }
  }

  async *#iterate<T>(path: string, items: AsyncIterable<T>, signal: AbortSignal | undefined): AsyncIterable<T> {
    try {
      yield* items;
    } catch (error) {
      throw this.#explain(error, path, signal);
    }
  }

  #explain(error: unknown, path: string, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted) return error;
    return toDriverError(error, path);
  }
}

function toInfo(path: string, { sizeBytes, modTimeMs, etag }: BlobFacts): FileInfo {
  return { path, size: sizeBytes, modTime: new Date(modTimeMs), isDirectory: false, revision: etag };
}

async function connectOrExplain(settings: AzureParameters): Promise<AzureConnection> {
  try {
    return await connect(settings);
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(`storage driver ${driverName}: cannot sign in by these parameters (${text})`, {}, { cause });
  }
}

function explainRefusal(error: unknown, { container }: AzureParameters, url: string): unknown {
  const answer = answerOf(error);
  // The URL may have a signature behind it.
  const [place = ''] = url.split('?');
  const fail = (what: string) =>
    new ConfigError(
      `storage driver ${driverName}: ${what}`,
      { container, url: place, code: answer?.code },
      { cause: error },
    );
  if (answer?.status === 404)
    return fail(`there is no container "${container}" at ${place}; make it, or correct "container"`);
  const isRefused = answer?.status === 401 || answer?.status === 403;
  if (isRefused) return fail(`the service refuses the credentials for ${place} (${answer.status} ${answer.code})`);
  return toDriverError(error, '/');
}
