import { buffer } from 'node:stream/consumers';
import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import {
  BlobNotFoundError,
  type Clock,
  type Digest,
  DigestMismatchError,
  hashBytes,
  InvalidRangeError,
  NoSpaceError,
  parseRepository,
  parseTag,
  ReadOnlyError,
  type Repository,
  TagNotFoundError,
  UnavailableError,
} from '../../src/core/index.ts';
import { type ReadOnlyTransferConfig, ReadOnlyTransferer } from '../../src/transfer/index.ts';
import { testLogger } from '../helpers/logger.ts';
import { ScriptedSwarm } from './scripted-swarm.ts';
import { addLayer, type StandInCluster, seededBytes, startCluster } from './stand-in-cluster.ts';

const app = parseRepository('team/app');
const other = parseRepository('team/other');
const LARGE = 300 * 1024;
const QUICK = { firstByteBudgetMs: 10, nextPieceBudgetMs: 10 };

describe('ReadOnlyTransferer: blobs', () => {
  it('tells a cold blob by one request to the cluster, and not a byte of it', async () => {
    const { cluster, transferer } = await scene();
    const digest = addLayer(cluster, app, seededBytes(LARGE));
    expect(await transferer.stat(app, digest)).toEqual({ sizeBytes: LARGE, links: ['layer'] });
    expect(await transferer.hasLink(app, 'layer', digest)).toBe(true);
    expect(await transferer.stat(app, digest)).toEqual({ sizeBytes: LARGE, links: ['layer'] });
    expect(cluster.requests()).toEqual(['GET /v1/blob']);
  });

  it('joins questions about one blob that are asked at once', async () => {
    const { cluster, transferer } = await scene();
    const digest = addLayer(cluster, app, seededBytes(LARGE));
    await Promise.all([1, 2, 3, 4].map(() => transferer.stat(app, digest)));
    expect(cluster.requests()).toEqual(['GET /v1/blob']);
  });

  it('brings a large blob by the swarm, and serves it from the store the next time', async () => {
    const { cluster, transferer, swarm } = await scene();
    const bytes = seededBytes(LARGE);
    const digest = addLayer(cluster, app, bytes);
    expect(await read(transferer, app, digest)).toEqual(bytes);
    expect(swarm.fetched).toEqual([digest]);
    expect(cluster.requests()).toEqual(['GET /v1/blob', `GET /v1/blobs/${digest}/metainfo`]);
    expect(await read(transferer, app, digest)).toEqual(bytes);
    expect(swarm.fetched).toEqual([digest]);
    const statistics = transferer.statistics();
    expect(statistics).toMatchObject({ fromPeersBytes: LARGE, cacheBytes: LARGE, suppliedBytes: 0, running: 0 });
    expect(statistics.recent).toEqual([
      expect.objectContaining({ digest, lengthBytes: LARGE, fromPeersBytes: LARGE, wastedBytes: 0 }),
    ]);
  });

  it('serves a small blob out of its metainfo answer, and keeps it', async () => {
    const { cluster, transferer, swarm } = await scene();
    const bytes = seededBytes(1000);
    const digest = addLayer(cluster, app, bytes);
    expect(await read(transferer, app, digest)).toEqual(bytes);
    expect(await read(transferer, app, digest, { offset: 10, length: 20 })).toEqual(bytes.subarray(10, 30));
    expect(swarm.fetched).toEqual([]);
    await transferer.close();
    expect(await cluster.castore.blobs.findMetainfo(digest)).toBeDefined();
    expect(await read(transferer, app, digest)).toEqual(bytes);
    expect(cluster.origin.ranges).toEqual([]);
  });

  it('serves a blob of no bytes without asking anybody for it', async () => {
    const { cluster, transferer } = await scene();
    const digest = addLayer(cluster, app, Buffer.alloc(0));
    expect(await read(transferer, app, digest)).toEqual(Buffer.alloc(0));
    expect(cluster.requests()).toEqual(['GET /v1/blob']);
  });

  it('serves ranges while the blob is still on its way', async () => {
    const { cluster, transferer, swarm } = await scene();
    const bytes = seededBytes(LARGE);
    const digest = addLayer(cluster, app, bytes);
    swarm.onFetch = (download) => download.bring(2);
    const range = { offset: 2 * 65_536 + 5, length: 1000 };
    expect(await read(transferer, app, digest, range)).toEqual(bytes.subarray(range.offset, range.offset + 1000));
    expect(await read(transferer, app, digest, { offset: LARGE, length: 0 })).toEqual(Buffer.alloc(0));
  });

  it.each([
    ['behind the end', { offset: 1, length: LARGE }],
    ['with a negative offset', { offset: -1, length: 1 }],
    ['with a negative length', { offset: 1, length: -1 }],
    ['with a broken offset', { offset: 0.5, length: 1 }],
    ['with an endless length', { offset: 0, length: Number.POSITIVE_INFINITY }],
  ])('refuses a range %s', async (_name, range) => {
    const { cluster, transferer } = await scene();
    const digest = addLayer(cluster, app, seededBytes(LARGE));
    await expect(transferer.open(app, digest, range)).rejects.toThrow(InvalidRangeError);
  });

  it('does not find a blob that is not linked in the repository, cached bytes or not', async () => {
    const { cluster, transferer } = await scene();
    const digest = addLayer(cluster, app, seededBytes(LARGE));
    await read(transferer, app, digest);
    expect(await cluster.castore.blobs.find(digest)).toBeDefined();
    await expect(transferer.open(other, digest, undefined)).rejects.toThrow(BlobNotFoundError);
    await expect(transferer.stat(other, digest)).rejects.toThrow(BlobNotFoundError);
    expect(await transferer.hasLink(other, 'layer', digest)).toBe(false);
  });

  it('finds a link as soon as it is made, and its removal after the stated time', async () => {
    const { cluster, transferer, clock } = await scene();
    const digest = cluster.origin.add(seededBytes(LARGE));
    expect(await transferer.hasLink(app, 'layer', digest)).toBe(false);
    cluster.index.link(app, 'layer', digest);
    expect(await transferer.hasLink(app, 'layer', digest)).toBe(true);
    expect(await transferer.hasLink(app, 'revision', digest)).toBe(false);
    cluster.index.links.clear();
    expect(await transferer.hasLink(app, 'layer', digest)).toBe(true);
    clock.advance(5_000);
    expect(await transferer.hasLink(app, 'layer', digest)).toBe(false);
    await expect(transferer.open(app, digest, undefined)).rejects.toThrow(BlobNotFoundError);
  });

  it('reads what no peer brings from the origins over HTTP', async () => {
    const { cluster, transferer, swarm } = await scene(QUICK);
    swarm.onFetch = () => {};
    const bytes = seededBytes(LARGE);
    const digest = addLayer(cluster, app, bytes);
    expect(await read(transferer, app, digest)).toEqual(bytes);
    expect(transferer.statistics()).toMatchObject({ fromPeersBytes: 0, suppliedBytes: LARGE });
  });

  it('asks the origins for metainfo when the tracker is down', async () => {
    const { cluster, transferer } = await scene();
    cluster.trackerService.down = true;
    const bytes = seededBytes(LARGE);
    const digest = addLayer(cluster, app, bytes);
    expect(await read(transferer, app, digest)).toEqual(bytes);
    expect(cluster.origin.service.requests).toEqual([`GET /v1/blobs/${digest}/inline`]);
  });

  it('asks the origins for metainfo when the tracker does not say a word', async () => {
    const { cluster, transferer } = await scene({ metainfoHedgeMs: 10 });
    const silence = Promise.withResolvers<void>();
    cluster.trackerService.gate = silence.promise;
    const bytes = seededBytes(LARGE);
    const digest = addLayer(cluster, app, bytes);
    expect(await read(transferer, app, digest)).toEqual(bytes);
    silence.resolve();
  });

  it('does not find a blob whose bytes nobody has', async () => {
    const { cluster, transferer } = await scene();
    const digest = addLayer(cluster, app, seededBytes(LARGE));
    await transferer.stat(app, digest);
    cluster.origin.blobs.clear();
    await expect(transferer.open(app, digest, undefined)).rejects.toThrow(BlobNotFoundError);
  });

  it('reads from the origins when the swarm cannot take the blob', async () => {
    const { cluster, transferer, swarm } = await scene();
    swarm.refuse = new NoSpaceError('the disk is full');
    const bytes = seededBytes(LARGE);
    const digest = addLayer(cluster, app, bytes);
    expect(await read(transferer, app, digest)).toEqual(bytes);
    expect(cluster.origin.ranges).toEqual(['whole']);
    expect(transferer.statistics().suppliedBytes).toBe(LARGE);
  });

  it('gives no end to a blob whose digest does not match, and reads it from the origins the next time', async () => {
    const { cluster, transferer, swarm } = await scene();
    const bytes = seededBytes(LARGE);
    const digest = addLayer(cluster, app, bytes);
    const mismatch = new DigestMismatchError('the metainfo was of other bytes');
    swarm.onFetch = (download) => {
      download.bring(0, 1, 2, 3);
      setImmediate(() => download.fail(mismatch));
    };
    await expect(read(transferer, app, digest)).rejects.toBe(mismatch);
    expect(await read(transferer, app, digest)).toEqual(bytes);
    expect(swarm.fetched).toEqual([digest]);
    expect(cluster.origin.ranges).toEqual(['whole']);
  });

  it('refuses metainfo of another length or digest, and a small blob that is another', async () => {
    const { cluster, transferer } = await scene();
    const small = addLayer(cluster, app, seededBytes(1000));
    const large = addLayer(cluster, app, seededBytes(LARGE));
    const wrong = cluster.origin.add(seededBytes(LARGE, 'another'));
    cluster.origin.metainfoInstead.set(large, await cluster.origin.metainfo(wrong));
    await expect(transferer.open(app, large, undefined)).rejects.toThrow(`expected ${large}`);
    await transferer.stat(app, small);
    const metainfo = await cluster.origin.metainfo(small);
    cluster.origin.metainfoInstead.set(small, metainfo);
    cluster.origin.blobs.set(small, seededBytes(1000, 'another'));
    await expect(transferer.open(app, small, undefined)).rejects.toThrow(DigestMismatchError);
  });

  it('goes on with a download whose client has gone away', async () => {
    const { cluster, transferer, swarm } = await scene();
    const digest = addLayer(cluster, app, seededBytes(LARGE));
    swarm.onFetch = (download) => download.bring(0);
    const stream = await transferer.open(app, digest, undefined);
    stream.on('error', () => {});
    stream.destroy();
    await new Promise((resolve) => stream.once('close', resolve));
    expect(swarm.find(digest)?.cancelledWith).toBeUndefined();
  });

  it('cancels a download that nobody reads any more when it is told to', async () => {
    const { cluster, transferer, swarm } = await scene({ finishAbandoned: false });
    const digest = addLayer(cluster, app, seededBytes(LARGE));
    swarm.onFetch = (download) => download.bring(0);
    const first = await transferer.open(app, digest, undefined);
    const second = await transferer.open(app, digest, undefined);
    const download = swarm.find(digest)!;
    for (const stream of [first, second]) stream.on('error', () => {});
    first.destroy();
    await new Promise((resolve) => first.once('close', resolve));
    expect(download.cancelledWith).toBeUndefined();
    second.destroy();
    await expect.poll(() => download.cancelledWith?.message).toMatch(/gone away/);
  });

  it('goes on with the metainfo of an unfinished download, without a tracker', async () => {
    const { cluster, transferer } = await scene();
    const bytes = seededBytes(LARGE);
    const digest = addLayer(cluster, app, bytes);
    const metainfo = await cluster.origin.metainfo(digest);
    const partial = await cluster.castore.downloads.open(metainfo);
    await partial.writePiece(0, bytes.subarray(0, metainfo.pieceLength));
    await partial.close();
    cluster.trackerService.down = true;
    expect(await read(transferer, app, digest)).toEqual(bytes);
    expect(cluster.origin.service.requests).toEqual([]);
  });

  it('throws the reason of a signal that aborts before the cluster has answered', async () => {
    const { cluster, transferer } = await scene();
    const silence = Promise.withResolvers<void>();
    cluster.trackerService.gate = silence.promise;
    const digest = addLayer(cluster, app, seededBytes(LARGE));
    const controller = new AbortController();
    const opening = transferer.open(app, digest, undefined, { signal: controller.signal });
    await expect.poll(() => cluster.trackerService.requests.length).toBe(1);
    const reason = new Error('the client hung up');
    controller.abort(reason);
    await expect(opening).rejects.toBe(reason);
    silence.resolve();
  });

  it('counts reads and bytes in its metrics', async () => {
    const { cluster, transferer, metrics } = await scene();
    const digest = addLayer(cluster, app, seededBytes(LARGE));
    await read(transferer, app, digest);
    await read(transferer, app, digest);
    const text = await metrics.metrics();
    expect(text).toContain(`shoal_blob_read_bytes_total{source="peer"} ${LARGE}`);
    expect(text).toContain(`shoal_blob_read_bytes_total{source="cache"} ${LARGE}`);
    expect(text).toContain('shoal_blob_reads_total{result="swarm"} 1');
    expect(text).toContain('shoal_blob_reads_total{result="cache"} 1');
    expect(text).toContain('shoal_blob_first_byte_seconds_count 2');
  });
});

