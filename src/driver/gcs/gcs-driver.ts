import type { Readable } from 'node:stream';
import { ConflictError, PathNotFoundError } from '../errors.ts';
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
import { connect, type GcsConnection } from './connection.ts';
import { toDriverError, toOpeningError } from './errors.ts';
import { GcsWriter } from './gcs-writer.ts';
import { keySourceOf } from './key-source.ts';
import { Mover } from './mover.ts';
import { GcsNames } from './names.ts';
import type { ObjectFacts } from './object-facts.ts';
import { ObjectStore } from './object-store.ts';
import { driverName, type GcsParameters, readGcsParameters } from './parameters.ts';
import { Places } from './places.ts';
import { Publisher } from './publisher.ts';
import { Reads } from './reads.ts';
import { GcsRequests } from './requests.ts';
import { Unfinished } from './unfinished.ts';

/** As in distribution. */
const redirectLifeMs = 20 * 60_000;

/** Longest wait for the credentials and the bucket when the driver is opened. */
const openingMs = 8_000;

/** What tests change of what is the service's own limit. */
export interface GcsLimits {
  readonly pageSize?: number;
  readonly maxHeld?: number;
}

/**
 * Opens the gcs driver, and asks the service for a name in the bucket, so that wrong credentials and a missing bucket are
 * found here. @throws ConfigError for those and for the parameters, StorageUnavailableError when the service does not answer
 */
export async function createGcsDriver(parameters: DriverParameters, limits: GcsLimits = {}): Promise<StorageDriver> {
  const settings = readGcsParameters(parameters);
  const signal = AbortSignal.timeout(openingMs);
  let requests: GcsRequests | undefined;
  try {
    const connection = await connect(settings, signal);
    requests = new GcsRequests(connection, { bucket: settings.bucket, maxConcurrency: settings.maxconcurrency });
    const store = new ObjectStore(requests, limits);
    const names = new GcsNames(settings.rootdirectory);
    for await (const _ of store.list({ prefix: names.below('/'), pageSize: 1 }, signal)) break;
    return new GcsDriver({ settings, connection, requests, store, names, limits });
  } catch (error) {
    await requests?.close();
    throw toOpeningError(error, settings);
  }
}

/** Objects in one bucket, by the names that distribution gives them. */
class GcsDriver implements StorageDriver {
  readonly name = driverName;
  readonly capabilities: Capabilities;
  readonly #settings: GcsParameters;
  readonly #connection: GcsConnection;
  readonly #requests: GcsRequests;
  readonly #store: ObjectStore;
  readonly #names: GcsNames;
  readonly #places: Places;
  readonly #reads: Reads;
  readonly #publisher: Publisher;
  readonly #mover: Mover;
  readonly #maxHeld: number | undefined;
  readonly #unfinished: Unfinished;
  readonly #removals = new Removals();
  readonly #appending = new Set<string>();

  constructor(parts: {
    readonly settings: GcsParameters;
    readonly connection: GcsConnection;
    readonly requests: GcsRequests;
    readonly store: ObjectStore;
    readonly names: GcsNames;
    readonly limits: GcsLimits;
  }) {
    const { settings, connection, requests, store, names, limits } = parts;
    const redirect = connection.signUrl !== undefined;
    this.capabilities = { write: true, anyPath: true, verifiesBlobs: false, redirect, conditionalPut: true };
    this.#settings = settings;
    this.#connection = connection;
    this.#requests = requests;
    this.#store = store;
    this.#names = names;
    const places = new Places(store, names);
    this.#places = places;
    this.#reads = new Reads({ store, names, places });
    this.#publisher = new Publisher({ store, names, places });
    this.#mover = new Mover({ store, names, places, publisher: this.#publisher });
    this.#maxHeld = limits.maxHeld;
    this.#unfinished = new Unfinished(store, names);
  }

