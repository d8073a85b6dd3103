import {
  algorithmOf,
  BlobNotFoundError,
  type ByteRange,
  type Digest,
  hashBytes,
  InvalidRangeError,
  mediaTypes,
  type Repository,
  takeLentRuns,
} from '../core/index.ts';
import { checkedBody, checkedRuns } from './blob-body.ts';
import { entityTagOf, namesEntity, requireMatch } from './conditional.ts';
import { BlobDamagedError } from './errors.ts';
import type { RegistryDeed } from './events.ts';
import { type Answer, callContext, type Exchange, headerOf } from './exchange.ts';
import { parseRange, type RequestedRange } from './http-range.ts';
import { deleteLink, findBlob, findBlobContent, openBlob, type StoredBlob } from './links.ts';
import { multipartRanges } from './multipart-ranges.ts';
import type { BlobDelivery } from './offload.ts';
import { SMALL_BLOB_BYTES } from './storage-cache.ts';

/** What a digest names never changes. */
const BLOB_MAX_AGE_SECONDS = 31_536_000;

/** `GET HEAD DELETE /v2/<name>/blobs/<digest>`. */
export async function handleBlob(
  exchange: Exchange,
  repository: Repository,
  digest: Digest,
  delivery: BlobDelivery,
): Promise<Answer> {
  if (exchange.method === 'DELETE') return deleteBlob(exchange, repository, digest);
  const context = { ...callContext(exchange), repository };
  // A manifest is a blob too: clients ask for its bytes here when `/manifests/` has refused them.
  const blob = await findBlob(exchange.driver, ['layer', 'revision'], digest, context);
  if (blob === undefined) throw unknownBlob(repository, digest);
  const headers = {
    'docker-content-digest': digest,
    etag: entityTagOf(digest),
    'cache-control': `max-age=${BLOB_MAX_AGE_SECONDS}`,
  };
  requireMatch(headerOf(exchange.request, 'if-match'), digest);
  if (namesEntity(headerOf(exchange.request, 'if-none-match'), digest)) return { status: 304, headers };
  const url = delivery.redirect ? await findRedirect(exchange, repository, blob) : undefined;
  if (url !== undefined) {
    // The URL is signed for a short time, so the answer that carries it must not be kept.
    const redirect = { status: 307, headers: { ...headers, location: url, 'cache-control': 'no-store' } };
    return exchange.method === 'HEAD' ? redirect : { ...redirect, deed: pullOf(repository, digest, blob) };
  }
  return blobAnswer(exchange, repository, { digest, blob, headers, offload: delivery.offload });
}

async function findRedirect(exchange: Exchange, repository: Repository, blob: StoredBlob): Promise<string | undefined> {
  const { driver, method } = exchange;
  if (!driver.capabilities.redirect) return undefined;
  return driver.redirectURL(blob.path, { method }, callContext(exchange, repository));
}

async function blobAnswer(
  exchange: Exchange,
  repository: Repository,
  found: {
    readonly digest: Digest;
    readonly blob: StoredBlob;
    readonly headers: Record<string, string>;
    readonly offload: BlobDelivery['offload'];
  },
): Promise<Answer> {
  const { blob, digest } = found;
  const { sizeBytes } = blob;
  const asked = rangeAsked(exchange, digest, sizeBytes);
  if (asked.kind === 'unsatisfiable') throw unsatisfiable(exchange, sizeBytes);
  if (found.offload !== undefined && exchange.method === 'GET') {
    // Length and ranges are what the web server makes of the file, `Accept-Ranges` would come twice.
    const handedOver = { ...found.headers, 'content-type': mediaTypes.octetStream, ...found.offload(blob.path) };
    return { status: 200, headers: handedOver, deed: pullOf(repository, digest, blob) };
  }
  if (asked.kind === 'parts') return partsAnswer(exchange, repository, { ...found, ranges: asked.ranges });
  const { offset, length } = asked.kind === 'part' ? asked.range : { offset: 0, length: sizeBytes };
  const headers = {
    ...found.headers,
    'accept-ranges': 'bytes',
    'content-type': mediaTypes.octetStream,
    'content-length': length,
    ...(asked.kind === 'part' ? { 'content-range': `bytes ${offset}-${offset + length - 1}/${sizeBytes}` } : {}),
  };
  const status = asked.kind === 'part' ? 206 : 200;
  if (exchange.method === 'HEAD') return { status, headers };
  const deed = pullOf(repository, digest, blob);
  if (length === 0) return { status, headers, deed };
  if (length === sizeBytes && sizeBytes <= SMALL_BLOB_BYTES) {
    return { status, headers, deed, body: await readSmall(exchange, repository, blob) };
  }
  const source = await openBlob(exchange.driver, blob, { offset, length }, callContext(exchange, repository));
  const verified = exchange.verifyReads && length === sizeBytes ? blob.stored : undefined;
  const lent = takeLentRuns(source);
  if (lent !== undefined) {
    const runs = verified === undefined ? lent : checkedRuns(lent, verified);
    return { status, headers, deed, lent: { stream: source, runs, lengthBytes: length } };
  }
  return { status, headers, deed, body: checkedBody(source, { lengthBytes: length, digest: verified }) };
}

