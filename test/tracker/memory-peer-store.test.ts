import fc from 'fast-check';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { type Candidates, MemoryPeerStore, peerGroups, type SwarmKey } from '../../src/tracker/index.ts';
import { testLogger } from '../helpers/logger.ts';
import { always, inSwarm, peerStoreContract, reportOf } from './peer-store-contract.ts';
import { FakeClock, host, infoHash, peerId, seededRandom, swarm } from './values.ts';

function makeStore(maxEntries = 100_000, logger = testLogger()) {
  const clock = new FakeClock();
  return { clock, store: new MemoryPeerStore({ clock, random: seededRandom(), logger, maxEntries }) };
}

peerStoreContract('MemoryPeerStore', async () => {
  const { clock, store } = makeStore();
  const pass = async (ms: number) => clock.advance(ms);
  return { store, pass, cleanup: () => store.close(), shortMs: 100 };
});

const all = { origins: 1_000, complete: 1_000, partial: 1_000, fresh: 1_000 };

async function idsIn(store: MemoryPeerStore, key: SwarmKey): Promise<string[]> {
  const [candidates] = await store.sample([{ swarm: key, sizes: all }]);
  return peerGroups.flatMap((group) => candidates![group].map(({ id }) => id as string)).sort();
}

describe('MemoryPeerStore', () => {
  it('lets hosts go that would expire first when it is full, with all that they have, and says so once', async () => {
    const lines: string[] = [];
    const { clock, store } = makeStore(4, pino({ level: 'warn' }, { write: (line: string) => lines.push(line) }));
    const [a, b] = [swarm('a'), swarm('b')];
    const put = (number: number, keys: (typeof a)[], ttlMs: number) => {
      const joined = keys.map((key) => inSwarm(key));
      return store.report(host(number), reportOf(joined, { sequence: 1, full: true }), always(ttlMs));
    };
    await put(1, [a], 10_000);
    await put(2, [a, b], 1_000);
    clock.advance(1);
    await put(3, [b], 1_000);
    await put(4, [b], 1_000);
    await put(5, [a, b], 10_000);
    expect(await idsIn(store, a)).toEqual([peerId(1), peerId(5)].sort());
    expect(await idsIn(store, b)).toEqual([peerId(4), peerId(5)].sort());
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('peerStore.maxEntries');
    // Whoever had to go is asked for everything when it comes again.
    expect(await store.report(host(2), reportOf([], { sequence: 2, since: 1 }), always(1_000))).toBe('unknown');
  });

  it('keeps a bounded number of hosts without swarms', async () => {
    const { store } = makeStore(10);
    for (let number = 0; number < 30; number++) {
      await store.report(host(number), reportOf([], { sequence: 1, full: true }), always(1_000));
    }
    const known = await Promise.all(
      Array.from({ length: 30 }, (_, number) => {
        return store.report(host(number), reportOf([], { sequence: 2, since: 1 }), always(1_000));
      }),
    );
    expect(known.filter((outcome) => outcome !== 'unknown')).toHaveLength(10);
  });

  it('keeps nothing of swarms and peers that are gone', async () => {
    const { clock, store } = makeStore();
    for (let round = 0; round < 20; round++) {
      const joined = Array.from({ length: 50 }, (_, index) => {
        return inSwarm(swarm(`${round} ${index}`), 0, infoHash(`${round} ${index}`));
      });
      await store.report(host(round, { zone: `z${round}` }), reportOf(joined), always(1_000));
      clock.advance(600);
    }
    expect(await store.size()).toEqual({ swarms: 50, peers: 1 });
    clock.advance(1_000);
    expect(await store.size()).toEqual({ swarms: 0, peers: 0 });
    expect(await store.findSwarm(infoHash('19 1'))).toBeUndefined();
  });

  it('costs as much for a swarm of 100,000 as for one of 100', { timeout: 60_000 }, async () => {
    const { store } = makeStore(1_000_000);
    const report = (number: number, key: SwarmKey, eighths: number) =>
      store.report(host(number), reportOf([inSwarm(key as never, eighths)]), always(60_000));
    for (let number = 0; number < 100_000; number++) {
      await report(number, swarm('large'), (number % 2) * 8);
      if (number < 100) await report(number, swarm('small'), (number % 2) * 8);
    }
    const announces = async (name: string) => {
      const startMs = performance.now();
      for (let round = 0; round < 500; round++) {
        await report(round % 100, swarm(name), 0);
        await store.sample([{ swarm: swarm(name), sizes: { origins: 10, complete: 10, partial: 10, fresh: 10 } }]);
      }
      return performance.now() - startMs;
    };
    await announces('small');
    const small = Math.min(await announces('small'), await announces('small'), await announces('small'));
    const large = Math.min(await announces('large'), await announces('large'), await announces('large'));
    // A scan would be a thousand times as long; the machine's other work is not.
    expect(large).toBeLessThan(20 * small + 20);
  });

  it.each([
    [0, 1, 2, 3],
    [3, 2, 1, 0],
    [0, 3, 1, 2],
    [1, 0, 3, 2],
  ])('keeps the others whole when peers leave in the order %i, %i, %i, %i', async (...order) => {
    const { store } = makeStore();
    for (let number = 0; number < 5; number++) {
      const zone = number % 2 === 0 ? 'even' : undefined;
      await store.report(host(number, { zone }), reportOf([inSwarm(swarm('a'), 0)]), always(1_000));
    }
    const left = new Set([0, 1, 2, 3, 4]);
    for (const number of order) {
      await store.report(host(number), reportOf([], { left: [swarm('a')] }), always(1_000));
      left.delete(number);
      expect(await idsIn(store, swarm('a'))).toEqual([...left].map(peerId).sort());
    }
  });

  it('agrees with a plain list of who said what until when', async () => {
    const places = fc.uniqueArray(fc.nat(2), { maxLength: 3 });
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('report' as const),
        peer: fc.nat(9),
        joined: places,
        left: places,
        full: fc.boolean(),
        eighths: fc.constantFrom(0, 4, 8),
        origin: fc.constantFrom(false, false, false, true),
        zone: fc.constantFrom(undefined, 'x', 'y'),
        ttlMs: fc.constantFrom(100, 1_000),
      }),
      fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(200) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80, size: 'max' }), async (steps) => {
        const { clock, store } = makeStore();
        const model = new Map<
          number,
          { until: number; zone: string | undefined; origin: boolean; in: Map<number, number> }
        >();
        for (const action of steps) {
          if (action.kind === 'pass') clock.advance(action.ms);
          for (const [peer, { until }] of model) if (until <= clock.monotonicMs()) model.delete(peer);
          if (action.kind === 'report') {
            const { peer, joined, full, eighths, origin, zone, ttlMs } = action;
            const left = action.left.filter((name) => !joined.includes(name));
            const report = reportOf(
              joined.map((name) => inSwarm(swarm(name), eighths)),
              { left: left.map((name) => swarm(name)), full },
            );
            await store.report(host(peer, { origin, zone }), report, always(ttlMs));
            const entries = full ? new Map<number, number>() : (model.get(peer)?.in ?? new Map<number, number>());
            for (const name of left) entries.delete(name);
            for (const name of joined) entries.set(name, eighths);
            model.set(peer, { until: clock.monotonicMs() + ttlMs, zone, origin, in: entries });
          }
          const zoned = { zone: 'x', count: 100 };
          const samples = await store.sample([0, 1, 2].map((name) => ({ swarm: swarm(name), sizes: all, zoned })));
          const textOf = (id: string, group: string, zone = 'none') => `${id} ${group} ${zone}`;
          const found = samples.map((sample: Candidates) =>
            peerGroups.flatMap((group) => sample[group].map(({ id, zone }) => textOf(id, group, zone))).sort(),
          );
          const expected = [0, 1, 2].map((name) =>
            [...model]
              .filter(([, known]) => known.in.has(name))
              .flatMap(([peer, known]) => {
                const agents = { 0: 'fresh', 4: 'partial', 8: 'complete' }[known.in.get(name)!]!;
                const text = textOf(peerId(peer), known.origin ? 'origins' : agents, known.zone);
                // Agents of the zone that was asked for are drawn a second time.
                return known.zone === 'x' && !known.origin ? [text, text] : [text];
              })
              .sort(),
          );
          expect(found).toEqual(expected);
          expect(samples.map(({ sizes }) => Object.values(sizes).reduce((sum, size) => sum + size))).toEqual(
            [0, 1, 2].map((name) => [...model.values()].filter((known) => known.in.has(name)).length),
          );
        }
      }),
      { numRuns: 150 },
    );
  });
});