  getContent(path: string, context?: CallContext): Promise<Buffer> {
    return this.#run(path, context, (signal) => this.#reads.getContent(path, signal));
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
      options.append ? this.#append(path, signal) : this.#begin(path, signal),
    );
  }

  stat(path: string, context?: CallContext): Promise<FileInfo> {
    return this.#run(path, context, async (signal) => {
      if (path === '/') {
        // There always, but a health check wants to know whether the service answers.
        await this.#places.hasBelow(path, signal);
        return directoryInfo(path);
      }
      const found = await this.#places.find(path, signal);
      if (found !== undefined) return toInfo(path, found);
      if (await this.#places.hasBelow(path, signal)) return directoryInfo(path);
      throw new PathNotFoundError(driverName, path);
    });
  }

  list(path: string, page: ListPage = {}, context?: CallContext): AsyncIterable<string> {
    return this.#iterate(path, listChildren(this.#keySource(context), path, page), context?.signal);
  }

  move(source: string, destination: string, context?: CallContext): Promise<void> {
    return this.#run(source, context, async (signal) => {
      await this.#mover.move(source, destination, signal);
      if (source !== destination) this.#removals.note(source);
    });
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
    // The method is part of what is signed, and the SDK signs no HEAD.
    if (request.method !== 'GET') return Promise.resolve(undefined);
    return this.#run(path, context, async () => this.#connection.signUrl?.(this.#names.ofObject(path), redirectLifeMs));
  }

  walk(path: string, options: WalkOptions = {}, context?: CallContext): AsyncIterable<FileInfo> {
    const source = this.#keySource(context);
    const found = this.#removals.during((removals) => walkObjects(source, path, { ...options, removals }));
    return this.#iterate(path, found, context?.signal);
  }

  close(): Promise<void> {
    return this.#requests.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #keySource(context: CallContext | undefined): KeySource {
    const parts = { store: this.#store, names: this.#names, places: this.#places, maxHeld: this.#maxHeld };
    return keySourceOf(parts, context?.signal);
  }

  async #begin(path: string, signal: AbortSignal | undefined): Promise<FileWriter> {
    await this.#places.requireFree(path, signal);
    for (const { name } of await this.#unfinished.find(path, signal)) await this.#unfinished.remove(name, signal);
    return new GcsWriter(this.#writerDeps, { path, earlier: undefined, obsolete: [], onClose: () => undefined });
  }

  async #append(path: string, signal: AbortSignal | undefined): Promise<FileWriter> {
    if (this.#appending.has(path)) throw new ConflictError(driverName, path, 'another writer appends to it now');
    this.#appending.add(path);
    const onClose = () => this.#appending.delete(path);
    try {
      const obsolete = await this.#unfinished.find(path, signal);
      const earlier = obsolete.pop();
      if (earlier === undefined) await this.#requireEmptyObject(path, signal);
      return new GcsWriter(this.#writerDeps, { path, earlier, obsolete, onClose });
    } catch (error) {
      onClose();
      throw error;
    }
  }

  async #requireEmptyObject(path: string, signal: AbortSignal | undefined): Promise<void> {
    const found = await this.#places.find(path, signal);
    if (found !== undefined && found.sizeBytes > 0) {
      throw new ConflictError(driverName, path, 'committed and not empty, cannot be appended to');
    }
    await this.#places.requireFree(path, signal);
    if (found === undefined) throw new PathNotFoundError(driverName, path);
  }

  get #writerDeps() {
    return {
      store: this.#store,
      names: this.#names,
      publisher: this.#publisher,
      unfinished: this.#unfinished,
      chunkBytes: this.#settings.chunksize,
    };
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
      throw signal?.aborted ? error : toDriverError(error, path);
    }
  }

  async *#iterate<T>(path: string, items: AsyncIterable<T>, signal: AbortSignal | undefined): AsyncIterable<T> {
    try {
      yield* items;
    } catch (error) {
      throw signal?.aborted ? error : toDriverError(error, path);
    }
  }
}

function toInfo(path: string, { sizeBytes, modTimeMs, generation }: ObjectFacts): FileInfo {
  return { path, size: sizeBytes, modTime: new Date(modTimeMs), isDirectory: false, revision: generation };
}

function directoryInfo(path: string): FileInfo {
  return { path, size: 0, modTime: new Date(0), isDirectory: true };
}
