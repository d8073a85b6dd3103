import fc from 'fast-check';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { MemoryPeerStore } from '../../src/tracker/index.ts';
import { testLogger } from '../helpers/logger.ts';
import { peerStoreContract } from './peer-store-contract.ts';
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

const all = { origins: 1_000, complete: 1_000, incomplete: 1_000 };

describe('MemoryPeerStore', () => {
  it('lets those go that would expire first when it is full, and says so once', async () => {
    const lines: string[] = [];
    const { clock, store } = makeStore(3, pino({ level: 'warn' }, { write: (line: string) => lines.push(line) }));
    await store.put(host(1), [{ swarm: swarm('a'), complete: false }], 10_000);
    await store.put(host(2), [{ swarm: swarm('a'), complete: false }], 1_000);
    clock.advance(1);
    await store.put(host(3), [{ swarm: swarm('b'), complete: false }], 1_000);
    await store.put(host(4), [{ swarm: swarm('b'), complete: false }], 1_000);
    await store.put(host(5), [{ swarm: swarm('b'), complete: false }], 10_000);
    const [a, b] = await store.sample([
      { swarm: swarm('a'), ...all },
      { swarm: swarm('b'), ...all },
    ]);
    expect(a!.incomplete.map(({ id }) => id)).toEqual([peerId(1)]);
    expect(b!.incomplete.map(({ id }) => id).sort()).toEqual([peerId(4), peerId(5)].sort());
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('peerStore.maxEntries');
  });

  it('keeps nothing of swarms and peers that are gone', async () => {
    const { clock, store } = makeStore();
    for (let round = 0; round < 20; round++) {
      const reports = Array.from({ length: 50 }, (_, index) => {
        const name = `${round} ${index}`;
        return { swarm: swarm(name), complete: false, infoHash: infoHash(name) };
      });
      await store.put(host(round), reports, 1_000);
      clock.advance(600);
    }
    expect(await store.size()).toEqual({ swarms: 50, peers: 1 });
    clock.advance(1_000);
    expect(await store.size()).toEqual({ swarms: 0, peers: 0 });
    expect(await store.findSwarm(infoHash('19 1'))).toBeUndefined();
  });

  it('costs as much for a swarm of 100,000 as for one of 100', { timeout: 60_000 }, async () => {
    const { store } = makeStore(1_000_000);
    for (let number = 0; number < 100_000; number++) {
      await store.put(host(number), [{ swarm: swarm('large'), complete: number % 2 === 0 }], 60_000);
      if (number < 100) await store.put(host(number), [{ swarm: swarm('small'), complete: number % 2 === 0 }], 60_000);
    }
    const announces = async (name: string) => {
      const startMs = performance.now();
      for (let round = 0; round < 500; round++) {
        await store.put(host(round % 100), [{ swarm: swarm(name), complete: false }], 60_000);
        await store.sample([{ swarm: swarm(name), origins: 10, complete: 10, incomplete: 10 }]);
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
      await store.put(host(number), [{ swarm: swarm('a'), complete: false }], 1_000);
    }
    const left = new Set([0, 1, 2, 3, 4]);
    for (const number of order) {
      await store.remove(peerId(number), [swarm('a')]);
      left.delete(number);
      const [candidates] = await store.sample([{ swarm: swarm('a'), ...all }]);
      expect(candidates!.incomplete.map(({ id }) => id).sort()).toEqual([...left].map(peerId).sort());
    }
  });

  it('agrees with a plain list of who said what until when', async () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('put' as const),
        peer: fc.nat(9),
        swarms: fc.array(fc.nat(2), { maxLength: 3 }),
        complete: fc.boolean(),
        origin: fc.constantFrom(false, false, false, true),
        ttlMs: fc.constantFrom(100, 1_000),
      }),
      fc.record({
        kind: fc.constant('remove' as const),
        peer: fc.nat(9),
        swarms: fc.array(fc.nat(2), { maxLength: 3 }),
      }),
      fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(200) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80, size: 'max' }), async (steps) => {
        const { clock, store } = makeStore();
        const model = new Map<string, { until: number; text: string }>();
        for (const action of steps) {
          if (action.kind === 'pass') clock.advance(action.ms);
          else if (action.kind === 'remove') {
            await store.remove(peerId(action.peer), action.swarms.map(swarm));
            for (const name of action.swarms) model.delete(`${name} ${action.peer}`);
          } else {
            const { peer, complete, origin, ttlMs } = action;
            const reports = action.swarms.map((name) => ({ swarm: swarm(name), complete }));
            await store.put(host(peer, { origin }), reports, ttlMs);
            const text = `${peerId(peer)} ${origin ? 'origins' : complete ? 'complete' : 'incomplete'}`;
            for (const name of action.swarms)
              model.set(`${name} ${peer}`, { until: clock.monotonicMs() + ttlMs, text });
          }
          for (const [key, { until }] of model) if (until <= clock.monotonicMs()) model.delete(key);
          const samples = await store.sample([0, 1, 2].map((name) => ({ swarm: swarm(name), ...all })));
          const found = samples.map((sample) =>
            Object.entries(sample)
              .flatMap(([group, peers]: [string, readonly { id: string }[]]) => peers.map(({ id }) => `${id} ${group}`))
              .sort(),
          );
          const expected = [0, 1, 2].map((name) =>
            [...model]
              .filter(([key]) => key.startsWith(`${name} `))
              .map(([, { text }]) => text)
              .sort(),
          );
          expect(found).toEqual(expected);
        }
      }),
      { numRuns: 150 },
    );
  });
});
