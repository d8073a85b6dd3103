import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Peer } from '../../src/core/index.ts';
import { GUARANTEED_ORIGINS, handOut, MAX_PEERS_PER_SWARM, sampleSizesFor } from '../../src/tracker/hand-out.ts';
import type { Candidates } from '../../src/tracker/index.ts';
import { sampleOf, shuffled } from '../../src/tracker/random-sample.ts';
import { host, seededRandom } from './values.ts';

const peer = (number: number, part: Partial<Peer> = {}): Peer => ({ ...host(number), complete: false, ...part });
const crowd = (from: number, count: number, part: Partial<Peer>): Peer[] =>
  Array.from({ length: count }, (_, index) => peer(from + index, part));

const anyPeer = (part: Partial<Peer>) =>
  fc
    .record({ id: fc.nat(30), port: fc.integer({ min: 6881, max: 6883 }) })
    .map(({ id, port }) => peer(id, { port, ...part }));
const anyCandidates: fc.Arbitrary<Candidates> = fc.record({
  origins: fc.array(
    fc.boolean().chain((complete) => anyPeer({ origin: true, complete })),
    { maxLength: 6 },
  ),
  complete: fc.array(anyPeer({ complete: true }), { maxLength: 80 }),
  incomplete: fc.array(anyPeer({}), { maxLength: 80 }),
});
const anyRequest = fc.record({
  candidates: anyCandidates,
  asker: fc.boolean().chain((complete) => anyPeer({ complete })),
  want: fc.integer({ min: -1, max: 80 }),
  random: fc.integer().map((seed) => seededRandom(seed)),
});

