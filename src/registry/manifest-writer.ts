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
import { mapConcurrently } from './concurrent.ts';
import { TooManyTagsError } from './errors.ts';
import type { RegistryDeed } from './events.ts';
import { type Answer, callContext, type Exchange, headerOf, locationOf } from './exchange.ts';
import { addToFallbackTag } from './fallback-tag.ts';
import { findBlob } from './links.ts';
import { pointTag, writeManifest } from './manifest-files.ts';
import { describeReferrer } from './referrer-descriptor.ts';
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
  const warnings = await checkParts(exchange, repository, manifest);
  const subject = manifest.subject?.digest;
  await writeManifest(exchange, repository, { digest, bytes, subject });
  for (const tag of tags) await pointTag(exchange, repository, tag, digest);
  if (subject !== undefined) {
    await addToFallbackTag(exchange, repository, subject, describeReferrer(manifest, digest, bytes.length));
  }
  const headers = {
    location: locationOf(exchange, `/v2/${repository}/manifests/${digest}`),
    'docker-content-digest': digest,
    ...(subject === undefined ? {} : { 'oci-subject': subject }),
    ...(reference.kind === 'digest' && tags.length > 0 ? { 'oci-tag': tags } : {}),
  };
  const deed: RegistryDeed = {
    action: 'push',
    kind: 'manifest',
    repository,
    digest,
    mediaType: manifest.mediaType,
    sizeBytes: bytes.length,
    references: requiredDescriptors(manifest),
    ...(tags[0] === undefined ? {} : { tag: tags[0] }),
  };
  return { status: 201, headers, deed, warnings };
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

/** @returns what the client is to be warned of @throws ManifestBlobUnknownError */
async function checkParts(exchange: Exchange, repository: Repository, manifest: Manifest): Promise<string[]> {
  // Build tools write indexes of layers as their cache; distribution takes both kinds of links, too.
  const kinds = manifest.kind === 'index' ? (['revision', 'layer'] as const) : (['layer'] as const);
  const needed = [...new Set(requiredDescriptors(manifest).map((descriptor: Descriptor) => descriptor.digest))];
  const context = { ...callContext(exchange), repository };
  const found = await mapConcurrently(needed, LOOKUP_CONCURRENCY, (digest) =>
    findBlob(exchange.driver, kinds, digest, context),
  );
  const missing = needed.filter((_digest, position) => found[position] === undefined);
  if (missing.length === 0) return [];
  if (manifest.kind === 'index' && exchange.indexes === 'lenient') {
    return [`the index names what is not in the repository ${repository}: ${missing.join(', ')}`];
  }
  throw new ManifestBlobUnknownError(
    `the manifest needs what is not in the repository ${repository}: ${missing.join(', ')}`,
    { missing },
  );
}
