import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { hashBytes, lengthOfPiece, type Metainfo, swarmIdOf } from '../../src/core/index.ts';
import type { PieceSource } from '../../src/swarm/index.ts';
import { clusterSecret, LocalTracker, makeBlob, readBlob, seedOn, startHost } from './swarm-fixture.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

describe('a thousand blobs at once', () => {
  const BLOBS = 1_000;

  it('reach two hosts over one port each, with few announces and bounded memory', { timeout: 240_000 }, async () => {
    const tracker = new LocalTracker();
    tracker.intervalMs = 5_000;
    // All three have the same address, and the seed is the only one that a blob can come from at first.
    const config = { idleSeconds: 1, maxConnections: 1_000, maxConnectionsPerAddress: 1_000, acceptsPerSecond: 1_000 };
    const seed = await startHost(tracker, { origin: true, config });
    const hosts = await Promise.all([1, 2].map(() => startHost(tracker, { config })));
    const blobs: Awaited<ReturnType<typeof makeBlob>>[] = [];
    for (let index = 0; index < BLOBS; index++) {
      const blob = await makeBlob(65_536 + 1 + index);
      await seedOn(seed, blob);
      blobs.push(blob);
    }
    const before = process.memoryUsage.rss();
    const announcesBefore = tracker.announces;
    let peak = 0;
    let open = 0;
    const timer = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage.rss());
      open = Math.max(open, ...hosts.map((host) => host.swarm.statistics().downloads));
    }, 20);
    const fetchAll = async (host: (typeof hosts)[number]) => {
      await Promise.all(blobs.map(async ({ metainfo }) => (await host.swarm.fetch(metainfo)).finished));
    };
    await Promise.all(hosts.map(fetchAll));
    clearInterval(timer);
    for (const { swarm } of hosts) {
      await expect.poll(() => swarm.statistics().seeding).toBe(BLOBS);
      expect(swarm.statistics().downloads).toBe(0);
      const { receivedFromPeersBytes, receivedFromOriginsBytes, wastedBytes } = swarm.statistics();
      const total = blobs.reduce((sum, { bytes }) => sum + bytes.length, 0);
      const received = receivedFromPeersBytes + receivedFromOriginsBytes;
      expect(received).toBeGreaterThanOrEqual(total);
      expect(received).toBeLessThanOrEqual(1.03 * total);
      expect(wastedBytes).toBeLessThanOrEqual(0.03 * total);
    }
    for (const blob of [blobs[0]!, blobs[499]!, blobs[999]!]) {
      expect((await readBlob(hosts[0]!, blob.digest)).equals(blob.bytes)).toBe(true);
    }
    // At most 250 downloads a host are open (`maxDownloads`), 25 KB of heap each. Two hosts and the seed share this process:
    // most of what is measured here is the piece memory of three stores, and garbage.
    expect(open).toBeLessThanOrEqual(250);
    expect(peak - before).toBeLessThan(600 * MIB);
    // What changes within 20 ms goes out together, and a blob that has become whole waits for others.
    expect(tracker.announces - announcesBefore).toBeLessThan(1.5 * BLOBS);

    // Nobody asks any more: all are unloaded, and one is loaded again when a peer asks for it.
    await expect.poll(() => seed.swarm.statistics().loaded, { timeout: 15_000 }).toBe(0);
    await hosts[1]!.stop();
    await hosts[0]!.stop();
    const late = await startHost(tracker);
    const wanted = blobs[700]!;
    await (await late.swarm.fetch(wanted.metainfo)).finished;
    expect((await readBlob(late, wanted.digest)).equals(wanted.bytes)).toBe(true);
    expect(seed.swarm.statistics().loaded).toBe(1);
  });

  it('wait for their turn when more are fetched than may be at once', async () => {
    const tracker = new LocalTracker();
    const host = await startHost(tracker, { config: { maxDownloads: 2 } });
    const blobs = await Promise.all([1, 2, 3].map(() => makeBlob(100_000)));
    const [first, second] = await Promise.all(blobs.slice(0, 2).map(({ metainfo }) => host.swarm.fetch(metainfo)));
    const third = host.swarm.fetch(blobs[2]!.metainfo);
    expect(host.swarm.fetch(blobs[2]!.metainfo)).toBe(third);
    expect(host.swarm.find(blobs[2]!.digest)).toBeUndefined();
    await first!.cancel(new Error('enough'));
    expect((await third).metainfo.digest).toBe(blobs[2]!.digest);
    expect(host.swarm.statistics().downloads).toBe(2);
    await second!.cancel(new Error('enough'));
  });

  it('that still wait when the host stops are rejected', async () => {
    const host = await startHost(new LocalTracker(), { config: { maxDownloads: 1 } });
    const [first, second] = await Promise.all([makeBlob(100_000), makeBlob(100_000)]);
    await host.swarm.fetch(first.metainfo);
    const waiting = expect(host.swarm.fetch(second.metainfo)).rejects.toThrow('closing');
    await host.stop();
    await waiting;
  });
});

