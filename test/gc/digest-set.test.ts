import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashBytes, makeDigest } from '../../src/core/index.ts';
import { DigestSet, packDigests } from '../../src/gc/digest-set.ts';
import { anyDigest } from '../core/arbitraries.ts';

describe('DigestSet', () => {
  it('has what was added and nothing else', () => {
    fc.assert(
      fc.property(fc.array(anyDigest), fc.array(anyDigest), (added, others) => {
        const set = new DigestSet();
        for (const digest of added) set.add(digest);
        for (const digest of added) expect(set.has(digest)).toBe(true);
        const known = new Set<string>(added);
        for (const digest of others) expect(set.has(digest)).toBe(known.has(digest));
        expect(set.size).toBe(known.size);
      }),
    );
  });

  it('tells whether a digest was new', () => {
    const set = new DigestSet();
    const digest = hashBytes(Buffer.from('a'));
    expect([set.add(digest), set.add(digest)]).toEqual([true, false]);
  });

  it('keeps them through its growth, packed ones too', () => {
    const set = new DigestSet();
    const digests = Array.from({ length: 5000 }, (_, number) => hashBytes(Buffer.from(`${number}`)));
    for (const digest of digests.slice(0, 2500)) set.add(digest);
    set.addPacked(packDigests(digests.slice(2000)));
    expect(set.size).toBe(5000);
    expect(digests.every((digest) => set.has(digest))).toBe(true);
    expect(set.has(hashBytes(Buffer.from('other')))).toBe(false);
  });

  it('takes digests that begin with zeros', () => {
    const zeros = makeDigest('sha256', '0'.repeat(64))!;
    const set = new DigestSet();
    expect(set.has(zeros)).toBe(false);
    set.add(zeros);
    expect(set.has(zeros)).toBe(true);
  });
});
