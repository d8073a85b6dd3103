import type { Digest } from '../core/index.ts';

/** The entity tag of content that is named by its digest. */
export function entityTagOf(digest: Digest): string {
  return `"${digest}"`;
}

/**
 * Whether an `If-None-Match` or `If-Match` header names this content: `*`, or a list of tags, weak or strong. A digest
 * without quotes counts too, because clients send it.
 */
export function namesEntity(header: string | undefined, digest: Digest): boolean {
  if (header === undefined) return false;
  return header.split(',').some((entry) => {
    const tag = entry.trim().replace(/^W\//, '');
    return tag === '*' || tag === digest || tag === entityTagOf(digest);
  });
}
