import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rendezvousOrder } from '../../src/core/index.ts';

const members = ['http://a:1', 'http://b:1', 'http://c:1', 'http://d:1', 'http://e:1'];
const anyMembers = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 8 });

describe('the rendezvous order', () => {
  it('gives every member its share of ten thousand keys as first and as second owner, to a few per cent', () => {
    const keys = 10_000;
    const counts = [new Map<string, number>(), new Map<string, number>()];
    for (let key = 0; key < keys; key += 1) {
      const order = rendezvousOrder(members, `sha256:${key}`);
      for (const [rank, count] of counts.entries()) count.set(order[rank]!, (count.get(order[rank]!) ?? 0) + 1);
    }
    const share = keys / members.length;
    for (const count of counts) {
      expect([...count.keys()].sort()).toEqual(members);
      for (const owned of count.values()) expect(Math.abs(owned - share) / share).toBeLessThan(0.08);
    }
  });

  it('holds every member once', () => {
    fc.assert(
      fc.property(anyMembers, fc.string(), (names, key) => {
        expect([...rendezvousOrder(names, key)].sort()).toEqual([...names].sort());
      }),
    );
  });

  it('is the same however the members are listed, and leaves the list alone', () => {
    const shuffled = anyMembers.chain((names) =>
      fc.tuple(fc.constant(names), fc.shuffledSubarray(names, { minLength: names.length })),
    );
    fc.assert(
      fc.property(shuffled, fc.string(), ([names, other], key) => {
        const before = [...other];
        expect(rendezvousOrder(other, key)).toEqual(rendezvousOrder(names, key));
        expect(other).toEqual(before);
      }),
    );
  });

  it('moves only the keys of the member that goes away', () => {
    fc.assert(
      fc.property(anyMembers, fc.string(), fc.nat(), (names, key, pick) => {
        const gone = names[pick % names.length];
        const left = names.filter((name) => name !== gone);
        const expected = rendezvousOrder(names, key).filter((name) => name !== gone);
        expect(rendezvousOrder(left, key)).toEqual(expected);
      }),
    );
  });

  it('is the same in every release: origins of two versions have to agree', () => {
    expect(rendezvousOrder(members, 'sha256:0')).toEqual(PINNED);
    expect(rendezvousOrder([], 'sha256:0')).toEqual([]);
  });
});

/** What the first release computed. */
const PINNED: readonly string[] = ['http://e:1', 'http://d:1', 'http://c:1', 'http://a:1', 'http://b:1'];
