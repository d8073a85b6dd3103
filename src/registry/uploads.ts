import {
  algorithmOf,
  type ByteRange,
  type Digest,
  type DigestAlgorithm,
  InvalidDigestError,
  isDigestAlgorithm,
  parseDigest,
  parseRepository,
  type Repository,
  UploadOffsetError,
} from '../core/index.ts';
import { formatPath } from '../pathparser/index.ts';
import { ChunkSizeError, UploadBusyError } from './errors.ts';
import { type Answer, callContext, type Exchange, headerOf, locationOf } from './exchange.ts';
import { findChunkRange, formatUploadRange } from './http-range.ts';
import { findBlob, linkContent } from './links.ts';
import { bodyOf, contentLengthOf } from './request-body.ts';
import type { Chunk, UploadKey } from './upload-store.ts';

/**
 * `POST /v2/<name>/blobs/uploads/`: begins an upload (202), or makes a blob at once: by `mount` from another repository, or
 * by `digest` with the whole blob as body (201).
 */
export async function beginUpload(exchange: Exchange, repository: Repository): Promise<Answer> {
  const mount = exchange.query.get('mount');
  const digest = exchange.query.get('digest');
  if (mount !== null) {
    const mounted = parseDigest(mount);
    if (await mountBlob(exchange, repository, mounted)) return blobCreated(exchange, repository, mounted);
  } else if (digest !== null) {
    return uploadAtOnce(exchange, repository, parseDigest(digest));
  }
  const key = await exchange.uploads.begin(repository, algorithmAsked(exchange), callContext(exchange, repository));
  return { status: 202, headers: uploadHeaders(exchange, key, 0) };
}

/**
 * A mount needs `from`: looking for the blob in all repositories would tell what others hold. Where it cannot be done, the
 * client gets an upload instead, as the specification has it.
 */
async function mountBlob(exchange: Exchange, repository: Repository, digest: Digest): Promise<boolean> {
  const from = exchange.query.get('from');
  if (from === null || from === '') return false;
  const source = { ...callContext(exchange), repository: parseRepository(from) };
  const blob = await findBlob(exchange.driver, ['layer'], digest, source);
  if (blob === undefined) return false;
  const link = formatPath({ kind: 'layer-link', repository, digest });
  await exchange.driver.putContent(link, linkContent(blob.stored), callContext(exchange, repository));
  return true;
}

async function uploadAtOnce(exchange: Exchange, repository: Repository, digest: Digest): Promise<Answer> {
  const context = callContext(exchange, repository);
  const key = await exchange.uploads.begin(repository, algorithmOf(digest), context);
  try {
    await exchange.uploads.finish(key, digest, { body: bodyOf(exchange.request), range: undefined }, context);
  } catch (error) {
    // The client never learns the id, so nobody could go on with this upload.
    await exchange.uploads.cancel(key, { repository }).catch((cancelError: unknown) => {
      exchange.logger.debug({ err: cancelError, ...key }, 'an upload in one request is gone already');
    });
    throw error;
  }
  return blobCreated(exchange, repository, digest);
}

/** `GET PATCH PUT DELETE /v2/<name>/blobs/uploads/<id>`. */
export async function handleUpload(exchange: Exchange, key: UploadKey): Promise<Answer> {
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
      exchange.reply.headers(uploadHeaders(exchange, key, Number(error.details['size'] ?? 0)));
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
  await exchange.uploads.finish(key, digest, chunkOf(exchange), callContext(exchange, key.repository));
  return blobCreated(exchange, key.repository, digest);
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
  sizeBytes: number,
): Record<string, string> {
  return {
    location: locationOf(exchange, `/v2/${repository}/blobs/uploads/${uploadId}`),
    range: formatUploadRange(sizeBytes),
    'docker-upload-uuid': uploadId,
  };
}

function blobCreated(exchange: Exchange, repository: Repository, digest: Digest): Answer {
  const location = locationOf(exchange, `/v2/${repository}/blobs/${digest}`);
  return { status: 201, headers: { location, 'docker-content-digest': digest } };
}
