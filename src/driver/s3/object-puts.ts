import { setTimeout as delay } from 'node:timers/promises';
import type { PutObjectCommandInput } from '@aws-sdk/client-s3';
import { PathNotFoundError, PreconditionFailedError, StorageUnavailableError } from '../errors.ts';
import type { PutCondition } from '../storage-driver.ts';
import { driverName, s3ErrorStatus } from './errors.ts';
import type { KeySpace } from './keys.ts';
import type { MultipartPlace, MultipartUploads, UploadedPart } from './multipart.ts';
import type { ObjectLookup } from './object-lookup.ts';
import type { ObjectProperties } from './object-properties.ts';
import type { RequestScope, S3Requests } from './requests.ts';
import { etagIn, hasStamp, revisionOf, type WriteStamps } from './stamp.ts';

/** S3 answers 409 when another conditional put is on its way at the same moment; it says to try again. */
const maxConditionalTries = 10;
const conditionalRetryMs = 20;

/** The places where objects come to be: each checks that nothing is in the way, and stamps what it writes. */
export class ObjectPuts {
  readonly #requests: S3Requests;
  readonly #keys: KeySpace;
  readonly #lookup: ObjectLookup;
  readonly #multipart: MultipartUploads;
  readonly #stamps: WriteStamps;
  readonly #properties: ObjectProperties;

  constructor(parts: {
    readonly requests: S3Requests;
    readonly keys: KeySpace;
    readonly lookup: ObjectLookup;
    readonly multipart: MultipartUploads;
    readonly stamps: WriteStamps;
    readonly properties: ObjectProperties;
  }) {
    this.#requests = parts.requests;
    this.#keys = parts.keys;
    this.#lookup = parts.lookup;
    this.#multipart = parts.multipart;
    this.#stamps = parts.stamps;
    this.#properties = parts.properties;
  }

  /** @throws NotAFileError, NotADirectoryError */
  requireFree(path: string, scope: RequestScope): Promise<void> {
    return this.#lookup.requireFree(path, scope);
  }

  /** What a new object is made with, and the stamp that tells it from every other. */
  newProperties() {
    return { ...this.#properties, Metadata: this.#stamps.next() };
  }

  /** Makes or replaces an object. @throws NotAFileError, NotADirectoryError */
  async put(path: string, content: Uint8Array, scope: RequestScope): Promise<void> {
    const input = this.#input(path, content);
    await this.#lookup.requireFree(path, scope);
    await this.#requests.send(scope, (s3, options) => s3.putObject({ ...input, ...this.newProperties() }, options));
    this.#lookup.written(path);
  }

  /**
   * The same under a condition, which the store itself checks: by the ETag, and this by the stamp before, because an ETag is
   * the same for the same bytes. @throws PreconditionFailedError as well
   */
  async putIf(path: string, content: Uint8Array, condition: PutCondition, scope: RequestScope): Promise<void> {
    const input = this.#input(path, content);
    await this.#lookup.requireFree(path, scope);
    const conditions =
      'ifAbsent' in condition ? { IfNoneMatch: '*' } : { IfMatch: await this.#matchingEtag(path, condition, scope) };
    const properties = this.newProperties();
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await this.#tryPut({ ...input, ...properties, ...conditions }, scope);
      if (outcome === 'done') break;
      if (outcome === 'refused') {
        // The answer to an earlier try may have been lost: then the object there is this one.
        const found = await this.#lookup.findObject(path, scope);
        if (found !== undefined && hasStamp(found, properties.Metadata)) break;
        throw new PreconditionFailedError(driverName, path, condition);
      }
      if (attempt === maxConditionalTries) {
        throw new StorageUnavailableError(driverName, path, 'other conditional puts came between, again and again');
      }
      await delay(conditionalRetryMs * attempt, undefined, scope.signal === undefined ? {} : { signal: scope.signal });
    }
    this.#lookup.written(path);
  }

  /** Begins an object of many parts. */
  beginMultipart(path: string, scope: RequestScope): Promise<MultipartPlace> {
    return this.#multipart.begin(this.#keys.keyToWrite(path), this.newProperties(), scope);
  }

  /** Makes the object of these parts visible; the caller has called {@link requireFree}. @throws ConflictError */
  async completeMultipart(
    path: string,
    { place, parts }: { readonly place: MultipartPlace; readonly parts: readonly UploadedPart[] },
    scope: RequestScope,
  ): Promise<void> {
    await this.#multipart.complete(place, parts, scope);
    this.#lookup.written(path);
  }

  async #matchingEtag(path: string, condition: { readonly ifMatch: string }, scope: RequestScope): Promise<string> {
    const found = await this.#lookup.findObject(path, scope);
    if (found === undefined || revisionOf(found) !== condition.ifMatch) {
      throw new PreconditionFailedError(driverName, path, condition);
    }
    return etagIn(condition.ifMatch);
  }

  async #tryPut(input: PutObjectCommandInput, scope: RequestScope): Promise<'done' | 'refused' | 'again'> {
    try {
      await this.#requests.send(scope, (s3, options) => s3.putObject(input, options));
      return 'done';
    } catch (error) {
      // 404: If-Match, and the object has gone.
      if (s3ErrorStatus(error) === 412 || error instanceof PathNotFoundError) return 'refused';
      if (s3ErrorStatus(error) === 409) return 'again';
      throw error;
    }
  }

  #input(path: string, content: Uint8Array): PutObjectCommandInput {
    // The SDK sends the bytes in several steps, and again when it has to: the caller may use theirs by then.
    const Body = Buffer.from(content);
    return { Bucket: this.#requests.bucket, Key: this.#keys.keyToWrite(path), Body, ContentLength: Body.length };
  }
}
