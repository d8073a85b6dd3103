import type { Digest } from '../core/index.ts';
import { PreconditionFailedError } from './errors.ts';

/** The entity tag of content that is named by its digest. */
export function entityTagOf(digest: Digest): string {
  return `"${digest}"`;
}

/**
 * Whether an `If-None-Match` header names this content: `*`, or a list of tags, weak or strong. A digest
 * without quotes counts too, because clients send it.
 */
export function namesEntity(header: string | undefined, digest: Digest): boolean {
  if (header === undefined) return false;
  return header.split(',').some((entry) => {
    const tag = entry.trim().replace(/^W\//, '');
    return tag === '*' || tag === digest || tag === entityTagOf(digest);
  });
}

/**
 * Holds a request to its `If-Match` header (RFC 9110, section 13.1.1): tags are as above, but weak ones never match.
 * @throws PreconditionFailedError when it names other content only
 */
export function requireMatch(header: string | undefined, digest: Digest): void {
  if (header === undefined) return;
  const strong = header.split(',').filter((entry) => !entry.trim().startsWith('W/'));
  if (namesEntity(strong.join(','), digest)) return;
  throw new PreconditionFailedError(`the content is "${digest}", which If-Match does not name`, { digest });
}
