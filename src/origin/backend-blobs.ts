import type { Readable } from 'node:stream';
import {
  algorithmOf,
  type ByteRange,
  type Digest,
  DigestHasher,
  DigestMismatchError,
  decodeMetainfo,
  encodeMetainfo,
  InvalidMetainfoError,
  type Metainfo,
  type Repository,
} from '../core/index.ts';
import { type CallContext, PathNotFoundError, type StorageDriver } from '../driver/index.ts';
import { formatPath } from '../pathparser/index.ts';

/** Why the backend was read, for the metric. */
export type BackendRead = 'stat' | 'data' | 'metainfo';

/** What {@link BackendBlobs} needs. */
export interface BackendBlobsDeps {
  readonly driver: StorageDriver;
  /** Names this origin in the files that it writes; letters and digits. No two origins may share one. */
  readonly writerId: string;
  readonly onRead: (kind: BackendRead) => void;
}

/**
 * Blobs and their metainfo in the backend, in distribution's layout. What is not there is a value (`undefined`) here;
 * every other failure is the driver's error.
 */
export class BackendBlobs {
  readonly #driver: StorageDriver;
  readonly #writerId: string;
  readonly #onRead: (kind: BackendRead) => void;

  constructor({ driver, writerId, onRead }: BackendBlobsDeps) {
    this.#driver = driver;
    this.#writerId = writerId;
    this.#onRead = onRead;
  }

  get name(): string {
    return this.#driver.name;
  }

  /** False for a backend that only reads, such as an upstream registry. */
  get writable(): boolean {
    return this.#driver.capabilities.write;
  }

  /** The length of a blob in bytes. */
  async find(digest: Digest, context: CallContext = {}): Promise<number | undefined> {
    this.#onRead('stat');
    const info = await orUndefined(this.#driver.stat(dataPath(digest), context));
    return info === undefined || info.isDirectory ? undefined : info.size;
  }

  /** The bytes; the caller ends the stream. They are not verified. */
  async open(digest: Digest, range: ByteRange | undefined, context: CallContext = {}): Promise<Readable | undefined> {
    this.#onRead('data');
    return orUndefined(this.#driver.reader(dataPath(digest), range ?? { offset: 0 }, context));
  }

  /** @throws InvalidMetainfoError when the file that is there is no metainfo of this blob */
  async findMetainfo(digest: Digest, context: CallContext = {}): Promise<Metainfo | undefined> {
    this.#onRead('metainfo');
    const bytes = await orUndefined(this.#driver.getContent(metainfoPath(digest), context));
    if (bytes === undefined) return undefined;
    const metainfo = decodeMetainfo(bytes);
    if (metainfo.digest === digest) return metainfo;
    throw new InvalidMetainfoError(`the metainfo beside blob ${digest} is of blob ${metainfo.digest}`, { digest });
  }

  /**
   * Stores metainfo and reads back what is there then, which is what counts. Two origins that store at the same moment
   * write the same bytes, unless their versions have different tables of piece lengths: then the read-back decides.
   */
  async putMetainfo(metainfo: Metainfo, context: CallContext = {}): Promise<Metainfo> {
    await this.#driver.putContent(metainfoPath(metainfo.digest), encodeMetainfo(metainfo), context);
    return (await this.findMetainfo(metainfo.digest, context)) ?? metainfo;
  }

  /**
   * Writes a blob, whole or not at all. The bytes are hashed on their way.
   *
   * They go to a path of this origin's own first and are moved from there, because all origins share the blob's path and
   * a path has one writer at a time; the name does not change, so a try that was cut off is overwritten by the next.
   * @throws DigestMismatchError when `source` has other bytes; nothing is visible then
   */
  async write(digest: Digest, source: AsyncIterable<Uint8Array>, context: CallContext): Promise<void> {
    const data = dataPath(digest);
    if (!this.#driver.capabilities.anyPath) {
      await this.#writeTo(data, digest, source, context);
      return;
    }
    const incoming = `${formatPath({ kind: 'blob', digest })}/incoming-${this.#writerId}`;
    await this.#writeTo(incoming, digest, source, context);
    await this.#driver.move(incoming, data, context);
  }

  /** Removes what an interrupted {@link write} has left between its two steps. */
  async cleanUp(digest: Digest, context: CallContext): Promise<void> {
    if (!this.#driver.capabilities.anyPath) return;
    const incoming = `${formatPath({ kind: 'blob', digest })}/incoming-${this.#writerId}`;
    await orUndefined(this.#driver.delete(incoming, context));
  }

  async #writeTo(path: string, digest: Digest, source: AsyncIterable<Uint8Array>, context: CallContext): Promise<void> {
    const hasher = new DigestHasher(algorithmOf(digest));
    const writer = await this.#driver.writer(path, { append: false }, context);
    try {
      for await (const chunk of source) {
        hasher.update(chunk);
        await writer.write(chunk);
        context.signal?.throwIfAborted();
      }
      const found = hasher.digest();
      if (found !== digest) {
        throw new DigestMismatchError(`the local bytes of blob ${digest} are those of ${found}`, { digest, found });
      }
      await writer.commit();
    } catch (error) {
      // The first error counts; what cannot be cancelled is invisible, and overwritten by the next try.
      await writer.cancel().catch(() => undefined);
      throw error;
    } finally {
      await writer.close();
    }
  }
}

/** The context of calls made for one repository. */
export function contextOf(repository: Repository | undefined, signal: AbortSignal): CallContext {
  return repository === undefined ? { signal } : { signal, repository };
}

function dataPath(digest: Digest): string {
  return formatPath({ kind: 'blob-data', digest });
}

function metainfoPath(digest: Digest): string {
  return formatPath({ kind: 'blob-metainfo', digest });
}

async function orUndefined<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof PathNotFoundError) return undefined;
    throw error;
  }
}
