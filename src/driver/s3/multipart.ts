import { createHash } from 'node:crypto';
import type { CreateMultipartUploadCommandInput, MultipartUpload } from '@aws-sdk/client-s3';
import { ConflictError, PathNotFoundError, StorageInternalError } from '../errors.ts';
import { driverName, s3ErrorName, s3ErrorStatus } from './errors.ts';
import type { RequestScope, S3Requests } from './requests.ts';

/** A multipart upload of S3: parts that become one object by one call. */
export interface MultipartPlace {
  readonly key: string;
  readonly uploadId: string;
}

/** A part that S3 has. */
export interface UploadedPart {
  readonly number: number;
  /** S3's name for its bytes; `complete` gives it back, so that a part somebody has replaced is noticed. */
  readonly etag: string;
  readonly sizeBytes: number;
  /** When the SDK sends checksums; S3 wants it back. */
  readonly crc32?: string | undefined;
}

/** The multipart uploads of a bucket. */
export class MultipartUploads {
  readonly #requests: S3Requests;
  /** Those of this process that are not finished: a clean-up leaves them alone. */
  readonly #active = new Set<string>();

  constructor(requests: S3Requests) {
    this.#requests = requests;
  }

  async begin(
    key: string,
    properties: Omit<CreateMultipartUploadCommandInput, 'Bucket' | 'Key'>,
    scope: RequestScope,
  ): Promise<MultipartPlace> {
    const input = { ...properties, Bucket: this.#requests.bucket, Key: key };
    const { UploadId } = await this.#requests.send(scope, (s3, options) => s3.createMultipartUpload(input, options));
    if (UploadId === undefined) throw new StorageInternalError(driverName, scope.path, 'S3 gave no upload id');
    this.#active.add(UploadId);
    return { key, uploadId: UploadId };
  }

  /** A writer goes on with this upload: until {@link release}, a clean-up leaves it alone. */
  claim({ uploadId }: MultipartPlace): void {
    this.#active.add(uploadId);
  }

  release({ uploadId }: MultipartPlace): void {
    this.#active.delete(uploadId);
  }

  /** @throws ConflictError when the upload is gone */
  async putPart(place: MultipartPlace, number: number, bytes: Uint8Array, scope: RequestScope): Promise<UploadedPart> {
    const input = { ...this.#input(place), PartNumber: number, Body: bytes, ContentLength: bytes.length };
    try {
      const answer = await this.#requests.send(scope, (s3, options) => s3.uploadPart(input, options));
      return this.#uploaded(scope, number, bytes.length, { etag: answer.ETag, crc32: answer.ChecksumCRC32 });
    } catch (error) {
      throw goneToConflict(error, scope.path);
    }
  }

  /** Copies a range of an object of this bucket, `end` not included. */
  async copyPart(
    place: MultipartPlace,
    part: {
      readonly number: number;
      readonly source: string;
      readonly start: number;
      readonly end: number;
    },
    scope: RequestScope,
  ): Promise<UploadedPart> {
    const { number, source, start, end } = part;
    const input = {
      ...this.#input(place),
      PartNumber: number,
      CopySource: source,
      CopySourceRange: `bytes=${start}-${end - 1}`,
    };
    const answer = await this.#requests.send(scope, (s3, options) => s3.uploadPartCopy(input, options));
    const result = answer.CopyPartResult;
    return this.#uploaded(scope, number, end - start, { etag: result?.ETag, crc32: result?.ChecksumCRC32 });
  }

  /** Parts that an upload has, in order, those numbered up to `maxNumber`. `undefined` when there is no such upload. */
  async listParts(place: MultipartPlace, maxNumber: number, scope: RequestScope): Promise<UploadedPart[] | undefined> {
    const parts: UploadedPart[] = [];
    let marker: string | undefined;
    for (;;) {
      const input = { ...this.#input(place), ...(marker === undefined ? {} : { PartNumberMarker: marker }) };
      const answer = await this.#requests
        .send(scope, (s3, options) => s3.listParts(input, options))
        .catch((error: unknown) => {
          if (isGone(error)) return undefined;
          throw error;
        });
      if (answer === undefined) return undefined;
      for (const {
        PartNumber: number = 0,
        ETag: etag = '',
        Size: sizeBytes = 0,
        ChecksumCRC32: crc32,
      } of answer.Parts ?? []) {
        if (number <= maxNumber) parts.push({ number, etag, sizeBytes, crc32 });
      }
      if (answer.IsTruncated !== true || parts.length >= maxNumber) return parts;
      marker = this.#nextMarker(marker, answer.NextPartNumberMarker, scope);
    }
  }

  /**
   * Makes the object out of exactly these parts. @throws ConflictError when the upload is gone, or somebody has replaced one
   * of them; nothing has become visible then
   */
  async complete(place: MultipartPlace, parts: readonly UploadedPart[], scope: RequestScope): Promise<void> {
    const input = {
      ...this.#input(place),
      MultipartUpload: {
        Parts: parts.map(({ number, etag, crc32 }) => ({
          PartNumber: number,
          ETag: etag,
          ...(crc32 === undefined ? {} : { ChecksumCRC32: crc32 }),
        })),
      },
    };
    try {
      await this.#requests.send(scope, (s3, options) => s3.completeMultipartUpload(input, options));
    } catch (error) {
      // The answer to an earlier try may have been lost, and the upload be gone because it is an object now.
      if (!(isGone(error) && (await this.#isObject(place, parts, scope)))) throw goneToConflict(error, scope.path);
    }
    this.release(place);
  }

  /** Throws an upload and its parts away; one that is gone is left gone. */
  async abort(place: MultipartPlace, scope: RequestScope): Promise<void> {
    try {
      await this.#requests.send(scope, (s3, options) => s3.abortMultipartUpload(this.#input(place), options));
    } catch (error) {
      if (!isGone(error)) throw error;
    }
    this.release(place);
  }

  /**
   * Throws away the uploads to a key and to all keys below it that no writer of this process works at: what writers that
   * died have left. @returns whether there were any
   */
  async abortBelow(key: string, scope: RequestScope): Promise<boolean> {
    let any = false;
    for await (const { Key = '', UploadId: uploadId = '' } of this.#list(key, scope)) {
      if ((Key !== key && !Key.startsWith(`${key}/`)) || this.#active.has(uploadId)) continue;
      await this.abort({ key: Key, uploadId }, scope);
      any = true;
    }
    return any;
  }

  async *#list(prefix: string, scope: RequestScope): AsyncGenerator<MultipartUpload> {
    let markers: { KeyMarker?: string; UploadIdMarker?: string } = {};
    for (;;) {
      const input = { Bucket: this.#requests.bucket, Prefix: prefix, ...markers };
      const answer = await this.#requests.send(scope, (s3, options) => s3.listMultipartUploads(input, options));
      yield* answer.Uploads ?? [];
      if (answer.IsTruncated !== true) return;
      const KeyMarker = answer.NextKeyMarker ?? '';
      const UploadIdMarker = answer.NextUploadIdMarker ?? '';
      this.#nextMarker(`${markers.KeyMarker} ${markers.UploadIdMarker}`, `${KeyMarker} ${UploadIdMarker}`, scope);
      markers = { KeyMarker, UploadIdMarker };
    }
  }

  /** Some stores answer for ever with the same page. */
  #nextMarker(last: string | undefined, next: string | undefined, { path }: RequestScope): string {
    if (next !== undefined && next !== last) return next;
    throw new StorageInternalError(driverName, path, 'the store says that a listing goes on, and gives no way on');
  }

  async #isObject(place: MultipartPlace, parts: readonly UploadedPart[], scope: RequestScope): Promise<boolean> {
    try {
      const input = { Bucket: this.#requests.bucket, Key: place.key };
      const { ETag } = await this.#requests.send(scope, (s3, options) => s3.headObject(input, options));
      return ETag === multipartEtag(parts);
    } catch (error) {
      if (error instanceof PathNotFoundError) return false;
      throw error;
    }
  }

  #uploaded(
    { path }: RequestScope,
    number: number,
    sizeBytes: number,
    { etag, crc32 }: { readonly etag: string | undefined; readonly crc32: string | undefined },
  ): UploadedPart {
    if (etag === undefined) throw new StorageInternalError(driverName, path, `S3 gave no ETag for part ${number}`);
    return { number, etag, sizeBytes, crc32 };
  }

  #input({ key, uploadId }: MultipartPlace) {
    return { Bucket: this.#requests.bucket, Key: key, UploadId: uploadId };
  }
}

/** The ETag of an object made of these parts, as S3 computes it where it does not encrypt with KMS. */
function multipartEtag(parts: readonly UploadedPart[]): string {
  const hash = createHash('md5');
  for (const { etag } of parts) hash.update(Buffer.from(etag.replaceAll('"', ''), 'hex'));
  return `"${hash.digest('hex')}-${parts.length}"`;
}

function isGone(error: unknown): boolean {
  const name = s3ErrorName(error);
  return name === 'NoSuchUpload' || (name !== 'NoSuchBucket' && s3ErrorStatus(error) === 404);
}

function goneToConflict(error: unknown, path: string): unknown {
  const name = s3ErrorName(error);
  if (!isGone(error) && name !== 'InvalidPart') return error;
  const reason = `the unfinished bytes are gone, or another writer has gone on with them (S3 answered ${name})`;
  return new ConflictError(driverName, path, reason, { cause: error });
}
