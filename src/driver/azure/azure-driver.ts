import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { PathNotFoundError } from '../errors.ts';
import { deleteAll, type KeySource, listChildren, Removals, walkObjects } from '../object-store/index.ts';
import type { DriverParameters } from '../parameters.ts';
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
import { toDriverError } from './azure-errors.ts';
import { BlobReads } from './blob-reads.ts';
import { type BlobFacts, BlobStore } from './blob-store.ts';
import type { AzureConnection } from './connection.ts';
import { BlobCopier } from './copier.ts';
import { keySourceOf } from './key-source.ts';
import { Mover } from './mover.ts';
import { BlobNames } from './names.ts';
import { connectOrExplain, toOpeningError } from './opening.ts';
import { type AzureParameters, driverName, readAzureParameters } from './parameters.ts';
import { Places } from './places.ts';
import { Publisher } from './publisher.ts';
import { UnfinishedBlobs } from './unfinished-blobs.ts';
import { Writers } from './writers.ts';

/** As in distribution. */
const redirectLifeMs = 20 * 60_000;

/** What tests change of what is the service's own limit. */
export interface AzureLimits {
  readonly pageSize?: number;
  readonly maxHeld?: number;
  readonly maxSingleCopyBytes?: number;
  readonly manyBlocks?: number;
  readonly maxBlocks?: number;
  readonly callTimeoutMs?: number;
  readonly stallMs?: number;
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
  const store = new BlobStore({
    ...connection,
    maxConcurrency: settings.maxconcurrency,
    maxPageSize: limits.pageSize,
    callTimeoutMs: limits.callTimeoutMs,
  });
  const names = new BlobNames(settings.rootdirectory);
  try {
    for await (const _ of store.list({ prefix: names.below('/'), pageSize: 1 })) break;
  } catch (error) {
    throw toOpeningError(error, settings, connection.container.url);
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
  readonly #reads: BlobReads;
  readonly #publisher: Publisher;
  readonly #maxHeld: number | undefined;
  readonly #unfinished: UnfinishedBlobs;
  readonly #removals = new Removals();
  readonly #writers: Writers;
  readonly #mover: Mover;

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
    const places = new Places(store, names);
    const copier = new BlobCopier({
      store,
      copySource: connection.copySource,
      maxSingleBytes: limits.maxSingleCopyBytes,
    });
    const publisher = new Publisher({ store, names, places, copier });
    const reads = new BlobReads({ store, names, places, stallMs: limits.stallMs });
    const unfinished = new UnfinishedBlobs(store, names);
    const { chunksize: chunkBytes } = settings;
    const { maxBlocks, manyBlocks } = limits;
    const writerDeps = { store, names, publisher, chunkBytes, maxBlocks };
    this.#connection = connection;
    this.#store = store;
    this.#names = names;
    this.#places = places;
    this.#reads = reads;
    this.#publisher = publisher;
    this.#maxHeld = limits.maxHeld;
    this.#unfinished = unfinished;
    this.#writers = new Writers({ deps: writerDeps, reads, places, unfinished, manyBlocks });
    this.#mover = new Mover({ store, names, places, publisher, removals: this.#removals });
  }

  getContent(path: string, context?: CallContext): Promise<Buffer> {
    return this.#run(path, context, async (signal) => buffer(await this.#reads.open(path, { offset: 0 }, signal)));
  }

  putContent(path: string, content: Uint8Array, context?: CallContext): Promise<void> {
    return this.#run(path, context, (signal) => this.#publisher.put(path, content, signal));
  }

  putContentIf(path: string, content: Uint8Array, condition: PutCondition, context?: CallContext): Promise<void> {
    return this.#run(path, context, (signal) => this.#publisher.putIf(path, content, condition, signal));
  }

  reader(path: string, range: ReadRange, context?: CallContext): Promise<Readable> {
    return this.#run(path, context, (signal) => this.#reads.open(path, range, signal));
  }

  writer(path: string, options: { readonly append: boolean }, context?: CallContext): Promise<FileWriter> {
    return this.#run(path, context, (signal) =>
      options.append ? this.#writers.append(path, signal) : this.#writers.begin(path, signal),
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
    return this.#iterate(path, listChildren(this.#keySource(context), path, page), context?.signal);
  }

  move(source: string, destination: string, context?: CallContext): Promise<void> {
    return this.#run(source, context, (signal) => this.#mover.move(source, destination, signal));
  }

  delete(path: string, context?: CallContext): Promise<void> {
    return this.#run(path, context, async (signal) => {
      // First what no listing shows: whoever is killed in between leaves something that can be found and deleted again.
      const wasUnfinished = await this.#unfinished.removeWithin(path, signal);
      const wasObject = await this.#store.delete(this.#names.ofObject(path), { signal });
      const below = this.#store.list({ prefix: this.#names.below(path) }, signal);
      const wasDirectory = await deleteAll(below, ({ name }) => this.#store.delete(name, { signal }));
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

  walk(path: string, options: WalkOptions = {}, context?: CallContext): AsyncIterable<FileInfo> {
    const source = this.#keySource(context);
    const found = this.#removals.during((removals) => walkObjects(source, path, { ...options, removals }));
    return this.#iterate(path, found, context?.signal);
  }

  async close(): Promise<void> {}

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #keySource(context: CallContext | undefined): KeySource {
    return keySourceOf({ store: this.#store, names: this.#names, maxHeld: this.#maxHeld }, context?.signal);
  }

  async #run<T>(
    path: string,
    context: CallContext | undefined,
    task: (signal: AbortSignal | undefined) => Promise<T>,
  ): Promise<T> {
    const signal = context?.signal;
    try {
      return await task(signal);
    } catch (error) {
      throw explain(error, path, signal);
    }
  }

  async *#iterate<T>(path: string, items: AsyncIterable<T>, signal: AbortSignal | undefined): AsyncIterable<T> {
    try {
      yield* items;
    } catch (error) {
      throw explain(error, path, signal);
    }
  }
}

function explain(error: unknown, path: string, signal: AbortSignal | undefined): unknown {
  return signal?.aborted ? signal.reason : toDriverError(error, path);
}

function toInfo(path: string, { sizeBytes, modTimeMs, etag }: BlobFacts): FileInfo {
  return { path, size: sizeBytes, modTime: new Date(modTimeMs), isDirectory: false, revision: etag };
}
