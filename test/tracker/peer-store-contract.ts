import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Candidates, PeerStore, SwarmKey } from '../../src/tracker/index.ts';
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
const all = { origins: 100, complete: 100, incomplete: 100 };

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

    const sampleOf = async (key: SwarmKey, sizes = all): Promise<Candidates> => {
      const [candidates] = await store.sample([{ swarm: key, ...sizes }]);
      return candidates!;
    };
    const idsOf = async (key: SwarmKey): Promise<string[]> => {
      const { origins, complete, incomplete } = await sampleOf(key);
      return [...origins, ...complete, ...incomplete].map(({ id }) => id).sort();
    };
    const put = (number: number, key: SwarmKey, complete = false, ttlMs = LONG_MS) =>
      store.put(host(number), [{ swarm: key, complete }], ttlMs);

    it('hands back what a peer reported, by kind', async () => {
      await store.put(host(1, { origin: true, port: 7001 }), [{ swarm: swarm('a'), complete: true }], LONG_MS);
      await store.put(host(2, { host: 'fd00::2' }), [{ swarm: swarm('a'), complete: true }], LONG_MS);
      await store.put(host(3), [{ swarm: swarm('a'), complete: false }], LONG_MS);
      await store.put(host(4, { origin: true }), [{ swarm: swarm('a'), complete: false }], LONG_MS);
      const { origins, complete, incomplete } = await sampleOf(swarm('a'));
      expect(origins).toHaveLength(2);
      expect(origins).toContainEqual({ ...host(1), port: 7001, origin: true, complete: true });
      expect(origins).toContainEqual({ ...host(4), origin: true, complete: false });
      expect(complete).toEqual([{ ...host(2), host: 'fd00::2', complete: true }]);
      expect(incomplete).toEqual([{ ...host(3), complete: false }]);
    });

    it('knows nobody in a swarm that nobody is in', async () => {
      expect(await sampleOf(swarm('nobody'))).toEqual({ origins: [], complete: [], incomplete: [] });
      expect(await store.sample([])).toEqual([]);
    });

    it('keeps a peer once, and believes its last report', async () => {
      await put(1, swarm('a'));
      await store.put(host(1, { host: '10.9.9.9', port: 7 }), [{ swarm: swarm('a'), complete: true }], LONG_MS);
      const candidates = await sampleOf(swarm('a'));
      const moved = { id: peerId(1), host: '10.9.9.9', port: 7, origin: false, complete: true };
      expect(candidates).toEqual({ origins: [], complete: [moved], incomplete: [] });
    });

    it('lets a peer become incomplete again', async () => {
      await put(1, swarm('a'), true);
      await put(1, swarm('a'), false);
      const { complete, incomplete } = await sampleOf(swarm('a'));
      expect([complete.length, incomplete.length]).toEqual([0, 1]);
    });

    it('takes and gives many swarms at once, each with its own peers, in order', async () => {
      const names = Array.from({ length: 2_500 }, (_, index) => index);
      await store.put(
        host(1),
        names.map((name) => ({ swarm: swarm(name), complete: name % 2 === 0 })),
        LONG_MS,
      );
      const samples = await store.sample(names.map((name) => ({ swarm: swarm(name), ...all })));
      expect(samples.map(({ complete }) => complete.length)).toEqual(names.map((name) => (name % 2 === 0 ? 1 : 0)));
      expect(samples.map(({ incomplete }) => incomplete.length)).toEqual(names.map((name) => (name % 2 === 0 ? 0 : 1)));
      await store.remove(
        peerId(1),
        names.slice(0, 2_400).map((name) => swarm(name)),
      );
      const left = await store.sample(names.map((name) => ({ swarm: swarm(name), ...all })));
      const some = left.map(({ complete, incomplete }) => complete.length + incomplete.length);
      expect(some).toEqual(names.map((name) => (name < 2_400 ? 0 : 1)));
    });

    it('draws at random, without repeats, no more than asked', async () => {
      await Promise.all(Array.from({ length: 60 }, (_, number) => put(number, swarm('a'))));
      const seen = new Set<string>();
      for (let round = 0; round < 60; round++) {
        const { incomplete } = await sampleOf(swarm('a'), { origins: 0, complete: 0, incomplete: 10 });
        expect(new Set(incomplete.map(({ id }) => id)).size).toBe(10);
        for (const { id } of incomplete) seen.add(id);
      }
      // The chance that a fair draw misses one of them is 60 × (5/6)^60, one in a thousand.
      expect(seen.size).toBeGreaterThan(57);
    });

    it('gives nobody when nobody is asked for', async () => {
      await put(1, swarm('a'));
      const none = { origins: 0, complete: 0, incomplete: 0 };
      expect(await sampleOf(swarm('a'), none)).toEqual({ origins: [], complete: [], incomplete: [] });
    });

    it('removes a peer at once, from the named swarms only', async () => {
      await store.put(
        host(1),
        ['a', 'b'].map((name) => ({ swarm: swarm(name), complete: true })),
        LONG_MS,
      );
      await put(2, swarm('a'));
      await store.remove(peerId(1), [swarm('a'), swarm('never there')]);
      expect(await idsOf(swarm('a'))).toEqual([peerId(2)]);
      expect(await idsOf(swarm('b'))).toEqual([peerId(1)]);
    });

    it('forgets a peer whose time is over, and only that one', async () => {
      await put(1, swarm('a'), true, test.shortMs);
      await put(2, swarm('a'), false, LONG_MS);
      await put(3, swarm('b'), false, test.shortMs);
      await test.pass(test.shortMs + 1);
      expect(await idsOf(swarm('a'))).toEqual([peerId(2)]);
      expect(await idsOf(swarm('b'))).toEqual([]);
    });

    it('renews a stay, also to a shorter one', async () => {
      await put(1, swarm('a'), false, test.shortMs);
      await put(1, swarm('a'), false, LONG_MS);
      await put(2, swarm('a'), false, LONG_MS);
      await put(2, swarm('a'), true, test.shortMs);
      await test.pass(test.shortMs + 1);
      expect(await idsOf(swarm('a'))).toEqual([peerId(1)]);
    });

    it('leads from an info hash to the swarm that was reported with it', async () => {
      await store.put(host(1), [{ swarm: swarm('a'), complete: true, infoHash: infoHash('a') }], LONG_MS);
      await store.put(host(2), [{ swarm: swarm('b'), complete: true }], LONG_MS);
      expect(await store.findSwarm(infoHash('a'))).toBe(swarm('a'));
      expect(await store.findSwarm(infoHash('b'))).toBeUndefined();
    });

    it('forgets an info hash with the peers that reported it', async () => {
      await store.put(host(1), [{ swarm: swarm('a'), complete: true, infoHash: infoHash('a') }], test.shortMs);
      await test.pass(test.shortMs + 1);
      expect(await store.findSwarm(infoHash('a'))).toBeUndefined();
    });

    it('keeps foreign clients under their info hash apart from the swarm of the same blob', async () => {
      await store.put(host(1), [{ swarm: swarm('a'), complete: true, infoHash: infoHash('a') }], LONG_MS);
      await put(2, infoHash('a'));
      expect(await idsOf(swarm('a'))).toEqual([peerId(1)]);
      expect(await idsOf(infoHash('a'))).toEqual([peerId(2)]);
    });

    it('counts swarms and peers', async () => {
      await store.put(
        host(1),
        ['a', 'b'].map((name) => ({ swarm: swarm(name), complete: true })),
        LONG_MS,
      );
      await put(2, swarm('b'));
      await put(3, swarm('c'), false, test.shortMs);
      expect(await store.size()).toEqual({ swarms: 3, peers: 3 });
      await test.pass(test.shortMs + 1);
      expect(await store.size()).toEqual({ swarms: 2, peers: 2 });
    });

    it('is ready', async () => {
      await expect(store.ready()).resolves.toBeUndefined();
    });

    it('takes a host with no swarms', async () => {
      await store.put(host(1), [], LONG_MS);
      await store.remove(peerId(1), []);
      expect((await store.size()).swarms).toBe(0);
    });
  });
}
