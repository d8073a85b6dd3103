import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { PathNotFoundError } from '../errors.ts';
import type { ReadRange } from '../storage-driver.ts';
import { BodyStream } from './body-stream.ts';
import { s3ErrorStatus } from './errors.ts';
import type { KeySpace } from './keys.ts';
import type { ObjectLookup } from './object-lookup.ts';
import type { RequestScope, S3Requests } from './requests.ts';

/** Reads objects. */
export class ObjectReads {
  readonly #requests: S3Requests;
  readonly #keys: KeySpace;
  readonly #lookup: ObjectLookup;
  readonly #stallMs: number;

  /** `stallMs`: how long a body may stand still. */
  constructor(parts: {
    readonly requests: S3Requests;
    readonly keys: KeySpace;
    readonly lookup: ObjectLookup;
    readonly stallMs: number;
  }) {
    this.#requests = parts.requests;
    this.#keys = parts.keys;
    this.#lookup = parts.lookup;
    this.#stallMs = parts.stallMs;
  }

  /** @throws PathNotFoundError, NotAFileError */
  async whole(path: string, scope: RequestScope): Promise<Buffer> {
    const stream = await this.#get(path, undefined, scope);
    const { signal } = scope;
    const abort = () => stream.destroy(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await buffer(stream);
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Ends in an error where the object cannot be read to its end. @throws PathNotFoundError, NotAFileError */
  async stream(path: string, { offset, length }: ReadRange, scope: RequestScope): Promise<Readable> {
    if (length === 0) {
      if ((await this.#lookup.findObject(path, scope)) === undefined) throw await this.#lookup.missing(path, scope);
      return Readable.from([], { objectMode: false });
    }
    if (offset === 0 && length === undefined) return this.#get(path, undefined, scope);
    const last = length === undefined ? '' : String(Math.min(Number.MAX_SAFE_INTEGER, offset + length - 1));
    return this.#get(path, `bytes=${offset}-${last}`, scope);
  }

  async #get(path: string, range: string | undefined, scope: RequestScope): Promise<Readable> {
    const input = {
      Bucket: this.#requests.bucket,
      Key: this.#keys.keyToRead(path),
      ...(range === undefined ? {} : { Range: range }),
    };
    try {
      // The signal counts until the answer begins; then it is the stream's, which ends by itself with the reason.
      const answer = await this.#requests.send(scope, (s3, options) => s3.getObject(input, options));
      return new BodyStream({
        body: answer.Body as Readable,
        path,
        expectedBytes: answer.ContentLength,
        stallMs: this.#stallMs,
      });
    } catch (error) {
      // An offset at or past the end.
      if (s3ErrorStatus(error) === 416) return Readable.from([], { objectMode: false });
      if (error instanceof PathNotFoundError) throw await this.#lookup.missing(path, scope, error);
      throw error;
    }
  }
}
