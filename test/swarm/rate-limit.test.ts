import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TokenBucket } from '../../src/swarm/wire/rate-limit.ts';
import { messages, numbers, RawPeer } from './raw-peer.ts';
import { startWireHost, type WireHost } from './wire-fixture.ts';

const MB = 1_000_000;
const PIECE = 64 * 1024;
const none = { egressBytesPerSecond: 0, ingressBytesPerSecond: 0, seedingEgressBytesPerSecond: 0 };

describe('TokenBucket', () => {
  it('lets pass what the rate allows, whatever the sizes and the times of the looks', () => {
    const step = fc.record({ waitMs: fc.integer({ min: 0, max: 40 }), bytes: fc.integer({ min: 1, max: 131_072 }) });
    fc.assert(
      fc.property(
        fc.integer({ min: 10_000, max: 50 * MB }),
        fc.array(step, { minLength: 1, maxLength: 200 }),
        (rate, steps) => {
          let nowMs = 0;
          let passed = 0;
          const bucket = new TokenBucket(() => nowMs);
          bucket.setRate(rate);
          for (const { waitMs, bytes } of steps) {
            nowMs += waitMs;
            if (bucket.waitMs() > 0) continue;
            bucket.take(bytes);
            passed += bytes;
            // The last one may go into debt; nothing else is over the rate.
            expect(passed - bytes).toBeLessThanOrEqual((nowMs * rate) / 1000 + 1);
          }
        },
      ),
    );
  });

  it('passes again after as long as it says', () => {
    let nowMs = 0;
    const bucket = new TokenBucket(() => nowMs);
    bucket.setRate(MB);
    nowMs = 1;
    expect(bucket.waitMs()).toBe(0);
    bucket.take(101_000);
    expect(bucket.waitMs()).toBe(100);
    nowMs += 99;
    expect(bucket.waitMs()).toBe(1);
    nowMs += 2;
    expect(bucket.waitMs()).toBe(0);
  });

  it('limits nothing without a rate, and takes a new one at once', () => {
    let nowMs = 0;
    const bucket = new TokenBucket(() => nowMs);
    bucket.take(10 * MB);
    expect([bucket.waitMs(), bucket.available()]).toEqual([0, Number.POSITIVE_INFINITY]);
    bucket.setRate(MB);
    nowMs = 10;
    bucket.take(1_010_000);
    expect(bucket.waitMs()).toBe(1_000);
    bucket.setRate(10 * MB);
    expect(bucket.waitMs()).toBe(100);
    bucket.setRate(0);
    expect(bucket.waitMs()).toBe(0);
  });
});

const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** A machine that has no time for the test cannot keep a rate: so many windows are looked at, and one has to fit. */
const WINDOWS = 6;

/**
 * Looks at counts, a number a wire, until what was added in one window is within 5 % of the rate and shared fairly between
 * the wires; what was added from the first window to the last never is over the rate. `grain` is how much of a wire can come
 * at once, a little before or after a window's end.
 */
async function expectRate(options: { counts: () => number[]; rate: number; grain: number; ms: number }): Promise<void> {
  const { counts, rate, grain, ms } = options;
  const tries: unknown[] = [];
  const first = counts();
  const firstMs = performance.now();
  for (let window = 0; window < WINDOWS; window++) {
    const [before, startMs] = [counts(), performance.now()];
    await wait(ms);
    const seconds = (performance.now() - startMs) / 1000;
    const each = counts().map((count, index) => count - before[index]!);
    const sum = each.reduce((all, count) => all + count, 0);
    const fair = sum / each.length;
    const off = Math.max(0, Math.abs(sum - rate * seconds) - grain * each.length) / (rate * seconds);
    const unfair = Math.max(...each.map((count) => Math.max(0, Math.abs(count - fair) - 2 * grain))) / fair;
    if (off <= 0.05 && unfair <= 0.1) break;
    tries.push({ off, unfair });
  }
  expect(tries.length, JSON.stringify(tries)).toBeLessThan(WINDOWS);
  const all = counts().reduce((sum, count, index) => sum + count - first[index]!, 0);
  // Half a second is what a bucket saves up at most for those that wait.
  const seconds = (performance.now() - firstMs) / 1000 + 0.5;
  expect(all).toBeLessThan(1.05 * rate * seconds + grain * first.length);
}

