import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Digest, parseRepository, rendezvousOrder, UnavailableError } from '../../src/core/index.ts';
import { OriginCluster } from '../../src/origin/client.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import {
  freePorts,
  makeBlob,
  metricOf,
  openBackend,
  queueLength,
  startOrigin,
  startOrigins,
  type TestBlob,
} from './fixture.ts';
import { makeFlaky } from './flaky-driver.ts';
import { type TestOrigin, TOKEN } from './origin-parts.ts';

/** Origins on a backend that is down, so that what they hold is theirs alone. */
async function setUp(count: number) {
  const directory = await makeTempDir();
  const { driver, controls } = makeFlaky(await openBackend(join(directory, 'backend')));
  controls.down = true;
  return startOrigins(count, { directory, backend: driver });
}

async function holdersOf(origins: readonly TestOrigin[], digest: Digest): Promise<TestOrigin[]> {
  const found = await Promise.all(origins.map((origin) => origin.castore.blobs.find(digest)));
  return origins.filter((_origin, index) => found[index] !== undefined);
}

/** A blob whose owners are these origins, first to last. */
function makeBlobOwnedBy(origins: readonly TestOrigin[], order: readonly number[], sizeBytes = 150_000): TestBlob {
  const urls = origins.map(({ url }) => url);
  for (;;) {
    const blob = makeBlob(sizeBytes);
    const owners = rendezvousOrder(urls, blob.digest);
    if (order.every((origin, index) => owners[index] === urls[origin])) return blob;
  }
}

describe('acknowledgement of an upload', () => {
  it('needs one origin when there is one', async () => {
    const { origins } = await setUp(1);
    const blob = makeBlob(150_000);
    await origins[0]!.client.upload(blob.digest, blob.source, {});
    expect(await queueLength(origins[0]!)).toBe(1);
  });

  it('needs both of two origins, each with the job queued and the blob kept', async () => {
    const { origins } = await setUp(2);
    const blob = makeBlob(150_000);
    await origins[0]!.client.upload(blob.digest, blob.source, {});
    for (const origin of origins) {
      expect(await origin.castore.blobs.find(blob.digest)).toMatchObject({ sizeBytes: 150_000 });
      expect(await origin.castore.blobs.pins(blob.digest)).toEqual(['write-back']);
      expect(await queueLength(origin)).toBe(1);
    }
    const [first, second] = origins as [TestOrigin, TestOrigin];
    expect(await metricOf(first.metrics, 'shoal_origin_uploads_total', { result: 'acknowledged' })).toBe(1);
    expect(await metricOf(second.metrics, 'shoal_origin_uploads_total', { result: 'replica' })).toBe(1);
  });

  it('is refused by one of two origins while the other is down; the retry needs no more than the other', async () => {
    const { origins } = await setUp(2);
    const [first, second] = origins as [TestOrigin, TestOrigin];
    await second.stop();
    const blob = makeBlob(150_000);
    await expect(first.client.upload(blob.digest, blob.source, {})).rejects.toBeInstanceOf(UnavailableError);
    expect(await metricOf(first.metrics, 'shoal_origin_uploads_total', { result: 'acknowledged' })).toBe(0);
    expect(await first.castore.blobs.find(blob.digest)).toBeDefined();
    expect(await queueLength(first)).toBe(1);
  });

  it('takes the two owners of three origins', async () => {
    const { origins } = await setUp(3);
    const blob = makeBlobOwnedBy(origins, [1, 2, 0]);
    await origins[1]!.client.upload(blob.digest, blob.source, {});
    expect(await holdersOf(origins, blob.digest)).toEqual([origins[1], origins[2]]);
  });

  it('counts an origin that is no owner as a holder', async () => {
    const { origins } = await setUp(3);
    const blob = makeBlobOwnedBy(origins, [2, 0, 1]);
    await origins[1]!.client.upload(blob.digest, blob.source, {});
    expect(await holdersOf(origins, blob.digest)).toEqual([origins[1], origins[2]]);
  });

  it('takes the next of three origins when an owner is down', async () => {
    const { origins } = await setUp(3);
    const blob = makeBlobOwnedBy(origins, [0, 1, 2]);
    await origins[1]!.stop();
    await origins[0]!.client.upload(blob.digest, blob.source, {});
    expect(await holdersOf([origins[0]!, origins[2]!], blob.digest)).toHaveLength(2);
  });

  it('ends well for one blob that comes to two origins at the same moment', async () => {
    const { origins } = await setUp(2);
    const blob = makeBlob(1_000_000);
    await Promise.all(origins.map((origin) => origin.client.upload(blob.digest, blob.source, {})));
    expect(await holdersOf(origins, blob.digest)).toHaveLength(2);
  });

  it('copies a blob again that only this origin holds', async () => {
    const { origins } = await setUp(2);
    const [first, second] = origins as [TestOrigin, TestOrigin];
    const blob = makeBlob(150_000);
    await first.client.upload(blob.digest, blob.source, { replica: true });
    expect(await holdersOf(origins, blob.digest)).toEqual([first]);
    await first.client.upload(blob.digest, blob.source, {});
    expect(await holdersOf(origins, blob.digest)).toEqual([first, second]);
  });

  it('takes the next origin when an owner has no room, for the first copy and for the second', async () => {
    const directory = await makeTempDir();
    const backend = await openBackend(join(directory, 'backend'));
    const memberPorts = await freePorts(3);
    const origins = await Promise.all(
      memberPorts.map((port, index) => {
        const capacityBytes = index === 0 ? 2 * 1024 * 1024 : 64 * 1024 * 1024;
        return startOrigin({ directory: join(directory, String(index)), backend, port, memberPorts, capacityBytes });
      }),
    );
    const cluster = new OriginCluster({ baseUrls: origins.map(({ url }) => url), clusterToken: TOKEN });
    onTestFinished(() => cluster.close());
    for (const order of [[0], [1, 0]]) {
      const blob = makeBlobOwnedBy(origins, order, 3 * 1024 * 1024);
      await cluster.upload(blob.digest, blob.source, parseRepository('team/app'));
      expect(await holdersOf(origins, blob.digest)).toEqual([origins[1], origins[2]]);
    }
  });
});
