import { createHash, randomUUID } from 'node:crypto';
import Type, { type Static } from 'typebox';
import { Value } from 'typebox/value';
import { ConflictError, PathNotFoundError, StorageInternalError } from '../errors.ts';
import { driverName, s3ErrorName, toDriverError } from './errors.ts';
import type { KeySpace } from './keys.ts';
import type { MultipartPlace, MultipartUploads, UploadedPart } from './multipart.ts';
import type { ObjectProperties } from './object-properties.ts';
import { listPages } from './pages.ts';
import type { RequestScope, S3Requests } from './requests.ts';

/** The first line of a record, as JSON; the bytes that are in no part follow it. */
const RecordHeadSchema = Type.Object({
  version: Type.Literal(1),
  /** The multipart upload that has the first bytes; absent while all of them fit into the record. */
  uploadId: Type.Optional(Type.String()),
  key: Type.String(),
  parts: Type.Integer({ minimum: 0 }),
  /** {@link digestOfParts} */
  partsDigest: Type.String(),
  /** Made anew for every record, so that it names these bytes and no others. */
  revision: Type.String({ minLength: 1 }),
});

type RecordHead = Static<typeof RecordHeadSchema>;

/** More than the first line of a record can have: a key, an upload id, and what is around them. */
const maxHeadBytes = 8192;

/** What a writer has left without commit. */
export interface UnfinishedUpload {
  readonly place: MultipartPlace | undefined;
  readonly parts: readonly UploadedPart[];
  readonly tail: Buffer;
}

/** The same as it was found, with its name: equal texts mean equal bytes. */
export interface FoundUpload extends UnfinishedUpload {
  readonly revision: string;
}

/**
 * Keeps what writers close without commit. S3 takes no part below 5 MiB before the last, so the bytes that do not fill one
 * are kept in an object of the driver's own, the record, which also names the multipart upload that has the rest. A writer
 * is closed by one put of its record; whatever an upload has beyond that (a writer that died had sent it) does not count.
 */
export class UnfinishedUploads {
  readonly #requests: S3Requests;
  readonly #keys: KeySpace;
  readonly #multipart: MultipartUploads;
  readonly #properties: ObjectProperties;

  constructor(parts: {
    readonly requests: S3Requests;
    readonly keys: KeySpace;
    readonly multipart: MultipartUploads;
    readonly properties: ObjectProperties;
  }) {
    this.#requests = parts.requests;
    this.#keys = parts.keys;
    this.#multipart = parts.multipart;
    this.#properties = parts.properties;
  }

  /**
   * What is there to go on with; `undefined` when there is nothing, or its parts are gone: they are an object by now, or
   * were thrown away. One request, and one for each thousand parts.
   * @throws ConflictError when somebody else goes on with it now and has replaced parts
   */
  async find(path: string, scope: RequestScope): Promise<FoundUpload | undefined> {
    const content = await this.#read(this.#keys.unfinishedKey(path), scope);
    if (content === undefined) return undefined;
    const { head, tail } = parseRecord(content, path);
    const { revision } = head;
    if (head.uploadId === undefined) return { place: undefined, parts: [], tail, revision };
    const place = { key: head.key, uploadId: head.uploadId };
    const parts = await this.#multipart.listParts(place, head.parts, scope);
    if (parts === undefined) return undefined;
    if (digestOfParts(parts) !== head.partsDigest) {
      throw new ConflictError(driverName, path, 'another writer goes on with these bytes, or was killed when it did');
    }
    return { place, parts, tail, revision };
  }

  /** Makes what a writer has last. One request. @returns the name of these bytes */
  async keep(path: string, upload: UnfinishedUpload, scope: RequestScope): Promise<string> {
    const revision = randomUUID();
    const head: RecordHead = {
      version: 1,
      ...(upload.place === undefined ? {} : { uploadId: upload.place.uploadId }),
      key: upload.place?.key ?? '',
      parts: upload.parts.length,
      partsDigest: digestOfParts(upload.parts),
      revision,
    };
    const Body = Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), upload.tail]);
    const place = { Bucket: this.#requests.bucket, Key: this.#keys.unfinishedKey(path) };
    await this.#requests.send(scope, (s3, options) => s3.putObject({ ...this.#properties, ...place, Body }, options));
    return revision;
  }

  /** Takes a record away, and leaves its multipart upload alone: it has been completed or aborted. One request. */
  async forget(path: string, scope: RequestScope): Promise<void> {
    const input = { Bucket: this.#requests.bucket, Key: this.#keys.unfinishedKey(path) };
    await this.#requests.send(scope, (s3, options) => s3.deleteObject(input, options));
  }

  /** Throws away what is unfinished at a path. One request when there is nothing. */
  async remove(path: string, scope: RequestScope): Promise<void> {
    await this.#removeKey(this.#keys.unfinishedKey(path), scope);
  }

  /** Throws away what is unfinished at a path and below it. @returns whether there was anything */
  async removeBelow(path: string, scope: RequestScope): Promise<boolean> {
    let any = false;
    const prefix = this.#keys.unfinishedPrefix(path);
    for await (const { objects } of listPages(this.#requests, scope, { prefix })) {
      for (const { key } of objects) any = (await this.#removeKey(key, scope)) || any;
    }
    return any;
  }

  /** First the parts: whoever is killed in between leaves a record that leads to what is left. */
  async #removeKey(key: string, scope: RequestScope): Promise<boolean> {
    const content = await this.#read(key, scope, maxHeadBytes);
    if (content === undefined) return false;
    const { head } = parseRecord(content, scope.path);
    if (head.uploadId !== undefined) await this.#multipart.abort({ key: head.key, uploadId: head.uploadId }, scope);
    const input = { Bucket: this.#requests.bucket, Key: key };
    await this.#requests.send(scope, (s3, options) => s3.deleteObject(input, options));
    return true;
  }

  async #read(key: string, scope: RequestScope, maxBytes?: number): Promise<Buffer | undefined> {
    const range = maxBytes === undefined ? {} : { Range: `bytes=0-${maxBytes - 1}` };
    const input = { Bucket: this.#requests.bucket, Key: key, ...range };
    try {
      const answer = await this.#requests.send(scope, (s3, options) => s3.getObject(input, options));
      const bytes = await answer.Body?.transformToByteArray();
      if (bytes === undefined || bytes.length !== answer.ContentLength) {
        const text = `the unfinished bytes were cut while they were read: ${bytes?.length} of ${answer.ContentLength}`;
        throw new StorageInternalError(driverName, scope.path, text);
      }
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    } catch (error) {
      if (error instanceof PathNotFoundError) return undefined;
      throw s3ErrorName(error) === undefined ? toDriverError(error, scope.path) : error;
    }
  }
}

/** Names the parts in their order: equal texts mean equal parts. */
function digestOfParts(parts: readonly UploadedPart[]): string {
  const hash = createHash('sha256');
  for (const { number, etag, sizeBytes } of parts) hash.update(`${number} ${etag.replaceAll('"', '')} ${sizeBytes}\n`);
  return hash.digest('hex');
}

function parseRecord(content: Buffer, path: string): { readonly head: RecordHead; readonly tail: Buffer } {
  const end = content.indexOf('\n');
  const head: unknown = parseJson(content.subarray(0, end).toString());
  if (end < 0 || !Value.Check(RecordHeadSchema, head)) {
    throw new StorageInternalError(
      driverName,
      path,
      'what is kept of an unfinished upload cannot be read; delete the path',
    );
  }
  return { head, tail: content.subarray(end + 1) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // Checked by whoever asked.
  }
}
