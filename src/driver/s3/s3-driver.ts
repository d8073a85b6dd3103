import type { Readable } from 'node:stream';
import type { S3 } from '@aws-sdk/client-s3';
import { type Clock, KeyedMutex, systemClock } from '../../core/index.ts';
import { ConflictError, PathNotFoundError } from '../errors.ts';
import { listChildren, Removals, walkObjects } from '../object-store/index.ts';
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
import { openClient, openPresigner, type Presign } from './client.ts';
import { type DeletionDeps, deleteObject, deleteTree } from './deleting.ts';
import { driverName } from './errors.ts';
import { type KeySourceDeps, keySourceOf } from './key-source.ts';
import { KeySpace } from './keys.ts';
import { ObjectCopies } from './moving.ts';
import { MultipartUploads } from './multipart.ts';
import { ObjectLookup } from './object-lookup.ts';
import { objectProperties } from './object-properties.ts';
import { ObjectPuts } from './object-puts.ts';
import { ObjectReads } from './object-reads.ts';
import { toOpeningError } from './opening-error.ts';
import { readS3Settings, type S3Settings } from './parameters.ts';
import { type RequestScope, S3Requests } from './requests.ts';
import { S3FileWriter, type WriterDeps } from './s3-writer.ts';
import { modTimeOf, revisionOf, WriteStamps } from './stamp.ts';
import { UnfinishedUploads } from './unfinished-uploads.ts';

/**
 * Opens the s3 driver, and asks the bucket for one key, so that wrong settings show now and not with the first push.
 * @throws ConfigError for the parameters, and for credentials, bucket and region that S3 refuses; StorageUnavailableError
 * when nobody answers
 */
export async function createS3Driver(
  parameters: DriverParameters,
  deps: { readonly clock: Clock } = { clock: systemClock },
): Promise<StorageDriver> {
  const settings = readS3Settings(parameters);
  const client = await openClient(settings);
  const keys = new KeySpace(settings.rootdirectory);
  try {
    await client.listObjectsV2({ Bucket: settings.bucket, Prefix: keys.prefixBelow('/'), MaxKeys: 1 });
    const presigner = settings.redirect ? await openPresigner(settings) : undefined;
    return new S3Driver({ settings, client, keys, presigner, clock: deps.clock });
  } catch (error) {
    client.destroy();
    throw toOpeningError(error, settings);
  }
}

/** Objects at their own paths below a prefix of a bucket, so that a bucket written by distribution is served as it is. */
class S3Driver implements StorageDriver {
  readonly name = driverName;
  readonly capabilities: Capabilities;
  readonly #client: S3;
  readonly #presigner: { readonly presign: Presign; close(): void } | undefined;
  readonly #keys: KeySpace;
  readonly #requests: S3Requests;
  readonly #lookup: ObjectLookup;
  readonly #reads: ObjectReads;
  readonly #puts: ObjectPuts;
  readonly #copies: ObjectCopies;
  readonly #unfinished: UnfinishedUploads;
  readonly #writerDeps: WriterDeps;
  readonly #listing: KeySourceDeps;
  readonly #deletion: DeletionDeps;
  readonly #removals = new Removals();
  readonly #moves = new KeyedMutex();
  readonly #appending = new Set<string>();

