import type { HeadObjectCommandOutput } from '@aws-sdk/client-s3';
import { ConflictError, PathNotFoundError } from '../errors.ts';
import { driverName } from './errors.ts';
import type { KeySpace } from './keys.ts';
import type { MultipartPlace, MultipartUploads, UploadedPart } from './multipart.ts';
import type { ObjectLookup } from './object-lookup.ts';
import type { ObjectPuts } from './object-puts.ts';
import { copyPartBytes } from './part-buffer.ts';
import type { RequestScope, S3Requests } from './requests.ts';
import { revisionOf } from './stamp.ts';

/** How objects are copied within the bucket. */
export interface CopySettings {
  readonly thresholdBytes: number;
  readonly chunkBytes: number;
  readonly maxConcurrency: number;
}

/** Copies objects within the store: by one request, or a large one in parts. */
export class ObjectCopies {
  readonly #requests: S3Requests;
  readonly #keys: KeySpace;
  readonly #lookup: ObjectLookup;
  readonly #puts: ObjectPuts;
  readonly #multipart: MultipartUploads;
  readonly #settings: CopySettings;

  constructor(parts: {
    readonly requests: S3Requests;
    readonly keys: KeySpace;
    readonly lookup: ObjectLookup;
    readonly puts: ObjectPuts;
    readonly multipart: MultipartUploads;
    readonly settings: CopySettings;
  }) {
    this.#requests = parts.requests;
    this.#keys = parts.keys;
    this.#lookup = parts.lookup;
    this.#puts = parts.puts;
    this.#multipart = parts.multipart;
    this.#settings = parts.settings;
  }

  /**
   * Makes the object at `destination` one of the bytes that `source` has. What is there is replaced in one step, or stays.
   * @throws PathNotFoundError when the source has gone, ConflictError when it was replaced meanwhile
   */
  async copy(source: string, destination: string, found: HeadObjectCommandOutput, scope: RequestScope): Promise<void> {
    await this.#puts.requireFree(destination, scope);
    const size = found.ContentLength ?? 0;
    if (size <= this.#settings.thresholdBytes || size === 0) await this.#copyWhole(source, destination, scope);
    else await this.#copyInParts(source, destination, { found, size }, scope);
  }

  async #copyWhole(source: string, destination: string, scope: RequestScope): Promise<void> {
    const input = {
      ...this.#puts.newProperties(),
      Bucket: this.#requests.bucket,
      Key: this.#keys.keyToWrite(destination),
      CopySource: this.#sourceOf(source),
      MetadataDirective: 'REPLACE' as const,
    };
    await this.#requests.send(scope, (s3, options) => s3.copyObject(input, options));
    this.#lookup.written(destination);
  }

  async #copyInParts(
    source: string,
    destination: string,
    { found, size }: { readonly found: HeadObjectCommandOutput; readonly size: number },
    scope: RequestScope,
  ): Promise<void> {
    const place = await this.#puts.beginMultipart(destination, scope);
    try {
      const parts = await this.#copyParts(place, { source: this.#sourceOf(source), size }, scope);
      await this.#requireUnchanged(source, found, scope);
      await this.#puts.completeMultipart(destination, { place, parts }, scope);
    } catch (error) {
      // The error that is told is the first; what cannot be thrown away now goes with the next deletion here.
      await this.#multipart.abort(place, { path: destination }).catch(() => this.#multipart.release(place));
      throw error;
    }
  }

  async #copyParts(
    place: MultipartPlace,
    { source, size }: { readonly source: string; readonly size: number },
    scope: RequestScope,
  ): Promise<UploadedPart[]> {
    const { chunkBytes, maxConcurrency } = this.#settings;
    const bytes = copyPartBytes(size, chunkBytes);
    const count = Math.ceil(size / bytes);
    const parts: UploadedPart[] = [];
    const failing = new AbortController();
    const signals = scope.signal === undefined ? [failing.signal] : [failing.signal, scope.signal];
    const partScope = { path: scope.path, signal: AbortSignal.any(signals) };
    let next = 0;
    const worker = async () => {
      while (next < count) {
        const index = next;
        next += 1;
        const range = { start: index * bytes, end: Math.min(size, (index + 1) * bytes) };
        const part = { number: index + 1, source, ...range };
        parts[index] = await this.#multipart.copyPart(place, part, partScope);
      }
    };
    const workers = Array.from({ length: Math.min(count, maxConcurrency) }, worker);
    try {
      await Promise.all(workers);
    } catch (error) {
      // A part that arrives behind the abort of the upload would stay.
      failing.abort(error);
      await Promise.allSettled(workers);
      throw error;
    }
    return parts;
  }

  /**
   * The parts are of one object, not of two. The condition that S3 has for that (x-amz-copy-source-if-match) is refused by
   * stores that compare it with another ETag than they tell (Swift, for objects of parts), so this asks.
   */
  async #requireUnchanged(source: string, found: HeadObjectCommandOutput, scope: RequestScope): Promise<void> {
    const now = await this.#lookup.findObject(source, scope);
    if (now === undefined) throw new PathNotFoundError(driverName, source);
    if (revisionOf(now) !== revisionOf(found))
      throw new ConflictError(driverName, source, 'replaced while it was copied');
  }

  #sourceOf(path: string): string {
    const key = this.#keys.keyToRead(path);
    return [this.#requests.bucket, ...key.split('/')].map(encodeURIComponent).join('/');
  }
}
