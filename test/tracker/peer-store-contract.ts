import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { InfoHash, SwarmId } from '../../src/core/index.ts';
import {
  type ActivityTimes,
  type AnnouncingHost,
  type Candidates,
  type GroupSizes,
  type HostReport,
  type PeerStore,
  peerGroups,
  type SwarmKey,
  type SwarmReport,
} from '../../src/tracker/index.ts';
import { host, infoHash, peerId, swarm } from './values.ts';

/** A store under test, and time as it knows it. */
export interface StoreUnderTest {
  readonly store: PeerStore;
  /** Lets this much time go by. */
  readonly pass: (ms: number) => Promise<void>;
  readonly cleanup: () => Promise<void>;
  /** Times to live that a test can wait for, in milliseconds. */
  readonly shortMs: number;
}

const LONG_MS = 60_000;
const all: GroupSizes = { origins: 100, complete: 100, partial: 100, fresh: 100 };

/** The same time to live whatever a host does. */
export const always = (ms: number): ActivityTimes => ({ downloading: ms, seeding: ms, idle: ms });

/** A report that names swarms, and says nothing of its place among others. */
export const reportOf = (joined: readonly SwarmReport[], part: Partial<HostReport> = {}): HostReport => ({
  since: 0,
  full: false,
  left: [],
  joined,
  ...part,
});

/** A swarm as a complete host reports it, or one with the given eighths. */
export const inSwarm = (key: SwarmId, eighths = 8, of?: InfoHash): SwarmReport => ({
  swarm: key,
  complete: eighths === 8,
  eighths,
  infoHash: of,
});

