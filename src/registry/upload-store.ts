import type { Readable } from 'node:stream';
import type { Logger } from 'pino';
import {
  algorithmOf,
  type ByteRange,
  type Clock,
  type Digest,
  type DigestAlgorithm,
  DigestHasher,
  DigestMismatchError,
  type Repository,
  UploadOffsetError,
} from '../core/index.ts';
import { type CallContext, ConflictError, type FileWriter, type StorageDriver } from '../driver/index.ts';
import { formatPath } from '../pathparser/index.ts';
import { writeBody } from './body-intake.ts';
import { ChunkSizeError, UploadBusyError } from './errors.ts';
import { isNotFound, linkContent, orUndefined } from './links.ts';
import { RunningHashes } from './running-hashes.ts';
import { UploadBegin, type UploadKey } from './upload-begin.ts';

/** What the uploads of a registry need. */
export interface UploadStoreDeps {
  readonly driver: StorageDriver;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Makes an id that nobody can guess: 1 to 128 letters, digits, `_` and `-`. */
  readonly newUploadId: () => string;
  /** A body without a byte for this long counts as broken off, in milliseconds. */
  readonly idleTimeoutMs: number;
  /** Uploads whose running hash is kept between requests. */
  readonly maxRunningHashes: number;
}

/** Bytes for an upload, and where they belong when the client says so. */
export interface Chunk {
  readonly body: Readable | undefined;
  readonly range: ByteRange | undefined;
}

/** An upload that this request alone may change. */
interface OpenUpload {
  readonly key: UploadKey;
  readonly begin: UploadBegin;
  /** `undefined` when the bytes are complete: an earlier request closed them off, and failed after that. */
  readonly writer: FileWriter | undefined;
  /** Bytes so far. */
  size(): number;
}

/** What is being done to an upload now. */
interface Turn {
  /** Somebody who only looks keeps nobody away, but has to be waited for: the driver takes one writer at a time. */
  readonly looksOnly: boolean;
  readonly opening: Promise<OpenUpload>;
  readonly over: Promise<void>;
}

/**
 * Unfinished blobs, in the storage driver under `_uploads/<id>`.
 *
 * The bytes and the time of begin are in the driver, so an upload outlives this process, and another one that shares the
 * storage may go on with it at any request; in memory are only what speeds it up (running hashes) and who is writing to
 * which upload now. One request at a time changes an upload; a second one is refused with {@link UploadBusyError} instead
 * of waiting, because it was sent on a false idea of where the upload is.
 *
 * Two processes know nothing of each other. Of their writers to one upload the driver lets the last one have it, and the
 * other fails with a `ConflictError` as it closes or commits: that request is refused in the same way.
 */
export class UploadStore {
  readonly #deps: UploadStoreDeps;
  readonly #hashes: RunningHashes;
  /** Uploads that a request is changing now; bounded by the number of open requests. */
  readonly #turns = new Map<string, Turn>();

  constructor(deps: UploadStoreDeps) {
    this.#deps = deps;
    this.#hashes = new RunningHashes(deps.maxRunningHashes);
  }

  /** Begins an upload. @param algorithm the one that its digest will be in, as far as the client has said */
  async begin(
    repository: Repository,
    algorithm: DigestAlgorithm | undefined,
    context: CallContext,
  ): Promise<UploadKey> {
    const key = { repository, uploadId: this.#deps.newUploadId() };
    const { driver } = this.#deps;
    await UploadBegin.write(this.#deps, key, context);
    if (driver.capabilities.verifiesBlobs) return key;
    // With bytes to go on with from the first, no writer ever begins anew: two of them, in two processes, could otherwise
    // both succeed, and the running hash of one would speak for the bytes of the other.
    const writer = await driver.writer(formatPath({ kind: 'upload-data', ...key }), { append: false }, context);
    await writer.close();
    this.#hashes.begin(keyText(key), algorithm ?? 'sha256');
    this.#hashes.closed(keyText(key), writer);
    return key;
  }

  /** How many bytes an upload has; right also while another request is writing. @throws UploadNotFoundError */
  async size(key: UploadKey, context: CallContext): Promise<number> {
    const turn = this.#turns.get(keyText(key));
    if (turn !== undefined) return (await turn.opening).size();
    return this.#withUpload(key, context, { looksOnly: true }, async (upload) => upload.size());
  }

  /**
   * Adds bytes. When the body breaks off, what came of it stays.
   * @returns the length that the upload has now
   * @throws UploadNotFoundError, UploadBusyError, UploadOffsetError, ChunkSizeError
   */
  async append(key: UploadKey, chunk: Chunk, context: CallContext): Promise<number> {
    return this.#withUpload(key, context, { looksOnly: false }, async (upload) => {
      await this.#take(upload, chunk, context);
      return upload.size();
    });
  }

