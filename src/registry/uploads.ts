import {
  algorithmOf,
  type ByteRange,
  type Digest,
  type DigestAlgorithm,
  InvalidDigestError,
  isDigestAlgorithm,
  mediaTypes,
  parseDigest,
  parseRepository,
  type Repository,
  UploadOffsetError,
} from '../core/index.ts';
import { formatPath } from '../pathparser/index.ts';
import { ChunkSizeError, UploadBusyError } from './errors.ts';
import type { RegistryDeed } from './events.ts';
import { type Answer, callContext, type Exchange, headerOf, locationOf } from './exchange.ts';
import { findChunkRange, formatUploadRange } from './http-range.ts';
import { findBlob, linkContent, orUndefined, type StoredBlob } from './links.ts';
import { readBody } from './read-body.ts';
import { bodyOf, contentLengthOf } from './request-body.ts';
import type { UploadKey } from './upload-begin.ts';
import type { Chunk } from './upload-store.ts';

/**
 * `POST /v2/<name>/blobs/uploads/`: begins an upload (202), or makes a blob at once: by `mount` from another repository, or
 * by `digest` with the whole blob as body (201).
 */
export async function beginUpload(exchange: Exchange, repository: Repository): Promise<Answer> {
  const mount = exchange.query.get('mount');
  const digest = exchange.query.get('digest');
  if (mount !== null) {
    const mounted = parseDigest(mount);
    const from = await mountBlob(exchange, repository, mounted);
    if (from !== undefined) {
      const deed: RegistryDeed = { action: 'mount', kind: 'blob', repository, digest: mounted, ...from };
      return blobCreated(exchange, repository, mounted, deed);
    }
  } else if (digest !== null) {
    return uploadAtOnce(exchange, repository, parseDigest(digest));
  }
  const key = await exchange.uploads.begin(repository, algorithmAsked(exchange), callContext(exchange, repository));
  return { status: 202, headers: { ...uploadHeaders(exchange, key, 0), ...chunkHeaders(exchange) } };
}

/**
 * Links a blob of another repository here; `undefined` where it cannot be done: the client then gets an upload instead, as
 * the specification has it. A source that the caller may not pull from counts as one without the blob.
 *
 * Without `from` any repository will do, but only for a caller who may pull from all of them: others would learn from the
 * answer what somebody else holds.
 */
async function mountBlob(
  exchange: Exchange,
  repository: Repository,
  digest: Digest,
): Promise<{ readonly from?: Repository; readonly sizeBytes: number } | undefined> {
  const text = exchange.query.get('from');
  const from = text === null || text === '' ? undefined : parseRepository(text);
  const blob = from === undefined ? await findAnywhere(exchange, digest) : await findIn(exchange, from, digest);
  if (blob === undefined) return undefined;
  const link = formatPath({ kind: 'layer-link', repository, digest });
  await exchange.driver.putContent(link, linkContent(blob.stored), callContext(exchange, repository));
  return { sizeBytes: blob.sizeBytes, ...(from === undefined ? {} : { from }) };
}

async function findIn(exchange: Exchange, from: Repository, digest: Digest): Promise<StoredBlob | undefined> {
  if (!exchange.caller.may({ kind: 'repository', repository: from, action: 'pull' })) return undefined;
  return findBlob(exchange.driver, ['layer'], digest, { ...callContext(exchange), repository: from });
}

async function findAnywhere(exchange: Exchange, digest: Digest): Promise<StoredBlob | undefined> {
  if (!exchange.caller.pullsEverything) return undefined;
  const path = formatPath({ kind: 'blob-data', digest });
  const info = await orUndefined(exchange.driver.stat(path, callContext(exchange)));
  return info === undefined || info.isDirectory ? undefined : { stored: digest, path, sizeBytes: info.size };
}

async function uploadAtOnce(exchange: Exchange, repository: Repository, digest: Digest): Promise<Answer> {
  const context = callContext(exchange, repository);
  const key = await exchange.uploads.begin(repository, algorithmOf(digest), context);
  try {
    const chunk = { body: bodyOf(exchange.request), range: undefined };
    const sizeBytes = await exchange.uploads.finish(key, digest, chunk, context);
    return blobCreated(exchange, repository, digest, pushed(repository, digest, sizeBytes));
  } catch (error) {
    // The client never learns the id, so nobody could go on with this upload.
    await exchange.uploads.cancel(key, { repository }).catch((cancelError: unknown) => {
      exchange.logger.debug({ err: cancelError, ...key }, 'an upload in one request is gone already');
    });
    throw error;
  }
}

/** `GET PATCH PUT DELETE /v2/<name>/blobs/uploads/<id>`, here or at the registry that holds the upload. */
export async function handleUpload(exchange: Exchange, key: UploadKey): Promise<Answer> {
  return (await forwardUpload(exchange, key)) ?? (await answerUpload(exchange, key));
}