/** What every peer store promises. */
export function peerStoreContract(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(`${name} as a peer store`, () => {
    let test: StoreUnderTest;
    let store: PeerStore;
    beforeEach(async () => {
      test = await open();
      store = test.store;
    });
    afterEach(() => test.cleanup());

    const sampleOf = async (key: SwarmKey, sizes = all, zoned?: { zone: string; count: number }) => {
      const [candidates] = await store.sample([{ swarm: key, sizes, zoned }]);
      return candidates!;
    };
    const listed = (candidates: Candidates) => peerGroups.flatMap((group) => candidates[group]);
    const idsOf = async (key: SwarmKey) =>
      listed(await sampleOf(key))
        .map(({ id }) => id as string)
        .sort();
    const put = (who: AnnouncingHost, swarms: readonly SwarmReport[], ttlMs = LONG_MS) =>
      store.report(who, reportOf(swarms), always(ttlMs));
    const send = (number: number, part: Partial<HostReport>, ttlMs = always(LONG_MS)) =>
      store.report(host(number), reportOf([], part), ttlMs);
    const [a, b, c] = [swarm('a'), swarm('b'), swarm('c')];

    it('hands back what a peer reported, by kind, with the sizes of the groups', async () => {
      await put(host(1, { origin: true, port: 7001 }), [inSwarm(a)]);
      await put(host(2, { host: 'fd00::2', zone: 'rack-1' }), [inSwarm(a)]);
      await put(host(3), [inSwarm(a, 0)]);
      await put(host(4, { origin: true }), [inSwarm(a, 3)]);
      await put(host(5, { zone: '-' }), [inSwarm(a, 7)]);
      const { origins, ...others } = await sampleOf(a);
      expect(origins).toHaveLength(2);
      expect(origins).toContainEqual({ ...host(1), port: 7001, origin: true, complete: true, eighths: 8 });
      expect(origins).toContainEqual({ ...host(4), origin: true, complete: false, eighths: 3 });
      expect(others).toEqual({
        complete: [{ ...host(2), host: 'fd00::2', zone: 'rack-1', complete: true, eighths: 8 }],
        partial: [{ ...host(5), zone: '-', complete: false, eighths: 7 }],
        fresh: [{ ...host(3), complete: false, eighths: 0 }],
        sizes: { origins: 2, complete: 1, partial: 1, fresh: 1 },
      });
    });

    it('knows nobody in a swarm that nobody is in', async () => {
      const nobody = { origins: [], complete: [], partial: [], fresh: [] };
      const sizes = { origins: 0, complete: 0, partial: 0, fresh: 0 };
      expect(await sampleOf(swarm('nobody'))).toEqual({ ...nobody, sizes });
      expect(await store.sample([])).toEqual([]);
    });

    it('keeps a peer once, and believes its last report', async () => {
      await put(host(1, { zone: 'here' }), [inSwarm(a, 0), inSwarm(b, 2)]);
      await put(host(1, { host: '10.9.9.9', port: 7, zone: 'there' }), [inSwarm(a)]);
      const moved = { id: peerId(1), host: '10.9.9.9', port: 7, origin: false, zone: 'there' };
      expect(listed(await sampleOf(a))).toEqual([{ ...moved, complete: true, eighths: 8 }]);
      // Swarms that it did not name have the new address too.
      expect(listed(await sampleOf(b))).toEqual([{ ...moved, complete: false, eighths: 2 }]);
      expect((await sampleOf(b, all, { zone: 'here', count: 5 })).partial).toHaveLength(1);
      expect((await sampleOf(b, all, { zone: 'there', count: 5 })).partial).toHaveLength(2);
    });

    it.each([
      [8, 0],
      [0, 8],
      [8, 5],
      [3, 0],
      [3, 4],
    ])('lets a peer go from %i eighths to %i', async (from, to) => {
      await put(host(1), [inSwarm(a, from)]);
      await put(host(1), [inSwarm(a, to)]);
      const candidates = await sampleOf(a);
      expect(listed(candidates).map(({ eighths, complete }) => [eighths, complete])).toEqual([[to, to === 8]]);
      expect(Object.values(candidates.sizes).reduce((sum, size) => sum + size)).toBe(1);
    });

    it('takes and gives many swarms at once, each with its own peers, in order', async () => {
      const names = Array.from({ length: 2_500 }, (_, index) => swarm(index));
      const eighthsOf = (index: number) => (index % 2 === 0 ? 8 : 0);
      const outcome = await send(1, { joined: names.map((key, index) => inSwarm(key, eighthsOf(index))), sequence: 1 });
      expect(outcome).toBe('unknown');
      await send(1, { joined: names.map((key, index) => inSwarm(key, eighthsOf(index))), sequence: 1, full: true });
      const requests = names.map((key) => ({ swarm: key, sizes: all }));
      const samples = await store.sample(requests);
      expect(samples.map((sample) => listed(sample).map(({ eighths }) => eighths))).toEqual(
        names.map((_name, index) => [eighthsOf(index)]),
      );
      expect(await send(1, { left: names.slice(0, 2_400), sequence: 2, since: 1 })).toBe('downloading');
      const left = (await store.sample(requests)).map((sample) => listed(sample).length);
      expect(left).toEqual(names.map((_name, index) => (index < 2_400 ? 0 : 1)));
    });

    it('draws at random, without repeats, no more than asked', async () => {
      await Promise.all(Array.from({ length: 60 }, (_, number) => put(host(number), [inSwarm(a, 0)])));
      const seen = new Set<string>();
      for (let round = 0; round < 60; round++) {
        const { fresh, sizes } = await sampleOf(a, { ...all, fresh: 10 });
        expect(new Set(fresh.map(({ id }) => id)).size).toBe(10);
        expect(sizes.fresh).toBe(60);
        for (const { id } of fresh) seen.add(id);
      }
      // The chance that a fair draw misses one of them is 60 × (5/6)^60, one in a thousand.
      expect(seen.size).toBeGreaterThan(57);
    });

    it('draws some of a zone besides', async () => {
      for (let number = 0; number < 40; number++) {
        await put(host(number, { zone: number < 4 ? 'small' : 'large' }), [inSwarm(a, [0, 3, 8][number % 3])]);
      }
      const { complete, partial, fresh } = await sampleOf(
        a,
        { origins: 0, complete: 0, partial: 1, fresh: 1 },
        { zone: 'small', count: 2 },
      );
      expect(complete).toEqual([]);
      const small = (peers: Candidates['fresh']) =>
        new Set(peers.filter(({ zone }) => zone === 'small').map(({ id }) => id));
      expect(small(fresh)).toEqual(new Set([peerId(0), peerId(3)]));
      expect(small(partial)).toEqual(new Set([peerId(1)]));
      expect(fresh).toHaveLength(3);
    });

    it('gives nobody when nobody is asked for', async () => {
      await put(host(1), [inSwarm(a)]);
      const none = { origins: 0, complete: 0, partial: 0, fresh: 0 };
      expect(listed(await sampleOf(a, none))).toEqual([]);
    });

    it('takes a host out at once, of the swarms that it names only', async () => {
      await put(host(1), [inSwarm(a), inSwarm(b)]);
      await put(host(2), [inSwarm(a)]);
      await send(1, { left: [a, swarm('never there')] });
      expect(await idsOf(a)).toEqual([peerId(2)]);
      expect(await idsOf(b)).toEqual([peerId(1)]);
    });

    it('renews all swarms of a host that names none', async () => {
      await send(
        1,
        { joined: [inSwarm(a), inSwarm(b, 2, infoHash('b'))], sequence: 1, full: true },
        always(test.shortMs),
      );
      await send(1, { sequence: 2, since: 1 });
      await test.pass(test.shortMs + 1);
      expect([await idsOf(a), await idsOf(b)]).toEqual([[peerId(1)], [peerId(1)]]);
      expect(await store.findSwarm(infoHash('b'))).toBe(b);
    });

    it('takes a host out of all swarms that a full report does not name', async () => {
      await send(1, { joined: [inSwarm(a), inSwarm(b)], sequence: 1, full: true });
      await send(1, { joined: [inSwarm(b), inSwarm(c)], sequence: 2, full: true });
      expect([await idsOf(a), await idsOf(b), await idsOf(c)]).toEqual([[], [peerId(1)], [peerId(1)]]);
    });

    it('does not know a host that it has never seen, or that was away for too long', async () => {
      expect(await send(1, { joined: [inSwarm(a)], sequence: 5, since: 4 })).toBe('unknown');
      expect(await idsOf(a)).toEqual([]);
      await send(1, { joined: [inSwarm(a)], sequence: 6, full: true }, always(test.shortMs));
      await test.pass(test.shortMs + 1);
      expect(await send(1, { sequence: 7, since: 6 })).toBe('unknown');
      expect((await store.size()).peers).toBe(0);
    });

    it('does not know a host whose report builds on one that went elsewhere', async () => {
      await send(1, { joined: [inSwarm(a)], sequence: 1, full: true });
      expect(await send(1, { joined: [inSwarm(b)], sequence: 9, since: 8 })).toBe('unknown');
      expect([await idsOf(a), await idsOf(b)]).toEqual([[peerId(1)], []]);
    });

    it('takes a report whose predecessor was lost on its way there, or on its way back', async () => {
      await send(1, { joined: [inSwarm(a)], sequence: 1, full: true });
      // 2 never came; 3 came, but its answer did not; 4 has what both of them had.
      expect(await send(1, { joined: [inSwarm(b)], sequence: 3, since: 1 })).toBe('idle');
      expect(await send(1, { left: [b], joined: [inSwarm(c)], sequence: 4, since: 1 })).toBe('idle');
      expect([await idsOf(a), await idsOf(b), await idsOf(c)]).toEqual([[peerId(1)], [], [peerId(1)]]);
    });

    it('passes over a report that comes after a newer one', async () => {
      await send(1, { joined: [inSwarm(a)], sequence: 1, full: true });
      await send(1, { left: [a], sequence: 3, since: 1 });
      expect(await send(1, { joined: [inSwarm(a)], sequence: 2, since: 1 })).toBe('late');
      expect(await send(1, { joined: [inSwarm(b)], sequence: 2, full: true })).toBe('late');
      expect([await idsOf(a), await idsOf(b)]).toEqual([[], []]);
    });

    it('takes the same report twice as once', async () => {
      for (let time = 0; time < 2; time++) {
        expect(await send(1, { joined: [inSwarm(a, 3)], sequence: 1, full: true })).toBe('downloading');
      }
      expect((await sampleOf(a)).sizes).toEqual({ origins: 0, complete: 0, partial: 1, fresh: 0 });
      expect(await store.size()).toEqual({ swarms: 1, peers: 1 });
    });

    it('tells what a host is busy with, and keeps it for the time that goes with that', async () => {
      const ttlMs = { downloading: test.shortMs, seeding: LONG_MS, idle: LONG_MS };
      expect(await send(1, { joined: [inSwarm(a)] }, ttlMs)).toBe('idle');
      expect(await send(2, { joined: [inSwarm(b), inSwarm(c, 7)] }, ttlMs)).toBe('downloading');
      await sampleOf(a);
      expect(await send(1, {}, ttlMs)).toBe('seeding');
      expect(await send(3, {}, ttlMs)).toBe('idle');
      await test.pass(test.shortMs + 1);
      expect([await idsOf(a), await idsOf(b), await idsOf(c)]).toEqual([[peerId(1)], [], []]);
    });

    it('forgets a host whose time is over, and only that one', async () => {
      await put(host(1), [inSwarm(a)], test.shortMs);
      await put(host(2), [inSwarm(a, 0)]);
      await put(host(3), [inSwarm(b, 0)], test.shortMs);
      await test.pass(test.shortMs + 1);
      expect(await idsOf(a)).toEqual([peerId(2)]);
      expect(await idsOf(b)).toEqual([]);
      expect((await sampleOf(a)).sizes.complete).toBe(0);
    });

    it('renews a stay, also to a shorter one', async () => {
      await put(host(1), [inSwarm(a, 0)], test.shortMs);
      await put(host(1), [inSwarm(a, 0)]);
      await put(host(2), [inSwarm(a, 0)]);
      await put(host(2), [inSwarm(a)], test.shortMs);
      await test.pass(test.shortMs + 1);
      expect(await idsOf(a)).toEqual([peerId(1)]);
    });

    it('leads from an info hash to the swarm that was reported with it, while the peers are there', async () => {
      await put(host(1), [inSwarm(a, 8, infoHash('a'))]);
      await put(host(2), [inSwarm(b)]);
      await put(host(3), [inSwarm(c, 8, infoHash('c'))], test.shortMs);
      expect(await store.findSwarm(infoHash('a'))).toBe(a);
      expect(await store.findSwarm(infoHash('b'))).toBeUndefined();
      expect(await store.findSwarm(infoHash('c'))).toBe(c);
      await test.pass(test.shortMs + 1);
      expect(await store.findSwarm(infoHash('a'))).toBe(a);
      expect(await store.findSwarm(infoHash('c'))).toBeUndefined();
    });

    it('keeps foreign clients under their info hash, apart from hosts of the same id', async () => {
      await put(host(1), [inSwarm(a, 8, infoHash('a'))]);
      const { id } = host(1);
      await store.putForeign(infoHash('a'), { id, host: '10.6.6.6', port: 6, complete: true }, LONG_MS);
      await store.putForeign(infoHash('b'), { id, host: '10.6.6.6', port: 6, complete: false }, test.shortMs);
      expect(listed(await sampleOf(a))).toEqual([{ ...host(1), complete: true, eighths: 8 }]);
      const foreign = { id, host: '10.6.6.6', port: 6, origin: false };
      expect(listed(await sampleOf(infoHash('a')))).toEqual([{ ...foreign, complete: true, eighths: 8 }]);
      expect(listed(await sampleOf(infoHash('b')))).toEqual([{ ...foreign, complete: false, eighths: 0 }]);
      await store.removeForeign(infoHash('a'), id);
      await store.removeForeign(infoHash('never there'), id);
      await test.pass(test.shortMs + 1);
      expect([await idsOf(a), await idsOf(infoHash('a')), await idsOf(infoHash('b'))]).toEqual([[id], [], []]);
    });

    it('counts swarms and peers', async () => {
      await put(host(1), [inSwarm(a), inSwarm(b)]);
      await put(host(2), [inSwarm(b)]);
      await put(host(3), [inSwarm(c, 0)], test.shortMs);
      await put(host(4), []);
      expect(await store.size()).toEqual({ swarms: 3, peers: 3 });
      await test.pass(test.shortMs + 1);
      expect(await store.size()).toEqual({ swarms: 2, peers: 2 });
    });

    it('is ready', async () => {
      await expect(store.ready()).resolves.toBeUndefined();
    });
  });
}
