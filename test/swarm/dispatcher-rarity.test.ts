import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fillBits, makeBits, setBit } from '../../src/swarm/dispatcher/piece-bits.ts';
import { RarityBuckets } from '../../src/swarm/dispatcher/rarity-buckets.ts';
import { seededRandom } from './virtual-swarm.ts';

const PIECES = 50;

describe('RarityBuckets', () => {
  it('finds one of the rarest pieces that are in, whatever was changed before', () => {
    const change = fc.record({ what: fc.nat(3), piece: fc.nat(PIECES - 1) });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 400 }), fc.integer(), (changes, seed) => {
        const buckets = new RarityBuckets(PIECES);
        const copies = new Array<number>(PIECES).fill(0);
        const out = new Set<number>();
        const all = makeBits(PIECES);
        fillBits(all, PIECES);
        const random = seededRandom(seed);
        for (const { what, piece } of changes) {
          if (what === 0) {
            buckets.increase(piece);
            copies[piece]!++;
          } else if (what === 1 && copies[piece]! > 0) {
            buckets.decrease(piece);
            copies[piece]!--;
          } else if (what === 2 && !out.has(piece)) {
            buckets.remove(piece);
            out.add(piece);
          } else if (what === 3 && out.delete(piece)) buckets.insert(piece);
          expect(buckets.copies(piece)).toBe(copies[piece]);
          const seen = copies.filter((count, index) => count > 0 && !out.has(index));
          const rarest = buckets.rarest(all, PIECES, random);
          if (seen.length === 0) expect(rarest).toBe(-1);
          else {
            expect(out.has(rarest)).toBe(false);
            expect(copies[rarest]).toBe(Math.min(...seen));
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  it('finds only what the neighbour has, and looks at no more pieces than allowed', () => {
    const buckets = new RarityBuckets(PIECES);
    for (let piece = 0; piece < PIECES; piece++) buckets.increase(piece);
    const one = makeBits(PIECES);
    setBit(one, 33);
    expect(buckets.rarest(one, PIECES, seededRandom(1))).toBe(33);
    expect(buckets.rarest(makeBits(PIECES), PIECES, seededRandom(1))).toBe(-1);
    const found = Array.from({ length: 200 }, (_, seed) => buckets.rarest(one, 5, seededRandom(seed)));
    expect(found.filter((piece) => piece === 33).length).toBeLessThan(60);
  });

  it('takes equally rare pieces by chance', () => {
    const buckets = new RarityBuckets(PIECES);
    for (let piece = 0; piece < PIECES; piece++) buckets.increase(piece);
    const all = makeBits(PIECES);
    fillBits(all, PIECES);
    const random = seededRandom(3);
    const found = new Set(Array.from({ length: 200 }, () => buckets.rarest(all, 8, random)));
    expect(found.size).toBeGreaterThan(PIECES / 2);
  });
});
