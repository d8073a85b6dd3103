import {
  BlobNotFoundError,
  type ByteRange,
  type Digest,
  InvalidRangeError,
  mediaTypes,
  type Repository,
  takeLentRuns,
} from '../core/index.ts';
import { formatPath } from '../pathparser/index.ts';
import { checkedBody } from './blob-body.ts';
import { entityTagOf, namesEntity } from './conditional.ts';
import { type Answer, callContext, type Exchange, headerOf } from './exchange.ts';
import { parseRange, type RequestedRange } from './http-range.ts';
import { findBlob, orUndefined, type StoredBlob } from './links.ts';
import { multipartRanges } from './multipart-ranges.ts';

/** What a digest names never changes. */
const BLOB_MAX_AGE_SECONDS = 31_536_000;

/** `GET HEAD DELETE /v2/<name>/blobs/<digest>`. */
export async function handleBlob(exchange: Exchange, repository: Repository, digest: Digest): Promise<Answer> {
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
  if (namesEntity(headerOf(exchange.request, 'if-none-match'), digest)) return { status: 304, headers };
  const url = await findRedirect(exchange, repository, blob);
  // The URL is signed for a short time, so the answer that carries it must not be kept.
  if (url !== undefined) return { status: 307, headers: { ...headers, location: url, 'cache-control': 'no-store' } };
  return blobAnswer(exchange, repository, { digest, blob, headers });
}

async function findRedirect(exchange: Exchange, repository: Repository, blob: StoredBlob): Promise<string | undefined> {
  const { driver, method } = exchange;
  if (!driver.capabilities.redirect) return undefined;
  return driver.redirectURL(blob.path, { method }, callContext(exchange, repository));
}

async function blobAnswer(
  exchange: Exchange,
  repository: Repository,
  found: { readonly digest: Digest; readonly blob: StoredBlob; readonly headers: Record<string, string> },
): Promise<Answer> {
  const { blob, digest } = found;
  const { sizeBytes } = blob;
  const asked = rangeAsked(exchange, digest, sizeBytes);
  if (asked.kind === 'unsatisfiable') throw unsatisfiable(exchange, sizeBytes);
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
  if (exchange.method === 'HEAD' || length === 0) return { status, headers };
  const source = await exchange.driver.reader(blob.path, { offset, length }, callContext(exchange, repository));
  const verified = exchange.verifyReads && length === sizeBytes ? blob.stored : undefined;
  const runs = verified === undefined ? takeLentRuns(source) : undefined;
  if (runs !== undefined) return { status, headers, lent: { stream: source, runs, lengthBytes: length } };
  return { status, headers, body: checkedBody(source, { lengthBytes: length, digest: verified }) };
}

/** Several parts in one answer, as clients ask for that fetch the changed files of a layer only (zstd:chunked). */
async function partsAnswer(
  exchange: Exchange,
  repository: Repository,
  found: {
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
    const source = await exchange.driver.reader(blob.path, range, callContext(exchange, repository));
    return checkedBody(source, { lengthBytes: range.length, digest: undefined });
  };
  return { status: 206, headers, body: await body(open) };
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
  const layer = formatPath({ kind: 'layer', repository, digest });
  const removed = exchange.driver.delete(layer, callContext(exchange, repository)).then(() => true);
  if ((await orUndefined(removed)) === undefined) throw unknownBlob(repository, digest);
  return { status: 202 };
}

function unknownBlob(repository: Repository, digest: Digest): BlobNotFoundError {
  return new BlobNotFoundError(`the blob ${digest} is not in the repository ${repository}`, { digest, repository });
}
