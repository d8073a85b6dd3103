import {
  type Digest,
  findDigest,
  findTag,
  formatReference,
  InvalidManifestError,
  parseManifest,
  type Reference,
  type Repository,
  type Tag,
} from '../core/index.ts';
import { formatPath } from '../pathparser/index.ts';
import { mapConcurrently } from './concurrent.ts';
import { entityTagOf, namesEntity, requireMatch } from './conditional.ts';
import { ManifestUnknownError } from './errors.ts';
import type { RegistryDeed } from './events.ts';
import { type Answer, callContext, type Exchange, headerOf } from './exchange.ts';
import { removeFromFallbackTag } from './fallback-tag.ts';
import { deleteLink, findLink, isNotFound, listNamesIfAny, orUndefined } from './links.ts';
import { findManifest, mediaTypeOfStored } from './manifest-reader.ts';
import { putManifest } from './manifest-writer.ts';

/** How many links are read at a time when the tags of a deleted manifest are looked for. */
const TAG_CONCURRENCY = 8;

/** `GET HEAD PUT DELETE /v2/<name>/manifests/<reference>`. */
export async function handleManifest(
  exchange: Exchange,
  repository: Repository,
  reference: Reference,
): Promise<Answer> {
  switch (exchange.method) {
    case 'PUT':
      return putManifest(exchange, repository, reference);
    case 'DELETE':
      return reference.kind === 'tag'
        ? deleteTag(exchange, repository, reference)
        : deleteManifest(exchange, repository, reference.digest);
    default:
      return getManifest(exchange, repository, reference);
  }
}

/**
 * Serves the stored bytes, whatever `Accept` says: the digest of what is asked is fixed, so nothing else could be served,
 * and a client that cannot read it finds that out from `Content-Type`.
 */
async function getManifest(exchange: Exchange, repository: Repository, reference: Reference): Promise<Answer> {
  const manifest = await findManifest(exchange, repository, reference);
  if (manifest === undefined) throw unknownManifest(repository, reference);
  const { digest, bytes } = manifest;
  const named = { 'docker-content-digest': digest, etag: entityTagOf(digest) };
  requireMatch(headerOf(exchange.request, 'if-match'), digest);
  if (namesEntity(headerOf(exchange.request, 'if-none-match'), digest)) return { status: 304, headers: named };
  const headers = { ...named, 'content-type': mediaTypeOfStored(bytes), 'content-length': bytes.length };
  if (exchange.method === 'HEAD') return { status: 200, headers };
  const deed: RegistryDeed = {
    action: 'pull',
    kind: 'manifest',
    repository,
    digest,
    mediaType: headers['content-type'],
    sizeBytes: bytes.length,
    ...(reference.kind === 'tag' ? { tag: reference.tag } : {}),
  };
  return { status: 200, headers, body: bytes, deed };
}

async function deleteTag(
  exchange: Exchange,
  repository: Repository,
  reference: Extract<Reference, { kind: 'tag' }>,
): Promise<Answer> {
  const directory = formatPath({ kind: 'tag', repository, tag: reference.tag });
  if (!(await removed(exchange, repository, directory))) throw unknownManifest(repository, reference);
  return { status: 202, deed: { action: 'delete', kind: 'tag', repository, tag: reference.tag } };
}

/**
 * Takes a manifest out of the repository, with the tags that point at it. Its revision goes last: when something fails
 * before that, the same request can be sent again, and no tag is left that leads nowhere.
 */
async function deleteManifest(exchange: Exchange, repository: Repository, digest: Digest): Promise<Answer> {
  const reference = { kind: 'digest', digest } as const;
  const context = { ...callContext(exchange), repository };
  if ((await findLink(exchange.driver, 'revision', digest, context)) === undefined) {
    throw unknownManifest(repository, reference);
  }
  const subject = await findSubject(exchange, repository, reference);
  for await (const tag of tagsOf(exchange, repository, digest)) {
    await removed(exchange, repository, formatPath({ kind: 'tag', repository, tag }));
  }
  if (subject !== undefined) {
    await removed(exchange, repository, formatPath({ kind: 'referrer', repository, subject, digest }));
  }
  if (!(await deleteLink(exchange.driver, 'revision', digest, context))) {
    throw unknownManifest(repository, reference);
  }
  if (subject !== undefined) await removeFromFallbackTag(exchange, repository, subject, digest);
  return { status: 202, deed: { action: 'delete', kind: 'manifest', repository, digest } };
}

/** What the manifest refers to. One that cannot be read refers to nothing: that must not keep it from being deleted. */
async function findSubject(
  exchange: Exchange,
  repository: Repository,
  reference: Reference,
): Promise<Digest | undefined> {
  try {
    const manifest = await findManifest(exchange, repository, reference);
    return manifest === undefined ? undefined : parseManifest(manifest.bytes).subject?.digest;
  } catch (error) {
    if (exchange.signal.aborted) throw error;
    const level = error instanceof InvalidManifestError ? 'debug' : 'warn';
    exchange.logger[level]({ err: error, repository }, 'a manifest is deleted whose subject cannot be read');
    return undefined;
  }
}

async function* tagsOf(exchange: Exchange, repository: Repository, digest: Digest): AsyncIterable<Tag> {
  const context = callContext(exchange, repository);
  const all: Tag[] = [];
  for await (const name of listNamesIfAny(exchange.driver, formatPath({ kind: 'tags', repository }), {}, context)) {
    const tag = findTag(name);
    if (tag !== undefined) all.push(tag);
  }
  const links = await mapConcurrently(all, TAG_CONCURRENCY, async (tag) => {
    const path = formatPath({ kind: 'tag-current-link', repository, tag });
    const content = await orUndefined(exchange.driver.getContent(path, context));
    return { tag, current: content === undefined ? undefined : findDigest(content.toString('utf8').trim()) };
  });
  for (const { tag, current } of links) if (current === digest) yield tag;
}

/** Deletes a directory; `false` when there was none. */
async function removed(exchange: Exchange, repository: Repository, directory: string): Promise<boolean> {
  try {
    await exchange.driver.delete(directory, callContext(exchange, repository));
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

function unknownManifest(repository: Repository, reference: Reference): ManifestUnknownError {
  return new ManifestUnknownError(
    `the repository ${repository} has no manifest with the ${reference.kind} ${formatReference(reference)}`,
    { repository, reference: formatReference(reference) },
  );
}
