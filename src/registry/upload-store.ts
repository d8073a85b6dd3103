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
  UploadNotFoundError,
  UploadOffsetError,
} from '../core/index.ts';
import { type CallContext, ConflictError, type FileWriter, type StorageDriver } from '../driver/index.ts';
import { formatPath } from '../pathparser/index.ts';
import { ChunkSizeError, UploadBusyError } from './errors.ts';
import { isNotFound, linkContent } from './links.ts';
import { consumeBody } from './request-body.ts';
import { RunningHashes } from './running-hashes.ts';

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

/** Names one upload. */
export interface UploadKey {
  readonly repository: Repository;
  readonly uploadId: string;
}

/** Bytes for an upload, and where they belong when the client says so. */
export interface Chunk {
  readonly body: Readable | undefined;
  readonly range: ByteRange | undefined;
}

/** An upload that this request alone may change. */
interface OpenUpload {
  readonly key: UploadKey;
  /** `undefined` when the bytes are complete: an earlier request closed them off, and failed after that. */
  readonly writer: FileWriter | undefined;
  /** Bytes so far. */
  size(): number;
}

/**
 * Unfinished blobs, in the storage driver under `_uploads/<id>`.
 *
 * The bytes and the time of begin are in the driver, so an upload outlives this process; in memory are only what speeds
 * it up (running hashes) and who is writing to which upload now. One request at a time changes an upload; a second one
 * is refused with {@link UploadBusyError} instead of waiting, because it was sent on a false idea of where the upload is.
 */
export class UploadStore {
  readonly #deps: UploadStoreDeps;
  readonly #hashes: RunningHashes;
  /** Uploads that a request is changing now; bounded by the number of open requests. */
  readonly #busy = new Map<string, Promise<OpenUpload>>();

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
    const startedAt = Buffer.from(new Date(this.#deps.clock.nowMs()).toISOString());
    await this.#deps.driver.putContent(formatPath({ kind: 'upload-started-at', ...key }), startedAt, context);
    if (!this.#deps.driver.capabilities.verifiesBlobs) this.#hashes.begin(keyText(key), algorithm ?? 'sha256');
    return key;
  }

  /** How many bytes an upload has; right also while another request is writing. @throws UploadNotFoundError */
  async size(key: UploadKey, context: CallContext): Promise<number> {
    const busy = this.#busy.get(keyText(key));
    if (busy !== undefined) return (await busy).size();
    return this.#withUpload(key, context, async (upload) => upload.size());
  }

  /**
   * Adds bytes. When the body breaks off, what came of it stays.
   * @returns the length that the upload has now
   * @throws UploadNotFoundError, UploadBusyError, UploadOffsetError, ChunkSizeError
   */
  async append(key: UploadKey, chunk: Chunk, context: CallContext): Promise<number> {
    return this.#withUpload(key, context, async (upload) => {
      await this.#take(upload, chunk);
      return upload.size();
    });
  }

  /**
   * Adds the last bytes and makes the upload a blob of its repository. Nothing of it can be read before its digest has
   * matched, and no link leads to it before it is there.
   * @throws DigestMismatchError when the bytes have another digest; the upload is then dropped. Whatever else is thrown
   *   leaves the upload, so that the same request can be sent again.
   */
  async finish(key: UploadKey, digest: Digest, chunk: Chunk, context: CallContext): Promise<void> {
    await this.#withUpload(key, context, async (upload) => {
      await this.#take(upload, chunk);
      try {
        await this.#store(upload, digest, context);
      } catch (error) {
        if (error instanceof DigestMismatchError) await this.#drop(upload);
        throw error;
      }
      await this.#removeFiles(key);
    });
  }

  /** Throws an upload away with all its bytes. @throws UploadNotFoundError, UploadBusyError */
  async cancel(key: UploadKey, context: CallContext): Promise<void> {
    await this.#withUpload(key, context, (upload) => this.#drop(upload));
  }

  async #withUpload<T>(key: UploadKey, context: CallContext, work: (upload: OpenUpload) => Promise<T>): Promise<T> {
    const text = keyText(key);
    const busy = this.#busy.get(text);
    if (busy !== undefined) throw busyError(key, (await busy).size());
    // Taken before the first await, so that no second request can come between.
    const opening = this.#open(key, context);
    this.#busy.set(text, opening);
    try {
      const upload = await opening;
      return await this.#closing(upload, work(upload));
    } finally {
      this.#busy.delete(text);
    }
  }

  /** Closes the writer in every case, which makes last what was written, also of a body that broke off. */
  async #closing<T>({ key, writer }: OpenUpload, work: Promise<T>): Promise<T> {
    let result: T;
    try {
      result = await work;
    } catch (error) {
      await writer?.close().catch((closeError: unknown) => {
        // The first error is the one to report; what was written is then as uncertain as after a crash.
        this.#hashes.delete(keyText(key));
        this.#deps.logger.warn({ err: closeError, ...key }, 'the bytes of a failed upload request may be lost');
      });
      throw error;
    }
    await writer?.close();
    return result;
  }

  async #open(key: UploadKey, context: CallContext): Promise<OpenUpload> {
    const { driver } = this.#deps;
    await this.#checkBegun(key, context);
    const path = formatPath({ kind: 'upload-data', ...key });
    try {
      const writer = await driver.writer(path, { append: true }, context);
      return { key, writer, size: () => writer.size };
    } catch (error) {
      if (error instanceof ConflictError) {
        const { size } = await driver.stat(path, context);
        return { key, writer: undefined, size: () => size };
      }
      if (!isNotFound(error)) throw error;
    }
    const writer = await driver.writer(path, { append: false }, context);
    return { key, writer, size: () => writer.size };
  }

  async #checkBegun(key: UploadKey, context: CallContext): Promise<void> {
    try {
      await this.#deps.driver.getContent(formatPath({ kind: 'upload-started-at', ...key }), context);
    } catch (cause) {
      if (!isNotFound(cause)) throw cause;
      throw new UploadNotFoundError(
        `there is no upload ${key.uploadId} in ${key.repository}: begin one with POST`,
        { uploadId: key.uploadId },
        { cause },
      );
    }
  }

  async #take(upload: OpenUpload, { body, range }: Chunk): Promise<void> {
    const { writer, key } = upload;
    if (range !== undefined && range.offset !== upload.size()) throw outOfOrder(upload, range.offset);
    let taken = 0;
    if (body !== undefined) {
      await consumeBody(body, this.#deps.idleTimeoutMs, async (bytes) => {
        if (writer === undefined) throw outOfOrder(upload, undefined);
        if (range !== undefined && taken + bytes.length > range.length) throw wrongLength(range.length, undefined);
        const offset = writer.size;
        await writer.write(bytes);
        this.#hashes.update(keyText(key), offset, bytes);
        taken += bytes.length;
      });
    }
    if (range !== undefined && taken !== range.length) throw wrongLength(range.length, taken);
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

function busyError(key: UploadKey, size: number): UploadBusyError {
  return new UploadBusyError(
    `another request is writing to upload ${key.uploadId}; ask where it stands, and go on there when it has ended`,
    { size },
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
