import { describe, expect, it } from 'vitest';
import { hashBytes, rendezvousOrder } from '../../src/core/index.ts';
import { seedShare } from '../../src/origin/seed-share.ts';

const members = ['http://a:1', 'http://b:1', 'http://c:1'];
const digest = hashBytes(Buffer.from('a blob'));

describe('the share of an origin', () => {
  it('is all of the blob where it is the only one', () => {
    expect(seedShare({ selfUrl: members[0]!, members: [members[0]!] }, digest)).toEqual({ index: 0, of: 1 });
  });

  it('differs between the owners, and one that is no owner takes that of one', () => {
    const shares = rendezvousOrder(members, digest).map((selfUrl) => seedShare({ selfUrl, members }, digest));
    expect(shares).toEqual([
      { index: 0, of: 2 },
      { index: 1, of: 2 },
      { index: 0, of: 2 },
    ]);
  });
});
