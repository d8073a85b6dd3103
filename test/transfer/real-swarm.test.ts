import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { encodeMetainfo, parseRepository } from '../../src/core/index.ts';
import { ReadOnlyTransferer } from '../../src/transfer/index.ts';
import { testLogger } from '../helpers/logger.ts';
import { LocalTracker, startHost } from '../swarm/swarm-fixture.ts';
import { addLayer, seededBytes, startCluster } from './stand-in-cluster.ts';

const app = parseRepository('team/app');
const LENGTH = 5 * 1024 * 1024 + 123;

describe('ReadOnlyTransferer on a real swarm', () => {
  it('brings a blob to several agents at once, by peers and not over HTTP, for several readers each', async () => {
    const { cluster, announcer, bytes, digest } = await scene();
    const seeder = await startHost(announcer, { origin: true });
    await seeder.castore.blobs.put(digest, bytes);
    const metainfo = await cluster.origin.metainfo(digest);
    await seeder.castore.blobs.putMetainfo(digest, encodeMetainfo(metainfo));
    seeder.swarm.seed(metainfo);
    const agents = await Promise.all([1, 2, 3].map(() => startAgent(cluster, announcer)));
    const range = { offset: LENGTH - 200_000, length: 150_000 };
    const reads = agents.flatMap(({ transferer }) => [
      transferer.open(app, digest, undefined).then(buffer),
      transferer.open(app, digest, undefined).then(buffer),
      transferer.open(app, digest, range).then(buffer),
    ]);
    const [whole, again, part] = await Promise.all(reads);
    expect(whole!.equals(bytes)).toBe(true);
    expect(again!.equals(bytes)).toBe(true);
    expect(part!.equals(bytes.subarray(range.offset, range.offset + range.length))).toBe(true);
    for (const { transferer, host } of agents) {
      const { fromPeersBytes, fromOriginsBytes, suppliedBytes, recent } = transferer.statistics();
      expect(suppliedBytes).toBe(0);
      expect(fromPeersBytes + fromOriginsBytes).toBeGreaterThanOrEqual(LENGTH);
      expect(recent.map((download) => download.digest)).toEqual([digest]);
      await expect.poll(() => host.castore.blobs.find(digest)).toMatchObject({ sizeBytes: LENGTH });
    }
    expect(cluster.origin.ranges).toEqual([]);
  });

  it('reads a blob that no peer has from the origins over HTTP, and keeps it', async () => {
    const { cluster, announcer, bytes, digest } = await scene();
    const { transferer, host } = await startAgent(cluster, announcer, { firstByteBudgetMs: 20, nextPieceBudgetMs: 20 });
    const whole = await buffer(await transferer.open(app, digest, undefined));
    expect(whole.equals(bytes)).toBe(true);
    expect(transferer.statistics()).toMatchObject({ fromPeersBytes: 0, fromOriginsBytes: 0 });
    await expect.poll(() => host.castore.blobs.find(digest)).toMatchObject({ sizeBytes: LENGTH });
    expect(cluster.origin.ranges.length).toBeLessThan(40);
  });

  it('goes on over HTTP when the only peer leaves in the middle', async () => {
    const { cluster, announcer, bytes, digest } = await scene();
    const seeder = await startHost(announcer, { origin: true, config: { egressBytesPerSecond: 1_000_000 } });
    await seeder.castore.blobs.put(digest, bytes);
    seeder.swarm.seed(await cluster.origin.metainfo(digest));
    const { transferer } = await startAgent(cluster, announcer, { nextPieceBudgetMs: 200 });
    const stream = await transferer.open(app, digest, undefined);
    const chunks: Buffer[] = [];
    for await (const chunk of stream) {
      if (chunks.length === 3) await seeder.stop();
      chunks.push(chunk as Buffer);
    }
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
    const { fromOriginsBytes, suppliedBytes } = transferer.statistics();
    expect(fromOriginsBytes).toBeGreaterThan(0);
    expect(suppliedBytes).toBeGreaterThan(0);
  });
});

async function scene() {
  const cluster = await startCluster();
  const bytes = seededBytes(LENGTH);
  return { cluster, bytes, digest: addLayer(cluster, app, bytes), announcer: new LocalTracker() };
}

async function startAgent(
  cluster: Awaited<ReturnType<typeof startCluster>>,
  announcer: LocalTracker,
  budgets: { firstByteBudgetMs?: number; nextPieceBudgetMs?: number } = {},
) {
  const host = await startHost(announcer);
  const { castore, swarm } = host;
  const options = { firstByteBudgetMs: 20_000, nextPieceBudgetMs: 20_000, ...budgets, proxyHint: 'proxy' };
  return { host, transferer: new ReadOnlyTransferer({ ...cluster, castore, swarm, logger: testLogger() }, options) };
}
