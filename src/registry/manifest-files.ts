import type { Digest, Repository, Tag } from '../core/index.ts';
import { formatPath } from '../pathparser/index.ts';
import { callContext, type Exchange } from './exchange.ts';
import { linkContent } from './links.ts';

/** A manifest as it is stored. */
export interface ManifestFile {
  readonly digest: Digest;
  readonly bytes: Buffer;
  readonly subject: Digest | undefined;
}

/**
 * Writes a manifest into a repository. Nothing leads to what is not there yet: first the bytes, then the revision, then the
 * entry among the referrers of its subject.
 */
export async function writeManifest(exchange: Exchange, repository: Repository, manifest: ManifestFile): Promise<void> {
  const { digest, bytes, subject } = manifest;
  const { driver } = exchange;
  const context = callContext(exchange, repository);
  const link = linkContent(digest);
  await driver.putContent(formatPath({ kind: 'blob-data', digest }), bytes, context);
  await driver.putContent(formatPath({ kind: 'revision-link', repository, digest }), link, context);
  if (subject === undefined) return;
  await driver.putContent(formatPath({ kind: 'referrer-link', repository, subject, digest }), link, context);
}

/** Points a tag at a manifest of its repository: first its history, then the tag itself. */
export async function pointTag(exchange: Exchange, repository: Repository, tag: Tag, digest: Digest): Promise<void> {
  const { driver } = exchange;
  const context = callContext(exchange, repository);
  const link = linkContent(digest);
  await driver.putContent(formatPath({ kind: 'tag-index-link', repository, tag, digest }), link, context);
  await driver.putContent(formatPath({ kind: 'tag-current-link', repository, tag }), link, context);
}
