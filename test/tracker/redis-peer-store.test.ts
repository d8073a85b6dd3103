import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { UnavailableError } from '../../src/core/index.ts';
import { RedisPeerStore } from '../../src/tracker/index.ts';
import { hasPrograms } from '../helpers/command.ts';
import { testLogger } from '../helpers/logger.ts';
import { always, inSwarm, peerStoreContract, reportOf } from './peer-store-contract.ts';
import { freePort, REDIS_SERVER, TestRedis } from './redis-server.ts';
import { host, infoHash, peerId, swarm } from './values.ts';

const all = { origins: 100, complete: 100, partial: 100, fresh: 100 };
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
      await one.report(host(1), reportOf([inSwarm(swarm('shared'), 8, infoHash('shared'))]), always(TTL_MS));
      const [candidates] = await other.sample([{ swarm: swarm('shared'), sizes: all }]);
      expect(candidates!.complete.map(({ id }) => id)).toEqual([peerId(1)]);
      expect(await other.findSwarm(infoHash('shared'))).toBe(swarm('shared'));
      await other.report(host(1), reportOf([], { left: [swarm('shared')] }), always(TTL_MS));
      const [left] = await one.sample([{ swarm: swarm('shared'), sizes: all }]);
      expect(left!.complete).toEqual([]);
    });

    it('keeps clusters with different prefixes apart', async () => {
      const [one, other] = [await openStore({ keyPrefix: 'one:' }), await openStore({ keyPrefix: 'other:' })];
      await one.report(host(1), reportOf([inSwarm(swarm('p'))]), always(TTL_MS));
      const [candidates] = await other.sample([{ swarm: swarm('p'), sizes: all }]);
      expect(candidates!.complete).toEqual([]);
    });

    it('leaves no key behind that does not expire', async () => {
      const store = await openStore({ keyPrefix: 'expiry:' });
      await store.report(host(1), reportOf([inSwarm(swarm('e'), 0, infoHash('e'))]), always(5_000));
      await store.report(host(2), reportOf([inSwarm(swarm('e'))]), always(TTL_MS));
      await store.report(host(4, { zone: 'z' }), reportOf([inSwarm(swarm('e'))]), always(5_000));
      await store.report(host(3, { origin: true }), reportOf([inSwarm(swarm('e'))]), always(5_000));
      await store.sample([{ swarm: swarm('e'), sizes: all }]);
      const keys = (await redis.command('KEYS', 'expiry:*')) as string[];
      // Four hosts, three groups and one of a zone, the alias, what was asked for, and the two counters.
      expect(keys.length).toBe(12);
      for (const key of keys) {
        const ttlMs = (await redis.command('PTTL', key)) as number;
        expect(ttlMs, key).toBeGreaterThan(0);
        expect(ttlMs, key).toBeLessThanOrEqual(TTL_MS);
      }
      // A group lives as long as the peer in it that stays longest.
      expect(await redis.command('PTTL', `expiry:{${swarm('e')}}:complete`)).toBeGreaterThan(50_000);
    });

    it('takes reports of more swarms than one call carries as a whole', async () => {
      const store = await openStore({ keyPrefix: 'many:' });
      const joined = Array.from({ length: 2_500 }, (_, index) => inSwarm(swarm(index), index === 0 ? 0 : 8));
      const report = reportOf(joined, { sequence: 3, full: true });
      expect(await store.report(host(1), report, always(TTL_MS))).toBe('downloading');
      expect(await store.size()).toEqual({ swarms: 2_500, peers: 1 });
      const late = reportOf(joined, { sequence: 2, full: true });
      expect(await store.report(host(1), late, always(TTL_MS))).toBe('late');
      const elsewhere = reportOf(joined, { sequence: 9, since: 8 });
      expect(await store.report(host(1), elsewhere, always(TTL_MS))).toBe('unknown');
      const fewer = reportOf(joined.slice(0, 1), { sequence: 10, full: true });
      expect(await store.report(host(1), fewer, always(TTL_MS))).toBe('downloading');
      const samples = await store.sample(joined.map((one) => ({ swarm: one.swarm, sizes: all })));
      expect(samples.map(({ sizes }) => sizes.complete + sizes.fresh).reduce((sum, size) => sum + size)).toBe(1);
    });

    it('passes over peers that another version wrote in another form', async () => {
      const store = await openStore({ keyPrefix: 'form:' });
      await store.report(host(1), reportOf([inSwarm(swarm('f'))]), always(TTL_MS));
      await store.report(host(2), reportOf([inSwarm(swarm('f'))]), always(TTL_MS));
      await redis.command('HSET', `form:host:${peerId(1)}`, ':description', '{"v":2}');
      const [candidates] = await store.sample([{ swarm: swarm('f'), sizes: all }]);
      expect(candidates!.complete.map(({ id }) => id)).toEqual([peerId(2)]);
    });

    it('goes on when redis has forgotten its scripts', async () => {
      const store = await openStore({ keyPrefix: 'scripts:' });
      await store.report(host(1), reportOf([inSwarm(swarm('s'))]), always(TTL_MS));
      await redis.command('SCRIPT', 'FLUSH');
      await store.report(host(2), reportOf([inSwarm(swarm('s'))]), always(TTL_MS));
      await redis.command('SCRIPT', 'FLUSH');
      const [candidates] = await store.sample([{ swarm: swarm('s'), sizes: all }]);
      expect(candidates!.complete).toHaveLength(2);
    });

    it('reports a key of another kind as unavailable, with the reason', async () => {
      const store = await openStore({ keyPrefix: 'kind:' });
      await redis.command('SET', `kind:{${swarm('k')}}:complete`, 'text');
      const call = store.report(host(1), reportOf([inSwarm(swarm('k'))]), always(TTL_MS));
      await expect(call).rejects.toThrow(/WRONGTYPE/);
    });
  });

  describe('RedisPeerStore while redis is away', () => {
    it('opens without redis, fails at once, and is there when redis is', async () => {
      const port = await freePort();
      const store = await openStore({ url: `redis://user:secret-word@127.0.0.1:${port}` });
      const failure = await store
        .report(host(1), reportOf([inSwarm(swarm('a'))]), always(TTL_MS))
        .catch((error) => error);
      expect(failure).toBeInstanceOf(UnavailableError);
      expect(failure.message).toContain(`127.0.0.1:${port}`);
      expect(failure.message).not.toContain('secret-word');
      await expect(store.ready()).rejects.toBeInstanceOf(UnavailableError);
      await expect(store.sample([{ swarm: swarm('a'), sizes: all }])).rejects.toBeInstanceOf(UnavailableError);
      await expect(store.findSwarm(infoHash('a'))).rejects.toBeInstanceOf(UnavailableError);
      await expect(store.removeForeign(infoHash('a'), peerId(1))).rejects.toBeInstanceOf(UnavailableError);
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
      await store.report(host(1), reportOf([inSwarm(swarm('a'))]), always(TTL_MS));
      await own.kill();
      const sample = () => store.sample([{ swarm: swarm('a'), sizes: all }]);
      await expect(sample()).rejects.toBeInstanceOf(UnavailableError);
      await own.restart();
      const [candidates] = await vi.waitFor(sample, { timeout: 10_000, interval: 20 });
      expect(candidates!.complete).toEqual([]);
      await store.report(host(1), reportOf([inSwarm(swarm('a'))]), always(TTL_MS));
      expect((await sample())[0]!.complete).toHaveLength(1);
    });

    it('fails within its time limit while redis hangs, and recovers', async () => {
      const own = await TestRedis.start();
      onTestFinished(() => own.kill());
      const store = await openStore({ url: own.url, timeoutMs: 200 });
      await store.report(host(1), reportOf([inSwarm(swarm('a'))]), always(TTL_MS));
      own.pause();
      const startMs = performance.now();
      await expect(store.ready()).rejects.toThrow(/within 200 ms/);
      expect(performance.now() - startMs).toBeLessThan(2_000);
      own.resume();
      await vi.waitFor(() => store.ready(), { timeout: 10_000, interval: 20 });
    });
  });
});