  /**
   * Adds the last bytes and makes the upload a blob of its repository. Nothing of it can be read before its digest has
   * matched, and no link leads to it before it is there.
   * @returns its length in bytes
   * @throws DigestMismatchError when the bytes have another digest; the upload is then dropped. Whatever else is thrown
   *   leaves the upload, so that the same request can be sent again.
   */
  async finish(key: UploadKey, digest: Digest, chunk: Chunk, context: CallContext): Promise<number> {
    return this.#withUpload(key, context, { looksOnly: false }, async (upload) => {
      await this.#take(upload, chunk, context);
      const sizeBytes = upload.size();
      try {
        await this.#store(upload, digest, context);
      } catch (error) {
        if (error instanceof DigestMismatchError) await this.#drop(upload);
        throw error;
      }
      await this.#removeFiles(key);
      return sizeBytes;
    });
  }

  /** Throws an upload away with all its bytes. @throws UploadNotFoundError, UploadBusyError */
  async cancel(key: UploadKey, context: CallContext): Promise<void> {
    await this.#withUpload(key, context, { looksOnly: false }, (upload) => this.#drop(upload));
  }

  async #withUpload<T>(
    key: UploadKey,
    context: CallContext,
    { looksOnly }: { readonly looksOnly: boolean },
    work: (upload: OpenUpload) => Promise<T>,
  ): Promise<T> {
    const text = keyText(key);
    for (let turn = this.#turns.get(text); turn !== undefined; turn = this.#turns.get(text)) {
      if (!turn.looksOnly) throw busyError(key, (await turn.opening).size());
      await turn.over;
    }
    // Taken before the first await, so that no second request can come between.
    const opening = this.#open(key, context);
    const over = Promise.withResolvers<void>();
    this.#turns.set(text, { looksOnly, opening, over: over.promise });
    try {
      const upload = await opening;
      return await this.#closing(upload, work(upload));
    } catch (error) {
      throw error instanceof ConflictError ? await this.#overtaken(key, error) : error;
    } finally {
      this.#turns.delete(text);
      over.resolve();
    }
  }

  /** Closes the writer in every case, which makes last what was written, also of a body that broke off. */
  async #closing<T>({ key, writer }: OpenUpload, work: Promise<T>): Promise<T> {
    let result: T;
    try {
      result = await work;
    } catch (error) {
      await this.#close(key, writer).catch((closeError: unknown) => {
        // The first error is the one to report; what was written is then as uncertain as after a crash.
        this.#deps.logger.warn({ err: closeError, ...key }, 'the bytes of a failed upload request may be lost');
      });
      throw error;
    }
    await this.#close(key, writer);
    return result;
  }

  async #close(key: UploadKey, writer: FileWriter | undefined): Promise<void> {
    if (writer === undefined) return;
    try {
      await writer.close();
    } catch (error) {
      this.#hashes.delete(keyText(key));
      throw error;
    }
    this.#hashes.closed(keyText(key), writer);
  }

  /** What a request is told whose upload another process has gone on with, or ended, in the meantime. */
  async #overtaken(key: UploadKey, cause: ConflictError): Promise<Error> {
    this.#hashes.delete(keyText(key));
    try {
      await UploadBegin.read(this.#deps, key, { repository: key.repository });
    } catch (error) {
      if (error instanceof Error) return error;
    }
    return busyError(key, undefined, cause);
  }

  async #open(key: UploadKey, context: CallContext): Promise<OpenUpload> {
    const { driver } = this.#deps;
    const begin = await UploadBegin.read(this.#deps, key, context);
    const path = formatPath({ kind: 'upload-data', ...key });
    let writer: FileWriter;
    try {
      writer = await driver.writer(path, { append: true }, context);
    } catch (error) {
      if (error instanceof ConflictError) {
        const info = await orUndefined(driver.stat(path, context));
        // Not to be seen, so not complete: it is another writer that stands in the way.
        if (info === undefined) throw error;
        return { key, begin, writer: undefined, size: () => info.size };
      }
      if (!isNotFound(error)) throw error;
      // Begun by distribution, or its bytes are lost.
      writer = await driver.writer(path, { append: false }, context);
    }
    this.#hashes.keepIf(keyText(key), writer);
    return { key, begin, writer, size: () => writer.size };
  }

  async #take(upload: OpenUpload, { body, range }: Chunk, context: CallContext): Promise<void> {
    const { writer, key } = upload;
    const begin = upload.size();
    if (range !== undefined && range.offset !== begin) throw outOfOrder(upload, range.offset);
    let taken = 0;
    await this.#noteWrite(upload, context);
    if (body !== undefined) {
      await writeBody(body, this.#deps.idleTimeoutMs, {
        onChunk: (bytes) => {
          if (writer === undefined) throw outOfOrder(upload, undefined);
          if (range !== undefined && taken + bytes.length > range.length) throw wrongLength(range.length, undefined);
          this.#hashes.update(keyText(key), begin + taken, bytes);
          taken += bytes.length;
        },
        write: async (bytes) => {
          await this.#write(upload, bytes);
          await this.#noteWrite(upload, context);
        },
      });
    }
    if (range !== undefined && taken !== range.length) throw wrongLength(range.length, taken);
  }

  async #write({ key, writer }: OpenUpload, bytes: Buffer): Promise<void> {
    try {
      await writer?.write(bytes);
    } catch (error) {
      // A chunk that was hashed and could not be written must not count.
      this.#hashes.delete(keyText(key));
      throw error;
    }
  }

  /** A note that fails costs nothing now: it only makes the upload look older than it is to a purge. */
  async #noteWrite({ key, begin }: OpenUpload, context: CallContext): Promise<void> {
    try {
      await begin.noteWrite(context);
    } catch (error) {
      context.signal?.throwIfAborted();
      this.#deps.logger.warn({ err: error, ...key }, 'the time of the last write to an upload could not be noted');
    }
  }

  async #store({ key, writer, size }: OpenUpload, digest: Digest, context: CallContext): Promise<void> {
    const { driver } = this.#deps;
    const source = formatPath({ kind: 'upload-data', ...key });
    const known = this.#hashes.find(keyText(key), size(), digest);
    if (known !== undefined && known !== digest) throw mismatch(digest, known);
    await writer?.commit();
    await writer?.close();
    if (!driver.capabilities.verifiesBlobs && known === undefined) await this.#checkStored(source, digest, context);
    await driver.move(source, formatPath({ kind: 'blob-data', digest }), context);
    const link = formatPath({ kind: 'layer-link', repository: key.repository, digest });
    await driver.putContent(link, linkContent(digest), context);
  }

  async #checkStored(path: string, digest: Digest, context: CallContext): Promise<void> {
    const hasher = new DigestHasher(algorithmOf(digest));
    const stream = await this.#deps.driver.reader(path, { offset: 0 }, context);
    for await (const bytes of stream) hasher.update(bytes as Buffer);
    if (hasher.digest() !== digest) throw mismatch(digest, hasher.digest());
  }

  async #drop({ key, writer }: OpenUpload): Promise<void> {
    try {
      await writer?.cancel();
    } catch (error) {
      // After a commit there is nothing to cancel; deleting the directory removes the bytes as well.
      this.#deps.logger.debug({ err: error, ...key }, 'the bytes of a dropped upload go with its directory');
    }
    await this.#removeFiles(key);
  }

  /** Without the request's signal: cleaning up goes on when the client has left. */
  async #removeFiles(key: UploadKey): Promise<void> {
    this.#hashes.delete(keyText(key));
    try {
      const context = { repository: key.repository };
      await this.#deps.driver.delete(formatPath({ kind: 'upload', ...key }), context);
    } catch (error) {
      // What the request was for is done; what stays behind is a few bytes that a purge of old uploads takes.
      if (!isNotFound(error))
        this.#deps.logger.warn({ err: error, ...key }, 'the files of an ended upload stay behind');
    }
  }
}

function keyText({ repository, uploadId }: UploadKey): string {
  return `${repository}/${uploadId}`;
}

function busyError(key: UploadKey, size: number | undefined, cause?: Error): UploadBusyError {
  return new UploadBusyError(
    `another request is writing to upload ${key.uploadId}; ask where it stands, and go on there when it has ended`,
    { size },
    cause === undefined ? {} : { cause },
  );
}

function outOfOrder(upload: OpenUpload, offset: number | undefined): UploadOffsetError {
  const size = upload.size();
  const got = offset === undefined ? 'more bytes for an upload that was complete' : `a chunk that begins at ${offset}`;
  return new UploadOffsetError(`the upload has ${size} bytes, expected a chunk that begins there, got ${got}`, {
    size,
  });
}

function wrongLength(expected: number, got: number | undefined): ChunkSizeError {
  return new ChunkSizeError(
    `Content-Range says ${expected} bytes, the body has ${got ?? 'more'}; ask the upload where it stands`,
    { expected, got },
  );
}

function mismatch(expected: Digest, got: Digest): DigestMismatchError {
  return new DigestMismatchError(`the upload's bytes have the digest ${got}, expected ${expected}; it was dropped`, {
    expected,
    got,
  });
}
