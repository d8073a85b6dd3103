import {
  type Digest,
  digestAlgorithms,
  InvalidManifestError,
  type Manifest,
  makeDigest,
  mediaTypes,
  parseManifest,
  type Repository,
} from '../core/index.ts';
import { formatPath } from '../pathparser/index.ts';
import { mapConcurrently } from './concurrent.ts';
import { type Answer, callContext, type Exchange } from './exchange.ts';
import { fallbackTagOf } from './fallback-tag.ts';
import { listNamesIfAny } from './links.ts';
import { findManifest } from './manifest-reader.ts';
import { compareBytes, nextLink, parsePage } from './pagination.ts';
import { describeReferrer, type ReferrerDescriptor } from './referrer-descriptor.ts';

/** Manifests that are read for one answer, at most; the rest follows by `Link`. */
const REFERRERS_PAGE_MAX = 500;
const READ_CONCURRENCY = 8;

/**
 * `GET /v2/<name>/referrers/<digest>`: an index of the manifests that name this one as their subject. Always 200, with an
 * empty list when there are none, so that clients know that the registry keeps such a list.
 */
export async function listReferrers(exchange: Exchange, repository: Repository, subject: Digest): Promise<Answer> {
  const { limit, last } = parsePage(exchange.query, {
    defaultLimit: REFERRERS_PAGE_MAX,
    maxLimit: REFERRERS_PAGE_MAX,
  });
  const artifactType = exchange.query.get('artifactType') ?? '';
  const all = await candidates(exchange, repository, subject);
  const behind = last === undefined ? all : all.filter((digest) => compareBytes(digest, last) > 0);
  const page = behind.slice(0, limit);
  const described = await mapConcurrently(page, READ_CONCURRENCY, (digest) =>
    describe(exchange, repository, subject, digest),
  );
  const manifests = described.filter(
    (entry) => entry !== undefined && (artifactType === '' || entry.artifactType === artifactType),
  );
  const body = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });
  const lastDigest = page.at(-1);
  const follows = behind.length > page.length && lastDigest !== undefined;
  const filter: Record<string, string> = artifactType === '' ? {} : { artifactType };
  const path = `/v2/${repository}/referrers/${subject}`;
  const headers = {
    'content-type': mediaTypes.ociIndex,
    ...(follows ? { link: nextLink(path, limit, lastDigest, filter) } : {}),
    ...(artifactType === '' ? {} : { 'oci-filters-applied': 'artifactType' }),
  };
  return { status: 200, headers, body: Buffer.from(body) };
}

/** Every digest that may be a referrer, in order: those linked under the subject, and those of its fallback tag. */
async function candidates(exchange: Exchange, repository: Repository, subject: Digest): Promise<Digest[]> {
  const found = new Set<Digest>(await fallbackReferrers(exchange, repository, subject));
  for (const algorithm of digestAlgorithms) {
    const directory = formatPath({ kind: 'referrers', repository, subject, algorithm });
    for await (const hex of listNamesIfAny(exchange.driver, directory, {}, callContext(exchange, repository))) {
      const digest = makeDigest(algorithm, hex);
      if (digest !== undefined) found.add(digest);
    }
  }
  return [...found].sort(compareBytes);
}

/**
 * What clients have noted in an index under the tag `<alg>-<hex>`, as they do with registries that keep no referrers. The
 * specification asks a registry that begins to keep them to list those too ("Enabling the Referrers API").
 */
async function fallbackReferrers(exchange: Exchange, repository: Repository, subject: Digest): Promise<Digest[]> {
  const tag = fallbackTagOf(subject);
  if (tag === undefined) return [];
  const stored = await findManifest(exchange, repository, { kind: 'tag', tag });
  const index = stored === undefined ? undefined : readManifest(stored.bytes);
  return index?.manifests.map((entry) => entry.digest) ?? [];
}

/** A referrer as an entry; `undefined` when it is not in the repository any more or does not name this subject. */
async function describe(
  exchange: Exchange,
  repository: Repository,
  subject: Digest,
  digest: Digest,
): Promise<ReferrerDescriptor | undefined> {
  const stored = await findManifest(exchange, repository, { kind: 'digest', digest });
  const manifest = stored === undefined ? undefined : readManifest(stored.bytes);
  if (stored === undefined || manifest === undefined || manifest.subject?.digest !== subject) {
    return undefined;
  }
  return describeReferrer(manifest, digest, stored.bytes.length);
}

function readManifest(bytes: Uint8Array): Manifest | undefined {
  try {
    return parseManifest(bytes);
  } catch (error) {
    // The storage may hold documents that this registry would not take; they refer to nothing.
    if (error instanceof InvalidManifestError) return undefined;
    throw error;
  }
}
