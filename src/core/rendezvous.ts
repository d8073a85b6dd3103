import { createHash } from 'node:crypto';

/**
 * Members in the order in which they own `key`: rendezvous (highest random weight) hashing, Thaler and Ravishankar 1998.
 *
 * Every program computes the same order from the same names, and taking one member away moves only that member's keys.
 * Ties are impossible in practice and broken by name.
 */
export function rendezvousOrder(members: readonly string[], key: string): string[] {
  const weighed = members.map((member) => ({ member, weight: weightOf(member, key) }));
  weighed.sort((a, b) => (a.weight === b.weight ? (a.member < b.member ? -1 : 1) : a.weight < b.weight ? 1 : -1));
  return weighed.map(({ member }) => member);
}

function weightOf(member: string, key: string): bigint {
  return createHash('sha256').update(`${member}\n${key}`).digest().readBigUInt64BE(0);
}
