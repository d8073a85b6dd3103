import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Asker,
  defaultHandOutPolicy,
  drawSizesFor,
  GUARANTEED_ORIGINS,
  type HandOutPolicy,
  handOut,
  MAX_PEERS_PER_SWARM,
} from '../../src/tracker/hand-out.ts';
import { type Candidates, peerGroups, type TrackedPeer } from '../../src/tracker/index.ts';
import { sampleOf, shuffled } from '../../src/tracker/random-sample.ts';
import { host, seededRandom } from './values.ts';

const peer = (number: number, part: Partial<TrackedPeer> = {}): TrackedPeer => {
  return {
    ...host(number),
    zone: undefined,
    complete: false,
    eighths: part.complete === true ? 8 : 0,
    ...part,
  } as TrackedPeer;
};
const crowd = (from: number, count: number, part: Partial<TrackedPeer> = {}): TrackedPeer[] =>
  Array.from({ length: count }, (_, index) => peer(from + index, part));

/** Candidates of a swarm in which there are no others, unless sizes are given. */
const candidatesOf = (part: Partial<Candidates>): Candidates => {
  const { origins = [], complete = [], partial = [], fresh = [] } = part;
  const lists = { origins, complete, partial, fresh };
  const sizes = Object.fromEntries(peerGroups.map((group) => [group, lists[group].length])) as Candidates['sizes'];
  return { ...lists, sizes: { ...sizes, ...part.sizes } };
};

const give = (request: {
  candidates: Candidates;
  asker?: Asker;
  want: number;
  policy?: Partial<HandOutPolicy>;
  random?: () => number;
}): TrackedPeer[] =>
  handOut({
    asker: peer(1),
    random: seededRandom(),
    ...request,
    policy: { ...defaultHandOutPolicy, ...request.policy },
  });

/** How many a request gets on average, over many times. */
function average(count: (peers: TrackedPeer[]) => number, request: Parameters<typeof give>[0], times = 2_000): number {
  const random = seededRandom(5);
  let sum = 0;
  for (let time = 0; time < times; time++) sum += count(give({ ...request, random }));
  return sum / times;
}

const anyZone = fc.constantFrom(undefined, 'north', 'south');
const anyPeer = (part: Partial<TrackedPeer>) =>
  fc
    .record({ id: fc.nat(30), port: fc.integer({ min: 6881, max: 6883 }), zone: anyZone })
    .map(({ id, port, zone }) => peer(id, { port, zone, ...part } as Partial<TrackedPeer>));
const anyCandidates = fc
  .record({
    origins: fc.array(
      fc.boolean().chain((complete) => anyPeer({ origin: true, complete })),
      { maxLength: 6 },
    ),
    complete: fc.array(anyPeer({ complete: true }), { maxLength: 80 }),
    partial: fc.array(anyPeer({ eighths: 4 }), { maxLength: 80 }),
    fresh: fc.array(anyPeer({}), { maxLength: 80 }),
    others: fc.constantFrom(0, 0, 1_000),
  })
  .map(({ others, ...lists }) =>
    candidatesOf({ ...lists, sizes: { ...candidatesOf(lists).sizes, fresh: lists.fresh.length + others } }),
  );
const anyRequest = fc.record({
  candidates: anyCandidates,
  asker: fc.constantFrom(0, 4, 8).chain((eighths) => anyPeer({ eighths, complete: eighths === 8 })),
  want: fc.integer({ min: -1, max: 80 }),
  random: fc.integer().map((seed) => seededRandom(seed)),
});