  constructor(parts: {
    readonly settings: S3Settings;
    readonly client: S3;
    readonly keys: KeySpace;
    readonly presigner: { readonly presign: Presign; close(): void } | undefined;
    readonly clock: Clock;
  }) {
    const { settings, client, keys } = parts;
    this.capabilities = {
      write: true,
      anyPath: true,
      verifiesBlobs: false,
      redirect: parts.presigner !== undefined,
      conditionalPut: settings.conditionalput,
    };
    this.#client = client;
    this.#presigner = parts.presigner;
    this.#keys = keys;
    const { bucket, maxconcurrency: maxConcurrency } = settings;
    const requests = new S3Requests({ client, bucket, maxConcurrency });
    const properties = objectProperties(settings);
    const lookup = new ObjectLookup(requests, keys);
    const multipart = new MultipartUploads(requests);
    const unfinished = new UnfinishedUploads({ requests, keys, multipart, properties });
    const stamps = new WriteStamps(parts.clock);
    this.#requests = requests;
    this.#lookup = lookup;
    this.#unfinished = unfinished;
    this.#reads = new ObjectReads({ requests, keys, lookup, stallMs: settings.requesttimeout });
    this.#puts = new ObjectPuts({ requests, keys, lookup, multipart, stamps, properties });
    this.#copies = new ObjectCopies({
      requests,
      keys,
      lookup,
      puts: this.#puts,
      multipart,
      settings: {
        thresholdBytes: settings.multipartcopythresholdsize,
        chunkBytes: settings.multipartcopychunksize,
        maxConcurrency: settings.multipartcopymaxconcurrency,
      },
    });
    this.#writerDeps = { keys, multipart, unfinished, puts: this.#puts, chunkBytes: settings.chunksize };
    this.#listing = { requests, keys, lookup };
    this.#deletion = { requests, keys, lookup, multipart, unfinished };
  }

  getContent(path: string, context?: CallContext): Promise<Buffer> {
    return this.#reads.whole(path, scopeOf(path, context));
  }

  putContent(path: string, content: Uint8Array, context?: CallContext): Promise<void> {
    return this.#puts.put(path, content, scopeOf(path, context));
  }

  putContentIf(path: string, content: Uint8Array, condition: PutCondition, context?: CallContext): Promise<void> {
    return this.#puts.putIf(path, content, condition, scopeOf(path, context));
  }

  reader(path: string, range: ReadRange, context?: CallContext): Promise<Readable> {
    return this.#reads.stream(path, range, scopeOf(path, context));
  }

  async writer(path: string, options: { readonly append: boolean }, context?: CallContext): Promise<FileWriter> {
    const scope = scopeOf(path, context);
    this.#keys.keyToWrite(path);
    this.#keys.unfinishedKey(path);
    if (options.append) return this.#append(path, scope);
    await this.#unfinished.remove(path, scope);
    return new S3FileWriter(this.#writerDeps, path, { earlier: undefined, onClose: () => undefined });
  }

  async stat(path: string, context?: CallContext): Promise<FileInfo> {
    const scope = scopeOf(path, context);
    const directory = { path, size: 0, modTime: new Date(0), isDirectory: true };
    if (path === '/') return directory;
    const found = await this.#lookup.findObject(path, scope);
    if (found !== undefined) {
      const facts = { path, size: found.ContentLength ?? 0, modTime: modTimeOf(found), isDirectory: false };
      return this.capabilities.conditionalPut ? { ...facts, revision: revisionOf(found) } : facts;
    }
    if (await this.#lookup.isDirectory(path, scope)) return directory;
    throw new PathNotFoundError(driverName, path);
  }

  list(path: string, page: ListPage = {}, context?: CallContext): AsyncIterable<string> {
    return listChildren(keySourceOf(this.#listing, scopeOf(path, context)), path, page);
  }

  /** One at a time for each source: S3 does not say whether a deletion has found anything. */
  move(source: string, destination: string, context?: CallContext): Promise<void> {
    return this.#moves.run(source, () => this.#move(source, destination, scopeOf(destination, context)));
  }

  async delete(path: string, context?: CallContext): Promise<void> {
    try {
      await deleteTree(this.#deletion, path, scopeOf(path, context));
    } finally {
      this.#lookup.deleted(path);
      this.#removals.note(path);
    }
  }

  async redirectURL(path: string, { method }: { readonly method: string }): Promise<string | undefined> {
    if (method !== 'GET' && method !== 'HEAD') return undefined;
    return this.#presigner?.presign(method, this.#keys.keyToRead(path));
  }

  walk(path: string, options: WalkOptions = {}, context?: CallContext): AsyncIterable<FileInfo> {
    const source = keySourceOf(this.#listing, scopeOf(path, context));
    return this.#removals.during((removals) => walkObjects(source, path, { ...options, removals }));
  }

  async close(): Promise<void> {
    this.#presigner?.close();
    this.#client.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #append(path: string, scope: RequestScope): Promise<FileWriter> {
    if (this.#appending.has(path)) throw new ConflictError(driverName, path, 'another writer appends to it now');
    this.#appending.add(path);
    const onClose = () => this.#appending.delete(path);
    try {
      const earlier = await this.#unfinished.find(path, scope);
      if (earlier === undefined) await this.#requireEmptyObject(path, scope);
      return new S3FileWriter(this.#writerDeps, path, { earlier, onClose });
    } catch (error) {
      onClose();
      throw error;
    }
  }

  async #requireEmptyObject(path: string, scope: RequestScope): Promise<void> {
    const found = await this.#lookup.findObject(path, scope);
    if (found === undefined) throw await this.#lookup.missing(path, scope);
    if ((found.ContentLength ?? 0) > 0) {
      throw new ConflictError(driverName, path, 'committed and not empty, cannot be appended to');
    }
  }

  async #move(source: string, destination: string, scope: RequestScope): Promise<void> {
    const sourceScope = { ...scope, path: source };
    const found = await this.#lookup.findObject(source, sourceScope);
    if (found === undefined) throw await this.#lookup.missing(source, sourceScope);
    if (source === destination) return;
    try {
      await this.#copies.copy(source, destination, found, scope);
    } catch (error) {
      // The destination is made by this; what is not found is the source.
      throw error instanceof PathNotFoundError ? new PathNotFoundError(driverName, source, { cause: error }) : error;
    }
    await deleteObject(this.#requests, this.#keys.keyToRead(source), sourceScope);
    this.#lookup.deleted(source);
    this.#removals.note(source);
  }
}

function scopeOf(path: string, context: CallContext | undefined): RequestScope {
  return { path, signal: context?.signal };
}
