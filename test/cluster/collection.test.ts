import { randomBytes } from 'node:crypto';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hashBytes, systemClock } from '../../src/core/index.ts';
import { defaultDriverFactory, type StorageDriver } from '../../src/driver/index.ts';
import { collectGarbage } from '../../src/gc/index.ts';
import { formatPath } from '../../src/pathparser/index.ts';
import { pullBlob, pushImage } from './registry-requests.ts';
import { TestCluster } from './test-cluster.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

/** A collector at work on the backend, which origins and build-index share, while the cluster runs. */
describe('garbage collection in a cluster', () => {
  let cluster: TestCluster;
  let driver: StorageDriver;

  beforeAll(async () => {
    cluster = await TestCluster.start({
      agents: 1,
      agent: { transfer: { linkCacheMs: 1 } },
      proxy: { transfer: { linkCacheMs: 1 } },
      origin: { writeBack: { replicaDelayMs: 100 } },
    });
    driver = await defaultDriverFactory().create('filesystem', { rootdirectory: cluster.backend });
  });
  afterAll(async () => {
    await driver?.close();
    await cluster?.stop();
  });

  /** A collection `days` from now: what was written before today is old then. */
  const collect = (days: number) => {
    const clock = { ...systemClock, nowMs: () => Date.now() + days * DAY_MS };
    return collectGarbage({ driver, graceMs: 2 * DAY_MS, quarantineMs: 2 * DAY_MS, untagged: true, clock });
  };
  const isInBackend = (digest: string) =>
    access(join(cluster.backend, formatPath({ kind: 'blob-data', digest: digest as never }))).then(
      () => true,
      () => false,
    );
  const pull = async (repository: string, tag: string, layer: Buffer) => {
    const manifest = await fetch(`${cluster.agents[0]!.url}/v2/${repository}/manifests/${tag}`);
    expect(manifest.status).toBe(200);
    const digest = hashBytes(layer);
    expect(await pullBlob(cluster.agents[0]!.url, repository, digest)).toMatchObject({ digest, bytes: layer.length });
  };

  it('takes what is deleted and leaves what is used; what is pushed again comes back', {
    timeout: 60_000,
  }, async () => {
    const [kept, deleted] = [randomBytes(300_000), randomBytes(300_000)];
    await pushImage(cluster.proxy.url, 'team/kept', 'v1', [kept]);
    const manifest = await pushImage(cluster.proxy.url, 'team/old', 'v1', [deleted]);
    for (const layer of [kept, deleted]) await expect.poll(() => isInBackend(hashBytes(layer))).toBe(true);
    const gone = await fetch(`${cluster.proxy.url}/v2/team/old/manifests/${manifest}`, { method: 'DELETE' });
    expect(gone.status).toBe(202);

    await collect(3);
    await collect(6);
    expect(await isInBackend(hashBytes(deleted))).toBe(false);
    expect(await isInBackend(hashBytes(kept))).toBe(true);
    await pull('team/kept', 'v1', kept);

    // The origins may have the bytes on their disks still; the backend has to get them again all the same.
    await pushImage(cluster.proxy.url, 'team/old', 'v2', [deleted]);
    await expect.poll(() => isInBackend(hashBytes(deleted)), { timeout: 10_000 }).toBe(true);
    await pull('team/old', 'v2', deleted);
  });

  it('writes to the backend anew what is mounted from an origin that still has it', { timeout: 60_000 }, async () => {
    const layer = randomBytes(300_000);
    const digest = hashBytes(layer);
    const manifest = await pushImage(cluster.proxy.url, 'team/left', 'v1', [layer]);
    await expect.poll(() => isInBackend(digest)).toBe(true);
    await fetch(`${cluster.proxy.url}/v2/team/left/manifests/${manifest}`, { method: 'DELETE' });
    await collect(3);
    await collect(6);
    expect(await isInBackend(digest)).toBe(false);
    const url = `${cluster.proxy.url}/v2/team/mounted/blobs/uploads/?mount=${digest}`;
    expect((await fetch(url, { method: 'POST' })).status).toBe(201);
    await expect.poll(() => isInBackend(digest), { timeout: 10_000 }).toBe(true);
    expect(await pullBlob(cluster.agents[0]!.url, 'team/mounted', digest)).toMatchObject({ digest });
  });

  it('brings back from the quarantine what a push names again', { timeout: 60_000 }, async () => {
    const layer = randomBytes(300_000);
    const manifest = await pushImage(cluster.proxy.url, 'team/again', 'v1', [layer]);
    await expect.poll(() => isInBackend(hashBytes(layer))).toBe(true);
    await fetch(`${cluster.proxy.url}/v2/team/again/manifests/${manifest}`, { method: 'DELETE' });
    await collect(3);
    expect(await isInBackend(hashBytes(layer))).toBe(false);
    // As a client does that has seen the layer there, and pushes the next image with it.
    const head = await fetch(`${cluster.proxy.url}/v2/team/again/blobs/${hashBytes(layer)}`, { method: 'HEAD' });
    expect(head.status).toBe(200);
    await pushImage(cluster.proxy.url, 'team/again', 'v2', [layer]);
    for (const origin of cluster.origins) await origin.kill();
    await collect(6);
    for (const origin of cluster.origins) await origin.start();
    await expect.poll(() => isInBackend(hashBytes(layer)), { timeout: 10_000 }).toBe(true);
    await pull('team/again', 'v2', layer);
  });
});