async function forwardUpload(exchange: Exchange, key: UploadKey): Promise<Answer | undefined> {
  const { request, method, signal, idleTimeoutMs } = exchange;
  const body = bodyOf(request);
  return exchange.uploadForwarder?.forward({
    ...key,
    method,
    url: request.raw.url ?? '',
    headers: request.headers,
    body: body === undefined ? undefined : readBody(body, idleTimeoutMs),
    requestId: request.id,
    callerName: exchange.caller.name,
    signal,
  });
}

async function answerUpload(exchange: Exchange, key: UploadKey): Promise<Answer> {
  try {
    switch (exchange.method) {
      case 'PATCH':
        return await appendChunk(exchange, key);
      case 'PUT':
        return await finishUpload(exchange, key);
      case 'DELETE':
        await exchange.uploads.cancel(key, callContext(exchange, key.repository));
        return { status: 204 };
      default:
        return await uploadStatus(exchange, key);
    }
  } catch (error) {
    if (error instanceof UploadOffsetError || error instanceof UploadBusyError) {
      const { size } = error.details;
      exchange.reply.headers(uploadHeaders(exchange, key, typeof size === 'number' ? size : undefined));
    }
    throw error;
  }
}

async function uploadStatus(exchange: Exchange, key: UploadKey): Promise<Answer> {
  const size = await exchange.uploads.size(key, callContext(exchange, key.repository));
  return { status: 204, headers: uploadHeaders(exchange, key, size) };
}

async function appendChunk(exchange: Exchange, key: UploadKey): Promise<Answer> {
  const size = await exchange.uploads.append(key, chunkOf(exchange), callContext(exchange, key.repository));
  return { status: 202, headers: uploadHeaders(exchange, key, size) };
}

async function finishUpload(exchange: Exchange, key: UploadKey): Promise<Answer> {
  const text = exchange.query.get('digest');
  if (text === null) throw new InvalidDigestError('PUT on an upload needs the parameter digest=<digest of the blob>');
  const digest = parseDigest(text);
  const { repository } = key;
  const sizeBytes = await exchange.uploads.finish(key, digest, chunkOf(exchange), callContext(exchange, repository));
  return blobCreated(exchange, repository, digest, pushed(repository, digest, sizeBytes));
}

function pushed(repository: Repository, digest: Digest, sizeBytes: number): RegistryDeed {
  return { action: 'push', kind: 'blob', repository, digest, mediaType: mediaTypes.octetStream, sizeBytes };
}

/** The body with its place. @throws ChunkSizeError when the headers contradict each other, before a byte is read */
function chunkOf({ request }: Exchange): Chunk {
  const body = bodyOf(request);
  const header = headerOf(request, 'content-range');
  if (header === undefined) return { body, range: undefined };
  const range: ByteRange | undefined = findChunkRange(header);
  if (range === undefined) {
    throw new ChunkSizeError(`Content-Range is "${header.slice(0, 100)}", expected <first byte>-<last byte>`);
  }
  const length = contentLengthOf(request);
  if (length !== undefined && length !== range.length) {
    throw new ChunkSizeError(`Content-Range says ${range.length} bytes, Content-Length says ${length}`, {
      expected: range.length,
      got: length,
    });
  }
  return { body, range };
}

/** Distribution specification, draft after 1.1: the client may say beforehand which algorithm it will use. */
function algorithmAsked({ query }: Exchange): DigestAlgorithm | undefined {
  const text = query.get('digest-algorithm');
  if (text === null || isDigestAlgorithm(text)) return text ?? undefined;
  throw new InvalidDigestError(`digest-algorithm is "${text.slice(0, 50)}", expected sha256 or sha512`);
}

function uploadHeaders(
  exchange: Exchange,
  { repository, uploadId }: UploadKey,
  sizeBytes: number | undefined,
): Record<string, string> {
  return {
    location: locationOf(exchange, `/v2/${repository}/blobs/uploads/${uploadId}`),
    ...(sizeBytes === undefined ? {} : { range: formatUploadRange(sizeBytes) }),
    'docker-upload-uuid': uploadId,
  };
}

/** OCI distribution specification, "Pushing a blob in chunks": what the client is asked for, and not held to. */
function chunkHeaders({ chunkMinLengthBytes }: Exchange): Record<string, string> {
  return chunkMinLengthBytes === undefined ? {} : { 'oci-chunk-min-length': String(chunkMinLengthBytes) };
}

function blobCreated(exchange: Exchange, repository: Repository, digest: Digest, deed: RegistryDeed): Answer {
  const location = locationOf(exchange, `/v2/${repository}/blobs/${digest}`);
  return { status: 201, headers: { location, 'docker-content-digest': digest }, deed };
}