describe('handOut', () => {
  it('hands out candidates only, none twice, never the asker, never more than wanted', () => {
    fc.assert(
      fc.property(anyRequest, (request) => {
        const { candidates, asker, want } = request;
        const peers = give(request);
        expect(peers.length).toBeLessThanOrEqual(Math.max(0, Math.min(want, MAX_PEERS_PER_SWARM)));
        const known = peerGroups.flatMap((group) => candidates[group]);
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

  it('gives as many as are wanted, when so many useful ones are among the candidates', () => {
    fc.assert(
      fc.property(anyRequest, (request) => {
        const { candidates, asker, want } = request;
        const useful = peerGroups
          .flatMap((group) => candidates[group])
          .filter(({ id, complete }) => id !== asker.id && !(asker.complete && complete))
          .map(({ host: at, port }) => `${at} ${port}`)
          .filter((at) => at !== `${asker.host} ${asker.port}`);
        const most = Math.max(0, Math.min(want, MAX_PEERS_PER_SWARM));
        expect(give(request).length).toBe(Math.min(most, new Set(useful).size));
      }),
      { numRuns: 500 },
    );
  });

  it('gives one that is complete only such that are not', () => {
    fc.assert(
      fc.property(anyRequest, (request) => {
        const peers = give({ ...request, asker: { ...request.asker, complete: true, eighths: 8 } });
        expect(peers.filter(({ complete }) => complete)).toEqual([]);
      }),
    );
  });

  it.each([
    { want: 1, origins: 1 },
    { want: 2, origins: 2 },
    { want: 10, origins: GUARANTEED_ORIGINS },
    { want: 50, origins: GUARANTEED_ORIGINS },
  ])(
    'gives $origins of four origins to a newcomer that wants $want, first, and fills up with agents',
    ({ want, origins }) => {
      const candidates = candidatesOf({
        origins: crowd(100, 4, { origin: true, complete: true }),
        complete: crowd(200, 52, { complete: true }),
        partial: crowd(300, 52, { eighths: 1 }),
        fresh: crowd(400, 52),
      });
      const peers = give({ candidates, want });
      expect(peers).toHaveLength(want);
      expect(peers.filter(({ origin }) => origin)).toHaveLength(origins);
      expect(peers.slice(0, origins).every(({ origin }) => origin)).toBe(true);
    },
  );

  it('gives all origins when there are not enough agents', () => {
    const candidates = candidatesOf({
      origins: crowd(100, 4, { origin: true, complete: true }),
      complete: crowd(200, 1, { complete: true }),
      fresh: [peer(1)],
    });
    const peers = give({ candidates, want: 10 });
    expect(peers.filter(({ origin }) => origin)).toHaveLength(4);
    expect(peers).toHaveLength(5);
  });

  it.each([
    { downloading: 60, origins: 2, each: 2 },
    { downloading: 300, origins: 2, each: (2 * 60) / (4 * 300) },
    { downloading: 3_000, origins: 2, each: (2 * 60) / (4 * 3_000) },
    { downloading: 15_000, origins: 5, each: (5 * 60) / (4 * 15_000) },
  ])(
    'gives $each of $origins origins on average while $downloading agents download',
    ({ downloading, origins, each }) => {
      const candidates = candidatesOf({
        origins: crowd(100, origins, { origin: true, complete: true }),
        fresh: crowd(200, 12),
        sizes: { origins, complete: 0, partial: 0, fresh: downloading },
      });
      const given = average((peers) => peers.filter(({ origin }) => origin).length, { candidates, want: 10 }, 20_000);
      expect(given).toBeGreaterThan(0.8 * each - 0.001);
      expect(given).toBeLessThan(1.2 * each + 0.001);
    },
  );

  const mixed = candidatesOf({
    complete: crowd(200, 52, { complete: true }),
    partial: crowd(300, 52, { eighths: 3 }),
    fresh: crowd(400, 52),
  });
  it.each([
    { name: 'a newcomer that wants four', want: 4, eighths: 0, complete: 2, partial: 2, fresh: 0 },
    { name: 'a newcomer that wants more', want: 8, eighths: 0, complete: 3, partial: 3, fresh: 2 },
    { name: 'one that has pieces', want: 8, eighths: 3, complete: 2, partial: 4, fresh: 2 },
    { name: 'one that is complete', want: 8, eighths: 8, complete: 0, partial: 4, fresh: 4 },
  ])('gives $name $complete complete ones, $partial with pieces, $fresh new ones', (row) => {
    const asker = peer(1, { eighths: row.eighths, complete: row.eighths === 8 });
    const peers = give({ candidates: mixed, asker, want: row.want });
    const count = (eighths: number) => peers.filter((found) => found.eighths === eighths).length;
    expect([count(8), count(3), count(0)]).toEqual([row.complete, row.partial, row.fresh]);
  });

  it('gives a newcomer those with pieces first', () => {
    const had = give({ candidates: mixed, want: 10 }).map(({ eighths }) => eighths > 0);
    expect(had).toEqual([...had].sort((one, other) => Number(other) - Number(one)));
  });

  it('does not send everyone to the few that have pieces', () => {
    const few = candidatesOf({
      partial: crowd(300, 10, { eighths: 1 }),
      fresh: crowd(400, 12),
      sizes: { origins: 0, complete: 0, partial: 10, fresh: 1_990 },
    });
    const each = average(
      (peers) => peers.filter(({ eighths }) => eighths > 0).length,
      { candidates: few, want: 4 },
      20_000,
    );
    // Ten times each of the ten, over two thousand askers.
    expect(each).toBeGreaterThan(0.04);
    expect(each).toBeLessThan(0.06);
  });

  it.each([0, 0.25, 0.5, 1])(
    'takes a share of %d from the zone of the asker, where there are enough of both',
    (zoneShare) => {
      const lists = (zone: string, from: number) => [
        crowd(from, 30, { zone, eighths: 1 }),
        crowd(from + 50, 30, { zone }),
      ];
      const [nearPartial, nearFresh] = lists('here', 300) as [TrackedPeer[], TrackedPeer[]];
      const [farPartial, farFresh] = lists('there', 500) as [TrackedPeer[], TrackedPeer[]];
      const candidates = candidatesOf({ partial: [...nearPartial, ...farPartial], fresh: [...nearFresh, ...farFresh] });
      const near = (peers: TrackedPeer[]) => peers.filter(({ zone }) => zone === 'here').length;
      const request = { candidates, asker: peer(1, { zone: 'here' }), policy: { zoneShare } };
      expect(average(near, { ...request, want: 8 })).toBeCloseTo(8 * zoneShare, 0);
      expect(average(near, { ...request, want: 1 })).toBeCloseTo(zoneShare, 1);
      // Without a zone of its own, all zones are alike.
      expect(average(near, { ...request, asker: peer(1), want: 8 })).toBeCloseTo(4, 0);
    },
  );

  it('gives more of one zone when there is nobody else', () => {
    const asker = peer(1, { zone: 'here' });
    const near = candidatesOf({ fresh: crowd(300, 12, { zone: 'here' }) });
    const far = candidatesOf({ fresh: crowd(300, 12, { zone: 'there' }) });
    expect(give({ candidates: near, asker, want: 10 })).toHaveLength(10);
    expect(give({ candidates: far, asker, want: 10 })).toHaveLength(10);
  });

  it('spreads: over many newcomers every agent is handed out about as often', () => {
    const candidates = candidatesOf({ partial: crowd(200, 20, { eighths: 2 }), fresh: crowd(300, 20) });
    const asker = peer(1, { eighths: 1 });
    const random = seededRandom(7);
    const counts = new Map<string, number>();
    for (let round = 0; round < 2_000; round++) {
      for (const { id } of give({ candidates, asker, want: 10, random })) counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    // 500 each on average; the standard deviation is 19.
    expect(counts.size).toBe(40);
    expect(Math.min(...counts.values())).toBeGreaterThan(400);
    expect(Math.max(...counts.values())).toBeLessThan(600);
  });

  it('hands out a restarted process once, under one of its ids', () => {
    const candidates = candidatesOf({ fresh: [peer(1), { ...peer(2), host: peer(1).host }] });
    expect(give({ candidates, asker: peer(9), want: 10 })).toHaveLength(1);
  });
});

describe('drawSizesFor', () => {
  it.each([
    { want: 10, complete: false, sizes: { origins: 12, complete: 12, partial: 12, fresh: 12 } },
    { want: 10, complete: true, sizes: { origins: 12, complete: 0, partial: 12, fresh: 12 } },
    { want: 1_000, complete: false, sizes: { origins: 52, complete: 52, partial: 52, fresh: 52 } },
    { want: 0, complete: false, sizes: { origins: 0, complete: 0, partial: 0, fresh: 0 } },
    { want: -1, complete: false, sizes: { origins: 0, complete: 0, partial: 0, fresh: 0 } },
  ])('asks for $sizes when $want are wanted by one with complete=$complete', ({ want, complete, sizes }) => {
    expect(drawSizesFor(peer(1, { complete }), want, defaultHandOutPolicy)).toEqual({ sizes });
  });

  it('asks for some of the zone besides, where zones count', () => {
    const asker = peer(1, { zone: 'here' });
    expect(drawSizesFor(asker, 10, defaultHandOutPolicy).zoned).toEqual({ zone: 'here', count: 7 });
    expect(drawSizesFor(asker, 10, { ...defaultHandOutPolicy, zoneShare: 0 }).zoned).toBeUndefined();
    expect(drawSizesFor(asker, 0, defaultHandOutPolicy).zoned).toBeUndefined();
  });
});

describe('sampleOf', () => {
  it('draws different elements of the list, as many as asked or there', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(500)), fc.integer({ min: -1, max: 60 }), fc.integer(), (items, count, seed) => {
        const drawn = sampleOf(items, count, seededRandom(seed));
        expect(drawn).toHaveLength(Math.max(0, Math.min(count, items.length)));
        expect(new Set(drawn).size).toBe(drawn.length);
        for (const item of drawn) expect(items).toContain(item);
      }),
    );
  });

  it('draws every element as often', () => {
    const random = seededRandom(3);
    const items = [0, 1, 2, 3, 4, 5, 6, 7];
    const counts = items.map(() => 0);
    for (let round = 0; round < 8_000; round++) for (const item of sampleOf(items, 3, random)) counts[item]!++;
    // 3,000 each on average; the standard deviation is 43.
    expect(Math.min(...counts)).toBeGreaterThan(2_800);
    expect(Math.max(...counts)).toBeLessThan(3_200);
  });
});

describe('shuffled', () => {
  it('puts every element everywhere as often, without changing the list', () => {
    const random = seededRandom(4);
    const items = [0, 1, 2, 3, 4];
    const counts = items.map(() => items.map(() => 0));
    for (let round = 0; round < 5_000; round++) {
      for (const [place, item] of shuffled(items, random).entries()) counts[item]![place]!++;
    }
    expect(items).toEqual([0, 1, 2, 3, 4]);
    // 1,000 each on average; the standard deviation is 28.
    expect(Math.min(...counts.flat())).toBeGreaterThan(850);
    expect(Math.max(...counts.flat())).toBeLessThan(1_150);
  });
});
