import {
  algorithmOf,
  type Descriptor,
  type Digest,
  DigestMismatchError,
  hashBytes,
  type Manifest,
  ManifestBlobUnknownError,
  parseManifest,
  parseTag,
  type Reference,
  type Repository,
  requiredDescriptors,
  type Tag,
} from '../core/index.ts';
import { formatPath } from '../pathparser/index.ts';
import { mapConcurrently } from './concurrent.ts';
import { TooManyTagsError } from './errors.ts';
import { type Answer, callContext, type Exchange, headerOf, locationOf } from './exchange.ts';
import { findBlob, linkContent } from './links.ts';
import { readManifestBody } from './request-body.ts';

/** How many of a manifest's parts are looked up at a time. */
const LOOKUP_CONCURRENCY = 16;
/** Tags that one request may set; the draft specification asks for ten at least. */
const TAG_PARAMETERS_MAX = 100;

/**
 * `PUT /v2/<name>/manifests/<reference>`: stores the bytes exactly as they came.
 *
 * The order is that nothing leads to what is not there yet: bytes, revision, referrer, then for each tag its index entry
 * and last the tag itself. What the manifest needs has to be in the repository; its subject never has to.
 */
export async function putManifest(exchange: Exchange, repository: Repository, reference: Reference): Promise<Answer> {
  const tags = tagsAsked(exchange, reference);
  const bytes = await readManifestBody(exchange.request, exchange.idleTimeoutMs);
  const digest = checkDigest(bytes, reference);
  const manifest = parseManifest(bytes, mediaTypeSent(exchange));
  await checkParts(exchange, repository, manifest);
  await store(exchange, repository, { digest, bytes, subject: manifest.subject?.digest });
  for (const tag of tags) await point(exchange, repository, tag, digest);
  const headers = {
    location: locationOf(exchange, `/v2/${repository}/manifests/${digest}`),
    'docker-content-digest': digest,
    ...(manifest.subject === undefined ? {} : { 'oci-subject': manifest.subject.digest }),
    ...(reference.kind === 'digest' && tags.length > 0 ? { 'oci-tag': tags } : {}),
  };
  return { status: 201, headers };
}

/** The tag of the path, or (draft after 1.1) those of the parameters `tag` on a manifest put by digest. */
function tagsAsked({ query }: Exchange, reference: Reference): Tag[] {
  if (reference.kind === 'tag') return [reference.tag];
  const texts = [...new Set(query.getAll('tag'))];
  if (texts.length > TAG_PARAMETERS_MAX) {
    throw new TooManyTagsError(`${texts.length} tags were given, at most ${TAG_PARAMETERS_MAX} are taken at once`);
  }
  return texts.map(parseTag);
}

function checkDigest(bytes: Uint8Array, reference: Reference): Digest {
  if (reference.kind === 'tag') return hashBytes(bytes);
  const got = hashBytes(bytes, algorithmOf(reference.digest));
  if (got === reference.digest) return got;
  throw new DigestMismatchError(`the manifest has the digest ${got}, expected ${reference.digest} as in the path`, {
    expected: reference.digest,
    got,
  });
}

function mediaTypeSent({ request }: Exchange): string | undefined {
  const mediaType = headerOf(request, 'content-type')?.split(';')[0]?.trim();
  return mediaType === '' ? undefined : mediaType;
}

async function checkParts(exchange: Exchange, repository: Repository, manifest: Manifest): Promise<void> {
  if (manifest.kind === 'index' && exchange.indexes === 'lenient') return;
  // Build tools write indexes of layers as their cache; distribution takes both kinds of links, too.
  const kinds = manifest.kind === 'index' ? (['revision', 'layer'] as const) : (['layer'] as const);
  const needed = [...new Set(requiredDescriptors(manifest).map((descriptor: Descriptor) => descriptor.digest))];
  const context = { ...callContext(exchange), repository };
  const found = await mapConcurrently(needed, LOOKUP_CONCURRENCY, (digest) =>
    findBlob(exchange.driver, kinds, digest, context),
  );
  const missing = needed.filter((_digest, position) => found[position] === undefined);
  if (missing.length === 0) return;
  throw new ManifestBlobUnknownError(
    `the manifest needs what is not in the repository ${repository}: ${missing.join(', ')}`,
    { missing },
  );
}

async function store(
  exchange: Exchange,
  repository: Repository,
  manifest: { readonly digest: Digest; readonly bytes: Buffer; readonly subject: Digest | undefined },
): Promise<void> {
  const { digest, bytes, subject } = manifest;
  const { driver } = exchange;
  const context = callContext(exchange, repository);
  const link = linkContent(digest);
  await driver.putContent(formatPath({ kind: 'blob-data', digest }), bytes, context);
  await driver.putContent(formatPath({ kind: 'revision-link', repository, digest }), link, context);
  if (subject === undefined) return;
  await driver.putContent(formatPath({ kind: 'referrer-link', repository, subject, digest }), link, context);
}

async function point(exchange: Exchange, repository: Repository, tag: Tag, digest: Digest): Promise<void> {
  const { driver } = exchange;
  const context = callContext(exchange, repository);
  const link = linkContent(digest);
  await driver.putContent(formatPath({ kind: 'tag-index-link', repository, tag, digest }), link, context);
  await driver.putContent(formatPath({ kind: 'tag-current-link', repository, tag }), link, context);
}
