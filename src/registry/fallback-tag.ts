import { algorithmOf, type Digest, findTag, hashBytes, hexOf, type Repository, type Tag } from '../core/index.ts';
import type { Exchange } from './exchange.ts';
import { pointTag, writeManifest } from './manifest-files.ts';
import { findManifest } from './manifest-reader.ts';
import type { ReferrerDescriptor } from './referrer-descriptor.ts';

/**
 * The tag under which clients list the referrers of a subject where a registry does not (OCI distribution specification,
 * "Referrers Tag Schema"): `<alg>-<hex>`, the hex cut to 64 digits.
 */
export function fallbackTagOf(subject: Digest): Tag | undefined {
  return findTag(`${algorithmOf(subject)}-${hexOf(subject).slice(0, 64)}`);
}

/**
 * Adds a referrer to the index under its subject's fallback tag, when some client has made one: others that read it there
 * see the new one too, whoever pushed it. Where there is none, none is made: the API lists the referrers.
 */
export function addToFallbackTag(
  exchange: Exchange,
  repository: Repository,
  subject: Digest,
  referrer: ReferrerDescriptor,
): Promise<void> {
  return changeFallbackTag(exchange, repository, subject, (entries) =>
    entries.some((entry) => digestOf(entry) === referrer.digest) ? undefined : [...entries, referrer],
  );
}

/** Takes a deleted referrer out of that index; an index that lists nothing more stays, as an empty one. */
export function removeFromFallbackTag(
  exchange: Exchange,
  repository: Repository,
  subject: Digest,
  referrer: Digest,
): Promise<void> {
  return changeFallbackTag(exchange, repository, subject, (entries) => {
    const left = entries.filter((entry) => digestOf(entry) !== referrer);
    return left.length === entries.length ? undefined : left;
  });
}

/**
 * Rewrites the index under a fallback tag, one change at a time in this process. Never rejects, unless the client has gone:
 * the referrer itself is stored or deleted already, and the API tells so.
 */
async function changeFallbackTag(
  exchange: Exchange,
  repository: Repository,
  subject: Digest,
  change: (entries: readonly unknown[]) => readonly unknown[] | undefined,
): Promise<void> {
  const tag = fallbackTagOf(subject);
  if (tag === undefined) return;
  try {
    await exchange.fallbackTags.run(`${repository}:${tag}`, async () => {
      const stored = await findManifest(exchange, repository, { kind: 'tag', tag });
      const index = stored === undefined ? undefined : readIndex(stored.bytes);
      const manifests = index === undefined ? undefined : change(index.manifests);
      if (manifests === undefined) return;
      const bytes = Buffer.from(JSON.stringify({ ...index, manifests }));
      const digest = hashBytes(bytes);
      await writeManifest(exchange, repository, { digest, bytes, subject: undefined });
      await pointTag(exchange, repository, tag, digest);
    });
  } catch (error) {
    if (exchange.signal.aborted) throw error;
    exchange.logger.warn({ err: error, repository, tag }, 'the fallback tag of a subject was not kept in step');
  }
}

/** Only the list is looked at: all else that a client has written stays. */
function readIndex(bytes: Buffer): { readonly manifests: readonly unknown[] } | undefined {
  let document: unknown;
  try {
    document = JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined; // The tag names something else than an index, which is its owner's business.
  }
  if (typeof document !== 'object' || document === null || !('manifests' in document)) return undefined;
  return Array.isArray(document.manifests) ? { ...document, manifests: document.manifests } : undefined;
}

function digestOf(entry: unknown): unknown {
  return typeof entry === 'object' && entry !== null && 'digest' in entry ? entry.digest : undefined;
}