describe('handOut', () => {
  it('hands out candidates only, none twice, never the asker, never more than wanted', () => {
    fc.assert(
      fc.property(anyRequest, (request) => {
        const { candidates, asker, want } = request;
        const peers = handOut(request);
        expect(peers.length).toBeLessThanOrEqual(Math.max(0, Math.min(want, MAX_PEERS_PER_SWARM)));
        const known = [...candidates.origins, ...candidates.complete, ...candidates.incomplete];
        for (const found of peers) expect(known).toContain(found);
        expect(new Set(peers.map(({ host: at, port }) => `${at} ${port}`)).size).toBe(peers.length);
        for (const found of peers) {
          expect(found.id).not.toBe(asker.id);
          expect([found.host, found.port]).not.toEqual([asker.host, asker.port]);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('gives one that is complete only such that are not', () => {
    fc.assert(
      fc.property(anyRequest, (request) => {
        const peers = handOut({ ...request, asker: { ...request.asker, complete: true } });
        expect(peers.filter(({ complete }) => complete)).toEqual([]);
      }),
    );
  });

  it('gives a newcomer origins first, as many as are guaranteed, wanted and there', () => {
    fc.assert(
      fc.property(anyRequest, fc.integer({ min: 1, max: 50 }), (request, want) => {
        const asker = { ...request.asker, complete: false };
        const useful = request.candidates.origins.filter(
          (origin) => origin.id !== asker.id && !(origin.host === asker.host && origin.port === asker.port),
        );
        // Origins on one address or under one id are one.
        const there = handOut({
          ...request,
          candidates: { origins: useful, complete: [], incomplete: [] },
          asker,
          want: 50,
        });
        const peers = handOut({ ...request, asker, want });
        const expected = there.length === 0 ? 0 : 1;
        expect(peers.slice(0, expected).every(({ origin }) => origin)).toBe(true);
        expect(peers.length).toBeGreaterThanOrEqual(expected);
      }),
    );
  });

  it.each([
    { want: 1, origins: 1 },
    { want: 2, origins: 2 },
    { want: 10, origins: GUARANTEED_ORIGINS },
    { want: 50, origins: GUARANTEED_ORIGINS },
  ])('gives $origins of four origins to a newcomer that wants $want, and fills up with agents', ({ want, origins }) => {
    const candidates = {
      origins: crowd(100, 4, { origin: true, complete: true }),
      complete: crowd(200, 52, { complete: true }),
      incomplete: crowd(300, 52, {}),
    };
    const peers = handOut({ candidates, asker: peer(1), want, random: seededRandom() });
    expect(peers).toHaveLength(want);
    expect(peers.filter(({ origin }) => origin)).toHaveLength(origins);
    expect(peers.slice(0, origins).every(({ origin }) => origin)).toBe(true);
  });

  it('gives all origins when there are not enough agents', () => {
    const candidates = {
      origins: crowd(100, 4, { origin: true, complete: true }),
      complete: crowd(200, 1, { complete: true }),
      incomplete: [peer(1)],
    };
    const peers = handOut({ candidates, asker: peer(1), want: 10, random: seededRandom() });
    expect(peers.filter(({ origin }) => origin)).toHaveLength(4);
    expect(peers).toHaveLength(5);
  });

  it('spreads: over many newcomers every agent is handed out about as often', () => {
    const candidates = { origins: [], complete: crowd(200, 20, { complete: true }), incomplete: crowd(300, 20, {}) };
    const random = seededRandom(7);
    const counts = new Map<string, number>();
    for (let round = 0; round < 2_000; round++) {
      for (const { id } of handOut({ candidates, asker: peer(1), want: 10, random })) {
        counts.set(id, (counts.get(id) ?? 0) + 1);
      }
    }
    // 500 each on average; the standard deviation is 19.
    expect(counts.size).toBe(40);
    expect(Math.min(...counts.values())).toBeGreaterThan(400);
    expect(Math.max(...counts.values())).toBeLessThan(600);
  });

  it('hands out a restarted process once, under one of its ids', () => {
    const candidates = {
      origins: [],
      complete: [],
      incomplete: [peer(1), { ...peer(2), host: peer(1).host }],
    };
    expect(handOut({ candidates, asker: peer(9), want: 10, random: seededRandom() })).toHaveLength(1);
  });
});

describe('sampleSizesFor', () => {
  it.each([
    { want: 10, complete: false, sizes: { origins: 12, complete: 12, incomplete: 12 } },
    { want: 10, complete: true, sizes: { origins: 12, complete: 0, incomplete: 12 } },
    { want: 1_000, complete: false, sizes: { origins: 52, complete: 52, incomplete: 52 } },
    { want: 0, complete: false, sizes: { origins: 0, complete: 0, incomplete: 0 } },
    { want: -1, complete: false, sizes: { origins: 0, complete: 0, incomplete: 0 } },
  ])('asks for $sizes when $want are wanted by one with complete=$complete', ({ want, complete, sizes }) => {
    expect(sampleSizesFor({ ...host(1), complete }, want)).toEqual(sizes);
  });
});

describe('sampleOf', () => {
  it('draws different elements of the list, as many as asked or there', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(500)), fc.nat(60), fc.integer(), (items, count, seed) => {
        const drawn = sampleOf(items, count, seededRandom(seed));
        expect(drawn).toHaveLength(Math.min(count, items.length));
        expect(new Set(drawn).size).toBe(drawn.length);
        for (const item of drawn) expect(items).toContain(item);
      }),
    );
  });

  it('draws every element as often, at every place', () => {
    const random = seededRandom(3);
    const items = [0, 1, 2, 3, 4, 5, 6, 7];
    const counts = items.map(() => [0, 0, 0]);
    for (let round = 0; round < 8_000; round++) {
      for (const [place, item] of sampleOf(items, 3, random).entries()) counts[item]![place]!++;
    }
    // 1,000 each on average; the standard deviation is 30.
    expect(Math.min(...counts.flat())).toBeGreaterThan(850);
    expect(Math.max(...counts.flat())).toBeLessThan(1_150);
  });

  it('shuffles without changing the list', () => {
    const items = [1, 2, 3, 4, 5];
    expect(shuffled(items, seededRandom()).sort()).toEqual(items);
    expect(items).toEqual([1, 2, 3, 4, 5]);
  });
});
