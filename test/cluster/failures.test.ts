import { randomBytes } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { hashBytes, hexOf } from '../../src/core/index.ts';
import { pullBlob, pushBlob, pushImage } from './registry-requests.ts';
import { TestCluster, type TestClusterOptions } from './test-cluster.ts';

const MIB = 1024 * 1024;
const slowOrigins = { swarm: { egressBytesPerSecond: 6 * MIB } };

async function startCluster(options: TestClusterOptions): Promise<TestCluster> {
  const cluster = await TestCluster.start(options);
  onTestFinished(() => cluster.stop());
  return cluster;
}

interface Statistics {
  readonly transfer: {
    readonly fromPeersBytes: number;
    readonly fromOriginsBytes: number;
    readonly suppliedBytes: number;
  };
}

/** All bytes of blobs that an agent has received since its start: through wires, and over HTTP. */
async function receivedBytes(cluster: TestCluster, url: string): Promise<number> {
  const answer = await fetch(`${url}/v1/statistics`, { headers: cluster.authorization });
  const { transfer } = (await answer.json()) as Statistics;
  return transfer.fromPeersBytes + transfer.fromOriginsBytes + transfer.suppliedBytes;
}

describe('kill -9', { timeout: 120_000 }, () => {
  it('of an agent in mid-download costs at most the pieces of the last second', async () => {
    const cluster = await startCluster({ agents: 1, origin: slowOrigins });
    const [agent] = cluster.agents;
    const blob = randomBytes(64 * MIB);
    const digest = await pushBlob(cluster.proxy.url, 'team/killed', blob);
    const controller = new AbortController();
    // Whatever the reader had at the moment of the kill does not matter: the agent's own count does.
    const pull = pullBlob(agent!.url, 'team/killed', digest, { signal: controller.signal }).catch(() => undefined);
    await expect
      .poll(() => receivedBytes(cluster, agent!.url), { timeout: 30_000, interval: 20 })
      .toBeGreaterThan(32 * MIB);
    const aSecondBefore = await receivedBytes(cluster, agent!.url);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const justBefore = await receivedBytes(cluster, agent!.url);
    await agent!.kill();
    controller.abort();
    await pull;
    await agent!.start();
    const again = await pullBlob(agent!.url, 'team/killed', digest);
    expect(again).toMatchObject({ digest, bytes: blob.length });
    const afterwards = await receivedBytes(cluster, agent!.url);
    const fetchedAgain = afterwards + aSecondBefore - blob.length;
    console.info(`received: ${aSecondBefore} a second before, ${justBefore} just before, ${afterwards} after kill -9`);
    // Pieces on their way at the kill count as received: two on each of two wires.
    expect(fetchedAgain).toBeLessThanOrEqual(4 * 64 * 1024);
  });

  it('of one origin during a pull: the pull completes', async () => {
    const cluster = await startCluster({ agents: 2, origin: slowOrigins });
    const blob = randomBytes(48 * MIB);
    const digest = await pushBlob(cluster.proxy.url, 'team/origin-dies', blob);
    let killed: Promise<void> | undefined;
    const pulls = cluster.agents.map((agent) => {
      return pullBlob(agent.url, 'team/origin-dies', digest, {
        onBytes: (bytes) => {
          if (bytes > 8 * MIB) killed ??= cluster.origins[0]!.kill();
        },
      });
    });
    for (const pulled of await Promise.all(pulls)) expect(pulled).toMatchObject({ digest, bytes: blob.length });
    expect(killed).toBeDefined();
  });

  it('of both origins and the tracker once a neighbour has the blob: the pull completes', async () => {
    const cluster = await startCluster({ agents: 2, agent: { swarm: { egressBytesPerSecond: 6 * MIB } } });
    const [first, second] = cluster.agents;
    const blob = randomBytes(32 * MIB);
    const digest = await pushBlob(cluster.proxy.url, 'team/neighbour', blob);
    await pullBlob(first!.url, 'team/neighbour', digest);
    let killed: Promise<unknown> | undefined;
    const pulled = await pullBlob(second!.url, 'team/neighbour', digest, {
      onBytes: () => {
        killed ??= Promise.all([...cluster.origins, cluster.tracker].map((program) => program.kill()));
      },
    });
    expect(pulled).toMatchObject({ digest, bytes: blob.length });
    await killed;
  });

  it.each([0, 1])('of origin %i, its disk emptied, straight after a 201: nothing is lost', async (victim) => {
    const cluster = await startCluster({ agents: 1 });
    const layer = randomBytes(9 * MIB);
    const manifest = await pushImage(cluster.proxy.url, 'team/kept', 'v1', [layer]);
    const origin = cluster.origins[victim]!;
    await origin.kill();
    await rm(origin.store, { recursive: true, force: true });
    await rm(`${origin.store}-queue`, { recursive: true, force: true });
    // Neither may the proxy's own copy be what saves it.
    await cluster.proxy.kill();
    const [agent] = cluster.agents;
    const answer = await fetch(`${agent!.url}/v2/team/kept/manifests/v1`);
    expect(hashBytes(Buffer.from(await answer.arrayBuffer()))).toBe(manifest);
    expect(await pullBlob(agent!.url, 'team/kept', hashBytes(layer))).toMatchObject({ bytes: layer.length });
    await origin.start();
    // The backend gets it in the end, from whoever is left.
    const hex = hexOf(hashBytes(layer));
    const folder = join(cluster.backend, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex);
    const files = () => readdir(folder).catch(() => []);
    await expect.poll(files, { timeout: 90_000, interval: 200 }).toEqual(expect.arrayContaining(['data', 'metainfo']));
  });

  it('of an origin, then its restart: it offers its blobs again', async () => {
    const cluster = await startCluster({ agents: 1, origins: 1 });
    const blob = randomBytes(2 * MIB);
    const digest = await pushBlob(cluster.proxy.url, 'team/restart', blob);
    await cluster.origins[0]!.kill();
    await cluster.origins[0]!.start();
    expect(await pullBlob(cluster.agents[0]!.url, 'team/restart', digest)).toMatchObject({ digest });
  });

  it('of the build-index: agents answer tags that they know', async () => {
    const cluster = await startCluster({ agents: 1 });
    const manifest = await pushImage(cluster.proxy.url, 'team/stale', 'v1', [randomBytes(1000)]);
    const url = `${cluster.agents[0]!.url}/v2/team/stale/manifests/v1`;
    expect((await fetch(url)).status).toBe(200);
    await cluster.buildIndex.kill();
    const answer = await fetch(url);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('docker-content-digest')).toBe(manifest);
    const put = await fetch(`${cluster.proxy.url}/v2/team/stale/manifests/v2`, {
      method: 'PUT',
      headers: { 'content-type': answer.headers.get('content-type')! },
      body: await answer.arrayBuffer(),
    });
    expect(put.status).toBe(503);
    expect(put.headers.get('retry-after')).not.toBeNull();
  });
});
