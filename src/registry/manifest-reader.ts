import {
  algorithmOf,
  type Digest,
  findDigest,
  hashBytes,
  mediaTypes,
  type Reference,
  type Repository,
} from '../core/index.ts';
import { formatPath } from '../pathparser/index.ts';
import { ManifestDamagedError } from './errors.ts';
import { callContext, type Exchange } from './exchange.ts';
import { findBlobContent, findLink, orUndefined } from './links.ts';

/** The bytes of a manifest with the digest that they are asked under. */
export interface StoredManifest {
  readonly digest: Digest;
  readonly bytes: Buffer;
}

/**
 * A manifest of a repository; `undefined` when the tag, the revision or its bytes are not there.
 * @throws ManifestDamagedError when the bytes are not those that the digest names
 */
export async function findManifest(
  exchange: Exchange,
  repository: Repository,
  reference: Reference,
): Promise<StoredManifest | undefined> {
  const digest = await findReferenced(exchange, repository, reference);
  if (digest === undefined) return undefined;
  const context = { ...callContext(exchange), repository };
  const stored = await findLink(exchange.driver, 'revision', digest, context);
  if (stored === undefined) return undefined;
  const bytes = await findBlobContent(exchange.driver, stored, context);
  if (bytes === undefined) return undefined;
  if (hashBytes(bytes, algorithmOf(stored)) !== stored) {
    throw new ManifestDamagedError(`the storage gave other bytes than those of the manifest ${stored}`, {
      digest: stored,
      sizeBytes: bytes.length,
    });
  }
  return { digest, bytes };
}

/** The digest that a reference means; for a tag what it points at, whether or not that is there. */
async function findReferenced(
  exchange: Exchange,
  repository: Repository,
  reference: Reference,
): Promise<Digest | undefined> {
  if (reference.kind === 'digest') return reference.digest;
  const path = formatPath({ kind: 'tag-current-link', repository, tag: reference.tag });
  const content = await orUndefined(exchange.driver.getContent(path, callContext(exchange, repository)));
  if (content === undefined) return undefined;
  const digest = findDigest(content.toString('utf8').trim());
  if (digest === undefined) {
    exchange.logger.warn(
      { repository, tag: reference.tag },
      'the link of a tag holds no digest: the tag counts as gone',
    );
  }
  return digest;
}

/**
 * The media type that a stored manifest is served with: its own field, else by its shape (OCI permits both). Also what
 * this registry would not take, such as Docker's schema 1, is named rightly, as the storage may be older than it.
 */
export function mediaTypeOfStored(bytes: Uint8Array): string {
  const document = readObject(bytes);
  if (document === undefined) return mediaTypes.octetStream;
  const field = document['mediaType'];
  if (typeof field === 'string' && isHeaderText(field)) return field;
  if (document['schemaVersion'] === 1) return 'application/vnd.docker.distribution.manifest.v1+prettyjws';
  return Array.isArray(document['manifests']) ? mediaTypes.ociIndex : mediaTypes.ociManifest;
}

function readObject(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    // Whatever it is, it is stored under its digest and linked as a manifest: it is served as it is.
    return undefined;
  }
}

/** A media type goes into a header, and the document is not ours. */
function isHeaderText(text: string): boolean {
  return /^[\x21-\x7e]{1,255}$/.test(text);
}
