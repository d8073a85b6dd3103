import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { UnavailableError } from '../../src/core/index.ts';
import { RedisPeerStore } from '../../src/tracker/index.ts';
import { hasPrograms } from '../helpers/command.ts';
import { testLogger } from '../helpers/logger.ts';
import { peerStoreContract } from './peer-store-contract.ts';
import { freePort, REDIS_SERVER, TestRedis } from './redis-server.ts';
import { host, infoHash, peerId, swarm } from './values.ts';

const all = { origins: 100, complete: 100, incomplete: 100 };
const TTL_MS = 60_000;

// Skipped only where the program is missing; never in CI.
describe.skipIf(!hasPrograms(REDIS_SERVER))('with a real redis-server', () => {
  let redis: TestRedis;
  beforeAll(async () => {
    redis = await TestRedis.start();
  });
  afterAll(() => redis?.kill());

  const openStore = async (part: { url?: string; keyPrefix?: string; timeoutMs?: number } = {}) => {
    const options = { url: redis.url, keyPrefix: 'test:', logger: testLogger(), ...part };
    const store = await RedisPeerStore.open(options);
    onTestFinished(() => store.close());
    return store;
  };

  peerStoreContract('RedisPeerStore', async () => {
    await redis.command('FLUSHALL');
    const store = await RedisPeerStore.open({ url: redis.url, keyPrefix: 'test:', logger: testLogger() });
    // Redis has its own clock: time has to pass in truth.
    const pass = async (ms: number) => {
      const endMs = performance.now() + ms;
      await vi.waitUntil(() => performance.now() > endMs, { timeout: 5_000, interval: 5 });
    };
    return { store, pass, cleanup: () => store.close(), shortMs: 250 };
  });

  describe('RedisPeerStore', () => {
    it('shares its peers with other trackers', async () => {
      const [one, other] = [await openStore(), await openStore()];
      await one.put(host(1), [{ swarm: swarm('shared'), complete: true, infoHash: infoHash('shared') }], TTL_MS);
      const [candidates] = await other.sample([{ swarm: swarm('shared'), ...all }]);
      expect(candidates!.complete.map(({ id }) => id)).toEqual([peerId(1)]);
      expect(await other.findSwarm(infoHash('shared'))).toBe(swarm('shared'));
      await other.remove(peerId(1), [swarm('shared')]);
      const [left] = await one.sample([{ swarm: swarm('shared'), ...all }]);
      expect(left!.complete).toEqual([]);
    });

    it('keeps clusters with different prefixes apart', async () => {
      const [one, other] = [await openStore({ keyPrefix: 'one:' }), await openStore({ keyPrefix: 'other:' })];
      await one.put(host(1), [{ swarm: swarm('p'), complete: true }], TTL_MS);
      const [candidates] = await other.sample([{ swarm: swarm('p'), ...all }]);
      expect(candidates!.complete).toEqual([]);
    });

    it('leaves no key behind that does not expire', async () => {
      const store = await openStore({ keyPrefix: 'expiry:' });
      await store.put(host(1), [{ swarm: swarm('e'), complete: false, infoHash: infoHash('e') }], 5_000);
      await store.put(host(2), [{ swarm: swarm('e'), complete: true }], TTL_MS);
      await store.put(host(3, { origin: true }), [{ swarm: swarm('e'), complete: true }], 5_000);
      const keys = (await redis.command('KEYS', 'expiry:*')) as string[];
      expect(keys.length).toBe(7);
      for (const key of keys) {
        const ttlMs = (await redis.command('PTTL', key)) as number;
        expect(ttlMs, key).toBeGreaterThan(0);
        expect(ttlMs, key).toBeLessThanOrEqual(TTL_MS);
      }
      // The hash lives as long as the peer in it that stays longest.
      const peers = keys.find((key) => key.endsWith(':peers'))!;
      expect(await redis.command('PTTL', peers)).toBeGreaterThan(50_000);
    });

    it('passes over peers that another version wrote in another form', async () => {
      const store = await openStore({ keyPrefix: 'form:' });
      await store.put(host(1), [{ swarm: swarm('f'), complete: true }], TTL_MS);
      await store.put(host(2), [{ swarm: swarm('f'), complete: true }], TTL_MS);
      await redis.command('HSET', `form:{${swarm('f')}}:peers`, peerId(1), '{"v":2}');
      const [candidates] = await store.sample([{ swarm: swarm('f'), ...all }]);
      expect(candidates!.complete.map(({ id }) => id)).toEqual([peerId(2)]);
    });

    it('goes on when redis has forgotten its scripts', async () => {
      const store = await openStore({ keyPrefix: 'scripts:' });
      await store.put(host(1), [{ swarm: swarm('s'), complete: true }], TTL_MS);
      await redis.command('SCRIPT', 'FLUSH');
      await store.put(host(2), [{ swarm: swarm('s'), complete: true }], TTL_MS);
      await redis.command('SCRIPT', 'FLUSH');
      const [candidates] = await store.sample([{ swarm: swarm('s'), ...all }]);
      expect(candidates!.complete).toHaveLength(2);
    });

    it('reports a key of another kind as unavailable, with the reason', async () => {
      const store = await openStore({ keyPrefix: 'kind:' });
      await redis.command('SET', `kind:{${swarm('k')}}:peers`, 'text');
      const call = store.put(host(1), [{ swarm: swarm('k'), complete: true }], TTL_MS);
      await expect(call).rejects.toThrow(/WRONGTYPE/);
    });
  });

  describe('RedisPeerStore while redis is away', () => {
    it('opens without redis, fails at once, and is there when redis is', async () => {
      const port = await freePort();
      const store = await openStore({ url: `redis://user:secret-word@127.0.0.1:${port}` });
      const failure = await store.put(host(1), [{ swarm: swarm('a'), complete: true }], TTL_MS).catch((error) => error);
      expect(failure).toBeInstanceOf(UnavailableError);
      expect(failure.message).toContain(`127.0.0.1:${port}`);
      expect(failure.message).not.toContain('secret-word');
      await expect(store.ready()).rejects.toBeInstanceOf(UnavailableError);
      await expect(store.sample([{ swarm: swarm('a'), ...all }])).rejects.toBeInstanceOf(UnavailableError);
      await expect(store.findSwarm(infoHash('a'))).rejects.toBeInstanceOf(UnavailableError);
      await expect(store.remove(peerId(1), [swarm('a')])).rejects.toBeInstanceOf(UnavailableError);
      await expect(store.size()).rejects.toBeInstanceOf(UnavailableError);
    });

    it('connects once redis has started', async () => {
      const port = await freePort();
      const store = await openStore({ url: `redis://127.0.0.1:${port}` });
      await expect(store.ready()).rejects.toBeInstanceOf(UnavailableError);
      const late = await TestRedis.start(port);
      onTestFinished(() => late.kill());
      await vi.waitFor(() => store.ready(), { timeout: 10_000, interval: 20 });
    });

    it('fails while redis is dead and recovers after its restart', async () => {
      const own = await TestRedis.start();
      onTestFinished(() => own.kill());
      const store = await openStore({ url: own.url });
      await store.put(host(1), [{ swarm: swarm('a'), complete: true }], TTL_MS);
      await own.kill();
      const sample = () => store.sample([{ swarm: swarm('a'), ...all }]);
      await expect(sample()).rejects.toBeInstanceOf(UnavailableError);
      await own.restart();
      const [candidates] = await vi.waitFor(sample, { timeout: 10_000, interval: 20 });
      expect(candidates).toEqual({ origins: [], complete: [], incomplete: [] });
      await store.put(host(1), [{ swarm: swarm('a'), complete: true }], TTL_MS);
      expect((await sample())[0]!.complete).toHaveLength(1);
    });

    it('fails within its time limit while redis hangs, and recovers', async () => {
      const own = await TestRedis.start();
      onTestFinished(() => own.kill());
      const store = await openStore({ url: own.url, timeoutMs: 200 });
      await store.put(host(1), [{ swarm: swarm('a'), complete: true }], TTL_MS);
      own.pause();
      const startMs = performance.now();
      await expect(store.ready()).rejects.toThrow(/within 200 ms/);
      expect(performance.now() - startMs).toBeLessThan(2_000);
      own.resume();
      await vi.waitFor(() => store.ready(), { timeout: 10_000, interval: 20 });
    });
  });
});