describe('ReadOnlyTransferer: names', () => {
  const v1 = parseTag('v1');
  const manifest = hashBytes(Buffer.from('{}'));

  it('asks the build-index for a tag every time', async () => {
    const { cluster, transferer } = await scene();
    cluster.index.tag(app, 'v1', manifest);
    expect(await transferer.getTag(app, v1)).toBe(manifest);
    const moved = hashBytes(Buffer.from('{"moved":true}'));
    cluster.index.tag(app, 'v1', moved);
    expect(await transferer.getTag(app, v1)).toBe(moved);
  });

  it('answers a known tag and known links while the build-index is away, within the stated time', async () => {
    const { cluster, transferer, clock, metrics } = await scene();
    const bytes = seededBytes(LARGE);
    const digest = addLayer(cluster, app, bytes);
    cluster.index.tag(app, 'v1', digest);
    await transferer.getTag(app, v1);
    await read(transferer, app, digest);
    cluster.index.service.down = true;
    clock.advance(599_000);
    expect(await transferer.getTag(app, v1)).toBe(digest);
    expect(await read(transferer, app, digest)).toEqual(bytes);
    expect(await metrics.metrics()).toContain('shoal_stale_answers_total{what="tag"} 1');
    clock.advance(2_000);
    await expect(transferer.getTag(app, v1)).rejects.toThrow(UnavailableError);
    await expect(transferer.open(app, digest, undefined)).rejects.toThrow(UnavailableError);
  });

  it('does not answer a tag that was deleted, when the build-index goes away after that', async () => {
    const { cluster, transferer } = await scene();
    cluster.index.tag(app, 'v1', manifest);
    await transferer.getTag(app, v1);
    cluster.index.tags.clear();
    await expect(transferer.getTag(app, v1)).rejects.toThrow(TagNotFoundError);
    cluster.index.service.down = true;
    await expect(transferer.getTag(app, v1)).rejects.toThrow(UnavailableError);
  });

  it('does not answer an unknown tag while the build-index is away', async () => {
    const { cluster, transferer } = await scene();
    cluster.index.service.down = true;
    await expect(transferer.getTag(app, v1)).rejects.toThrow(UnavailableError);
  });

  it('lists tags, repositories and referrers over all pages', async () => {
    const { cluster, transferer } = await scene();
    for (const tag of ['a', 'b', 'c', 'd', 'e']) cluster.index.tag(app, tag, manifest);
    cluster.index.tag(other, 'x', manifest);
    cluster.index.referrers.set(`${app}@${manifest}`, new Set([hashBytes(Buffer.from('1'))]));
    expect(await Array.fromAsync(transferer.listTags(app))).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(await Array.fromAsync(transferer.listTags(app, { after: 'b', limit: 2 }))).toEqual(['c', 'd']);
    expect(await Array.fromAsync(transferer.listRepositories())).toEqual([app, other]);
    expect(await Array.fromAsync(transferer.listReferrers(app, manifest))).toHaveLength(1);
  });

  it('refuses every write and names the proxy', async () => {
    const { transferer, cluster } = await scene();
    const writes = [
      transferer.upload(app, manifest),
      transferer.putTag(app, v1),
      transferer.deleteTag(app, v1),
      transferer.link(app, 'layer', manifest),
      transferer.unlink(app, 'layer', manifest),
      transferer.deleteRepository(app),
      transferer.putReferrer(app, manifest, manifest),
      transferer.deleteReferrer(app, manifest, manifest),
    ];
    for (const write of writes) {
      const error = await write.catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(ReadOnlyError);
      expect((error as Error).message).toContain('http://proxy.example:15000');
    }
    expect(cluster.requests()).toEqual([]);
  });
});

async function read(
  transferer: ReadOnlyTransferer,
  repository: Repository,
  digest: Digest,
  range?: { offset: number; length: number },
): Promise<Buffer> {
  return buffer(await transferer.open(repository, digest, range));
}

class FakeClock implements Clock {
  #nowMs = 1_000;
  advance(ms: number): void {
    this.#nowMs += ms;
  }
  monotonicMs(): number {
    return this.#nowMs;
  }
  nowMs(): number {
    return this.#nowMs;
  }
}

async function scene(config: Partial<ReadOnlyTransferConfig> = {}) {
  const cluster: StandInCluster = await startCluster();
  const swarm = new ScriptedSwarm(cluster.castore, (digest) => cluster.origin.blobs.get(digest)!);
  const clock = new FakeClock();
  const metrics = new Registry();
  const transferer = new ReadOnlyTransferer(
    { ...cluster, swarm, clock, metrics, logger: testLogger() },
    { ...config, proxyHint: 'http://proxy.example:15000' },
  );
  return { cluster, swarm, clock, metrics, transferer };
}