describe('a blob that nobody has asked for', () => {
  it('is offered no more by an agent after a while, and again once it is read', async () => {
    const tracker = new LocalTracker();
    const host = await startHost(tracker, { config: { seedIdleSeconds: 1 } });
    const blob = await makeBlob(100_000);
    const id = swarmIdOf(blob.metainfo, clusterSecret);
    await seedOn(host, blob);
    await expect.poll(() => tracker.swarms.get(id)?.size).toBe(1);
    await expect.poll(() => tracker.swarms.get(id)?.size, { timeout: 5_000 }).toBe(0);
    host.swarm.used(blob.digest);
    await expect.poll(() => tracker.swarms.get(id)?.size).toBe(1);
    const other = await startHost(tracker);
    await (await other.swarm.fetch(blob.metainfo)).finished;
  });

  it('is offered by an origin for good', async () => {
    const tracker = new LocalTracker();
    const origin = await startHost(tracker, { origin: true, config: { seedIdleSeconds: 1 } });
    const blob = await makeBlob(100_000);
    await seedOn(origin, blob);
    const agent = await startHost(tracker, { config: { seedIdleSeconds: 1 } });
    const other = await makeBlob(100_000);
    await seedOn(agent, other);
    await expect.poll(() => agent.swarm.statistics().seeding, { timeout: 5_000 }).toBe(0);
    expect(origin.swarm.statistics().seeding).toBe(1);
  });
});

describe('a blob of 100 GiB', () => {
  const LENGTH = 100 * GIB;
  const PIECE_LENGTH = 4 * MIB;
  const PIECES = LENGTH / PIECE_LENGTH;
  const DISTINCT = 16;

  /** Bytes that are made when they are asked for: piece i is full of i modulo 16. */
  const source: PieceSource = {
    async read(offset, length) {
      return Buffer.alloc(length, Math.floor(offset / PIECE_LENGTH) % DISTINCT);
    },
    async close() {},
  };

  function makeMetainfo(): Metainfo {
    const hashes = (algorithm: string) => {
      const each = Array.from({ length: DISTINCT }, (_, value) =>
        createHash(algorithm).update(Buffer.alloc(PIECE_LENGTH, value)).digest(),
      );
      return Buffer.concat(Array.from({ length: PIECES }, (_, piece) => each[piece % DISTINCT]!));
    };
    const digest = hashBytes(Buffer.from('a name for bytes that nobody has ever hashed'));
    return { digest, length: LENGTH, pieceLength: PIECE_LENGTH, sha1: hashes('sha1'), sha256: hashes('sha256') };
  }

  it('is read here and there, and goes on from a host that has some of it', { timeout: 120_000 }, async () => {
    const tracker = new LocalTracker();
    const metainfo = makeMetainfo();
    expect(lengthOfPiece(PIECES - 1, LENGTH, PIECE_LENGTH)).toBe(PIECE_LENGTH);
    const config = { egressBytesPerSecond: 60 * MIB };
    const origin = await startHost(tracker, { origin: true, config });
    origin.swarm.seed(metainfo, source);
    const room = { capacityBytes: 200 * GIB, config: { ingressBytesPerSecond: 40 * MIB } };
    const first = await startHost(tracker, room);
    const download = await first.swarm.fetch(metainfo);
    for (const piece of [20_000, PIECES - 1, 9]) {
      const range = { offset: piece * PIECE_LENGTH + 1_000, length: 100_000 };
      const reader = download.openReader(range);
      await download.waitFor(range);
      expect(await download.read(range.offset, 3)).toEqual(Buffer.alloc(3, piece % DISTINCT));
      reader.close();
    }
    await origin.stop();
    const second = await startHost(tracker, room);
    const onwards = await second.swarm.fetch(metainfo);
    for (const piece of [20_000, PIECES - 1]) await onwards.waitFor({ offset: piece * PIECE_LENGTH, length: 1 });
    expect(second.swarm.statistics().receivedFromOriginsBytes).toBe(0);
    expect(onwards.progress().verifiedBytes).toBeLessThanOrEqual(download.progress().verifiedBytes);
  });
});