/** A small blob is read in one go: what is wrong with it comes out before its answer has begun. */
async function readSmall(exchange: Exchange, repository: Repository, blob: StoredBlob): Promise<Buffer> {
  const { stored, sizeBytes } = blob;
  const bytes = await findBlobContent(exchange.driver, stored, callContext(exchange, repository));
  if (bytes === undefined) throw unknownBlob(repository, stored);
  if (bytes.length !== sizeBytes || (exchange.verifyReads && hashBytes(bytes, algorithmOf(stored)) !== stored)) {
    throw new BlobDamagedError(`the storage gave other bytes than those of the blob ${stored}`, {
      digest: stored,
      sizeBytes: bytes.length,
    });
  }
  return bytes;
}

function pullOf(repository: Repository, digest: Digest, { sizeBytes }: StoredBlob): RegistryDeed {
  return { action: 'pull', kind: 'blob', repository, digest, mediaType: mediaTypes.octetStream, sizeBytes };
}

/** Several parts in one answer, as clients ask for that fetch the changed files of a layer only (zstd:chunked). */
async function partsAnswer(
  exchange: Exchange,
  repository: Repository,
  found: {
    readonly digest: Digest;
    readonly blob: StoredBlob;
    readonly headers: Record<string, string>;
    readonly ranges: readonly ByteRange[];
  },
): Promise<Answer> {
  const { blob, ranges } = found;
  const { contentType, lengthBytes, body } = multipartRanges(ranges, blob.sizeBytes);
  const headers = {
    ...found.headers,
    'accept-ranges': 'bytes',
    'content-type': contentType,
    'content-length': lengthBytes,
  };
  if (exchange.method === 'HEAD') return { status: 206, headers };
  const open = async (range: ByteRange) => {
    const source = await openBlob(exchange.driver, blob, range, callContext(exchange, repository));
    return checkedBody(source, { lengthBytes: range.length, digest: undefined });
  };
  return { status: 206, headers, body: await body(open), deed: pullOf(repository, found.digest, blob) };
}

function unsatisfiable({ reply }: Exchange, sizeBytes: number): InvalidRangeError {
  reply.header('content-range', `bytes */${sizeBytes}`);
  return new InvalidRangeError(`the range lies outside of the blob, which has ${sizeBytes} bytes`, { sizeBytes });
}

function rangeAsked({ request }: Exchange, digest: Digest, sizeBytes: number): RequestedRange {
  const condition = headerOf(request, 'if-range');
  // RFC 9110, "If-Range": a range of something else than the client has begun with is of no use to it.
  if (condition !== undefined && condition !== entityTagOf(digest)) return { kind: 'whole' };
  return parseRange(headerOf(request, 'range'), sizeBytes);
}

/** Takes a blob out of the repository; other repositories keep it, and its bytes stay for garbage collection. */
async function deleteBlob(exchange: Exchange, repository: Repository, digest: Digest): Promise<Answer> {
  const context = { ...callContext(exchange), repository };
  if (!(await deleteLink(exchange.driver, 'layer', digest, context))) throw unknownBlob(repository, digest);
  return { status: 202, deed: { action: 'delete', kind: 'blob', repository, digest } };
}

function unknownBlob(repository: Repository, digest: Digest): BlobNotFoundError {
  return new BlobNotFoundError(`the blob ${digest} is not in the repository ${repository}`, { digest, repository });
}
