import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import {
  BlobNotFoundError,
  DigestMismatchError,
  hashBytes,
  ManifestBlobUnknownError,
  parseRepository,
  parseTag,
  TagNotFoundError,
  UnavailableError,
} from '../../src/core/index.ts';
import { PUSH_PIN, type ReadWriteTransferConfig, ReadWriteTransferer } from '../../src/transfer/index.ts';
import { testLogger } from '../helpers/logger.ts';
import { addLayer, seededBytes, startCluster } from './stand-in-cluster.ts';
import { StandInOrigin } from './stand-in-origin.ts';

const app = parseRepository('team/app');
const LARGE = 300 * 1024;

describe('ReadWriteTransferer', () => {
  it('reads a blob from its origin, whole and in ranges', async () => {
    const { cluster, transferer } = await scene();
    const bytes = seededBytes(LARGE);
    const digest = addLayer(cluster, app, bytes);
    expect(await buffer(await transferer.open(app, digest, undefined))).toEqual(bytes);
    const range = { offset: 100_000, length: 5 };
    expect(await buffer(await transferer.open(app, digest, range))).toEqual(bytes.subarray(100_000, 100_005));
    expect(cluster.origin.ranges).toEqual(['whole', '100000-100004']);
    expect(transferer.statistics().suppliedBytes).toBe(LARGE + 5);
  });

  it('reads a blob of its own store without the origin', async () => {
    const { cluster, transferer } = await scene();
    const bytes = seededBytes(LARGE);
    const digest = addLayer(cluster, app, bytes);
    await cluster.castore.blobs.put(digest, bytes);
    expect(await buffer(await transferer.open(app, digest, undefined))).toEqual(bytes);
    expect(cluster.requests()).toEqual(['GET /v1/blob']);
  });

  it('goes on where an origin has broken off in mid-body', async () => {
    const { cluster, transferer } = await scene();
    const bytes = seededBytes(LARGE);
    const digest = addLayer(cluster, app, bytes);
    cluster.origin.breakAfterBytes = 100_000;
    expect(await buffer(await transferer.open(app, digest, undefined))).toEqual(bytes);
    expect(cluster.origin.ranges.slice(1)).toEqual([
      `100000-${LARGE - 1}`,
      `200000-${LARGE - 1}`,
      `300000-${LARGE - 1}`,
    ]);
  });

  it('goes on at another origin when one dies in mid-body', async () => {
    const second = await StandInOrigin.start();
    const { cluster, transferer } = await scene({}, [second]);
    const bytes = seededBytes(LARGE);
    const digest = addLayer(cluster, app, bytes);
    second.add(bytes);
    const [first, last] =
      cluster.origins.order(digest)[0] === second.service.baseUrl ? [second, cluster.origin] : [cluster.origin, second];
    first.breakAfterBytes = 100_000;
    const stream = await transferer.open(app, digest, undefined);
    await first.service.stop();
    expect(await buffer(stream)).toEqual(bytes);
    expect(last.ranges.length).toBeGreaterThan(0);
  });

  it('ends with an error when the origins break off again and again', async () => {
    const { cluster, transferer } = await scene({ maxResumes: 2 });
    const digest = addLayer(cluster, app, seededBytes(LARGE));
    cluster.origin.breakAfterBytes = 1;
    await expect(buffer(await transferer.open(app, digest, undefined))).rejects.toThrow(UnavailableError);
    expect(cluster.origin.ranges).toHaveLength(3);
  });

  it('gives no end to bytes that are not the ones asked for', async () => {
    const { cluster, transferer } = await scene();
    const digest = addLayer(cluster, app, seededBytes(LARGE));
    cluster.origin.corrupt = (bytes) => Buffer.concat([bytes.subarray(0, -1), Buffer.from([1])]);
    const stream = await transferer.open(app, digest, undefined);
    let got = 0;
    stream.on('data', (chunk: Buffer) => {
      got += chunk.length;
    });
    await expect(new Promise((resolve, reject) => stream.on('end', resolve).on('error', reject))).rejects.toThrow(
      DigestMismatchError,
    );
    expect(got).toBeLessThan(LARGE);
  });

  it('refuses bytes behind the end of the blob', async () => {
    const { cluster, transferer } = await scene();
    const digest = addLayer(cluster, app, seededBytes(LARGE));
    cluster.origin.corrupt = (bytes) => Buffer.concat([bytes, Buffer.from('more')]);
    await expect(buffer(await transferer.open(app, digest, undefined))).rejects.toThrow(/behind byte/);
  });

  it('lets go of the origin when the client goes away', async () => {
    const { cluster, transferer } = await scene();
    const digest = addLayer(cluster, app, Buffer.alloc(32 * 1024 * 1024, 'body'));
    const unread = await transferer.open(app, digest, undefined);
    unread.destroy();
    await expect.poll(() => cluster.origin.hangUps).toBe(1);
    const halfRead = await transferer.open(app, digest, undefined);
    halfRead.once('data', () => halfRead.destroy());
    await expect.poll(() => cluster.origin.hangUps).toBe(2);
    expect(halfRead.errored).toBeNull();
  });

  it('hands a blob to the origins, for its repository, and keeps it from eviction only meanwhile', async () => {
    const { cluster, transferer } = await scene();
    const bytes = seededBytes(LARGE);
    const digest = hashBytes(bytes);
    await cluster.castore.blobs.put(digest, bytes, { pin: PUSH_PIN });
    await transferer.upload(app, digest);
    expect(cluster.origin.uploads).toEqual([`${digest} ${app}`]);
    expect(await cluster.castore.blobs.pins(digest)).toEqual([]);
  });

  it('keeps a blob pinned while another push of it is under way', async () => {
    const { cluster, transferer } = await scene();
    const bytes = seededBytes(1000);
    const digest = hashBytes(bytes);
    await cluster.castore.blobs.put(digest, bytes);
    const silence = Promise.withResolvers<void>();
    cluster.origin.service.gate = silence.promise;
    const first = transferer.upload(app, digest);
    const controller = new AbortController();
    const second = transferer.upload(app, digest, { signal: controller.signal });
    await expect.poll(() => cluster.origin.service.requests.length).toBe(2);
    controller.abort(new Error('hung up'));
    await expect(second).rejects.toThrow('hung up');
    expect(await cluster.castore.blobs.pins(digest)).toEqual([PUSH_PIN]);
    silence.resolve();
    await first;
    expect(await cluster.castore.blobs.pins(digest)).toEqual([]);
  });

  it('says that a push did not succeed, and succeeds when it is tried again', async () => {
    const { cluster, transferer } = await scene();
    const bytes = seededBytes(1000);
    const digest = hashBytes(bytes);
    await cluster.castore.blobs.put(digest, bytes);
    cluster.origin.refuseUploads = new UnavailableError('too few origins hold it');
    await expect(transferer.upload(app, digest)).rejects.toThrow(UnavailableError);
    cluster.origin.refuseUploads = undefined;
    await transferer.upload(app, digest);
    expect(cluster.origin.uploads).toHaveLength(1);
  });

  it('cannot push what its store does not hold', async () => {
    const { transferer } = await scene();
    await expect(transferer.upload(app, hashBytes(Buffer.from('nothing')))).rejects.toThrow(UnavailableError);
  });

  it('lets go of the pins of an earlier process when it opens', async () => {
    const { cluster } = await scene();
    const bytes = seededBytes(1000);
    const { digest } = await cluster.castore.blobs.put(hashBytes(bytes), bytes, { pin: PUSH_PIN });
    await cluster.castore.blobs.pin(digest, 'another reason');
    await ReadWriteTransferer.open({ ...cluster, logger: testLogger() });
    expect(await cluster.castore.blobs.pins(digest)).toEqual(['another reason']);
  });

  it('knows its own changes of links at once', async () => {
    const { cluster, transferer } = await scene();
    const digest = addLayer(cluster, app, seededBytes(1000));
    expect(await transferer.hasLink(app, 'layer', digest)).toBe(true);
    await transferer.link(app, 'revision', digest);
    expect((await transferer.stat(app, digest)).links).toEqual(['layer', 'revision']);
    await transferer.unlink(app, 'revision', digest);
    await transferer.unlink(app, 'layer', digest);
    expect(await transferer.hasLink(app, 'layer', digest)).toBe(false);
    await expect(transferer.unlink(app, 'layer', digest)).rejects.toThrow(BlobNotFoundError);
    await transferer.link(app, 'layer', digest);
    await transferer.stat(app, digest);
    await transferer.deleteRepository(app);
    await expect(transferer.stat(app, digest)).rejects.toThrow(BlobNotFoundError);
  });

  it('puts tags whose manifest is there, and passes the refusal of others on', async () => {
    const { cluster, transferer } = await scene();
    const v1 = parseTag('v1');
    const manifest = cluster.origin.add(Buffer.from('{}'));
    await expect(transferer.putTag(app, v1, manifest)).rejects.toThrow(ManifestBlobUnknownError);
    await transferer.link(app, 'revision', manifest);
    await transferer.putTag(app, v1, manifest);
    expect(await transferer.getTag(app, v1)).toBe(manifest);
    await transferer.deleteTag(app, v1);
    await expect(transferer.getTag(app, v1)).rejects.toThrow(TagNotFoundError);
  });

  it('does not guess tags while the build-index is away', async () => {
    const { cluster, transferer } = await scene();
    cluster.index.tag(app, 'v1', hashBytes(Buffer.from('{}')));
    await transferer.getTag(app, parseTag('v1'));
    cluster.index.service.down = true;
    await expect(transferer.getTag(app, parseTag('v1'))).rejects.toThrow(UnavailableError);
  });

  it('keeps referrers', async () => {
    const { transferer } = await scene();
    const subject = hashBytes(Buffer.from('subject'));
    const referrer = hashBytes(Buffer.from('referrer'));
    await transferer.putReferrer(app, subject, referrer);
    expect(await Array.fromAsync(transferer.listReferrers(app, subject))).toEqual([referrer]);
    await transferer.deleteReferrer(app, subject, referrer);
    expect(await Array.fromAsync(transferer.listReferrers(app, subject))).toEqual([]);
  });
});

async function scene(config: Partial<ReadWriteTransferConfig> = {}, more: StandInOrigin[] = []) {
  const cluster = await startCluster(more);
  return { cluster, transferer: await ReadWriteTransferer.open({ ...cluster, logger: testLogger() }, config) };
}