/** Counts what comes out of sockets. */
function countBytes(peers: readonly RawPeer[]): () => number[] {
  const counts = peers.map(() => 0);
  peers.forEach((peer, index) => {
    peer.socket.on('data', (chunk) => {
      counts[index]! += chunk.length;
    });
  });
  return () => [...counts];
}

/** Peers that ask a seed for one block after the other, as fast as they come. */
async function startTakers(seed: WireHost, count: number): Promise<RawPeer[]> {
  const peers: RawPeer[] = [];
  for (let index = 0; index < count; index++) {
    const peer = await RawPeer.dial(seed.transport.port, seed.id);
    peer.send(messages.interested);
    await peer.expect(messages.unchoke);
    let next = 0;
    let bytes = 0;
    const ask = () => peer.send(messages.request, numbers(next++ % seed.owner.count, 0, PIECE));
    // Only counted: taking messages apart would be slower than what is measured here.
    peer.socket.removeAllListeners('data');
    peer.socket.on('data', (chunk) => {
      for (bytes += chunk.length; bytes >= PIECE + 13; bytes -= PIECE + 13) ask();
    });
    for (let outstanding = 0; outstanding < 16; outstanding++) ask();
    peers.push(peer);
  }
  return peers;
}

describe('the egress limit', { timeout: 60_000 }, () => {
  it.each([
    [1, 3, 3_000],
    [10, 4, 1_000],
    [50, 3, 1_000],
  ])('keeps %i MB/s over %i wires, seen from the other ends, and shares it fairly', async (rate, wires, ms) => {
    const seed = await startWireHost({ blob: randomBytes(64 * PIECE), seed: true });
    seed.transport.setLimits({ ...none, egressBytesPerSecond: rate * MB });
    const counts = countBytes(await startTakers(seed, wires));
    await expectRate({ counts, rate: rate * MB, grain: PIECE, ms });
  });

  it('takes a change at once, and has another one for background seeding', async () => {
    const blob = randomBytes(64 * PIECE);
    const seed = await startWireHost({ blob, seed: true, background: true });
    seed.transport.setLimits({ ...none, egressBytesPerSecond: 20 * MB, seedingEgressBytesPerSecond: 5 * MB });
    const counts = countBytes(await startTakers(seed, 2));
    await expectRate({ counts, rate: 5 * MB, grain: PIECE, ms: 500 });
    for (const session of seed.owner.sessions) session.background = false;
    await expectRate({ counts, rate: 20 * MB, grain: PIECE, ms: 500 });
    seed.transport.setLimits({ ...none, egressBytesPerSecond: 2 * MB });
    await expectRate({ counts, rate: 2 * MB, grain: PIECE, ms: 500 });
  });
});

describe('the ingress limit', { timeout: 60_000 }, () => {
  it.each([
    [1, 3, 3_000],
    [10, 4, 1_000],
    [50, 3, 500],
  ])('keeps %i MB/s over %i wires, and shares it fairly', async (rate, wires, ms) => {
    const blob = randomBytes(64 * PIECE);
    const fetcher = await startWireHost({ blob, seed: false });
    fetcher.transport.setLimits({ ...none, ingressBytesPerSecond: rate * MB });
    fetcher.owner.onUnchokedHook = (session) => {
      for (let piece = 0; piece < 64; piece++) session.request(piece);
    };
    // Each sends without end; what nobody asked for counts at the socket like everything else.
    const block = Buffer.concat([numbers(9 + PIECE), Buffer.of(messages.piece), numbers(0, 0), Buffer.alloc(PIECE)]);
    const each = new Map<unknown, number>();
    fetcher.owner.onBlock = (session, bytes) => {
      each.set(session, (each.get(session) ?? 0) + bytes + 13);
    };
    for (let index = 0; index < wires; index++) {
      const peer = await RawPeer.dial(fetcher.transport.port, fetcher.id);
      peer.send(messages.haveAll);
      peer.send(messages.unchoke);
      const pump = () => {
        while (!peer.socket.destroyed) if (!peer.socket.write(block)) return void peer.socket.once('drain', pump);
      };
      pump();
    }
    await expect.poll(() => each.size).toBe(wires);
    await expectRate({ counts: () => [...each.values()], rate: rate * MB, grain: PIECE, ms });
  });
});
