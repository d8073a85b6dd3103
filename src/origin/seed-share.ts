import { type Digest, rendezvousOrder } from '../core/index.ts';
import type { SeedShare } from '../swarm/index.ts';
import { BLOB_OWNERS } from './protocol.ts';

/**
 * Which of a blob's owners an origin is, so that each of them hands out other pieces first. An origin that holds the blob
 * without owning it takes the share of one that does.
 */
export function seedShare(
  { selfUrl, members }: { readonly selfUrl: string; readonly members: readonly string[] },
  digest: Digest,
): SeedShare {
  const of = Math.min(BLOB_OWNERS, members.length);
  const rank = rendezvousOrder(members, digest).indexOf(selfUrl);
  return { index: Math.max(0, rank) % of, of };
}
