import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { hashBytes, hexOf } from '../../src/core/index.ts';
import { pullBlob, pushImage } from '../cluster/registry-requests.ts';
import { TestCluster } from '../cluster/test-cluster.ts';
import { hasPrograms } from '../helpers/command.ts';
import { DOCKER_REGISTRY, folderStorage, startDockerRegistry } from '../helpers/docker-registry.ts';

/** distribution and Shoal on one backend folder, each serving what the other wrote. */
// Skipped only where the program is missing; never in CI.
describe.skipIf(!hasPrograms(DOCKER_REGISTRY))("Debian's docker-registry", { timeout: 180_000 }, () => {
  it('serves the backend folder that Shoal leaves, tags and all', async () => {
    const cluster = await TestCluster.start({ agents: 1 });
    onTestFinished(() => cluster.stop());
    const layers = [randomBytes(3_000_000), randomBytes(10)];
    const manifest = await pushImage(cluster.proxy.url, 'team/app', 'v1', layers);
    await pushImage(cluster.proxy.url, 'team/app', 'v2', [layers[0]!]);
    await untilWrittenBack(cluster, [...layers.map((layer) => hashBytes(layer)), manifest]);
    const { url: registry, stop } = await startDockerRegistry(folderStorage(cluster.backend));
    onTestFinished(stop);
    const tags = (await (await fetch(`${registry}/v2/team/app/tags/list`)).json()) as { tags: string[] };
    expect(tags.tags.sort()).toEqual(['v1', 'v2']);
    const headers = { accept: 'application/vnd.oci.image.manifest.v1+json' };
    const answer = await fetch(`${registry}/v2/team/app/manifests/v1`, { headers });
    expect(answer.headers.get('docker-content-digest')).toBe(manifest);
    for (const layer of layers) {
      expect(await pullBlob(registry, 'team/app', hashBytes(layer))).toMatchObject({ digest: hashBytes(layer) });
    }
  });

  it('pushes an image into a backend folder, and an agent pulls it', async () => {
    const cluster = await TestCluster.start({ agents: 2 });
    onTestFinished(() => cluster.stop());
    const { url: registry, stop } = await startDockerRegistry(folderStorage(cluster.backend));
    onTestFinished(stop);
    const layers = [randomBytes(7_000_000), randomBytes(10)];
    const manifest = await pushImage(registry, 'team/mirrored', 'v1', layers);
    await Promise.all(
      cluster.agents.map(async (agent) => {
        const answer = await fetch(`${agent.url}/v2/team/mirrored/manifests/v1`);
        expect(hashBytes(Buffer.from(await answer.arrayBuffer()))).toBe(manifest);
        for (const layer of layers) {
          const digest = hashBytes(layer);
          expect(await pullBlob(agent.url, 'team/mirrored', digest)).toMatchObject({ digest, bytes: layer.length });
        }
      }),
    );
  });
});

/** Waits until the origins have copied blobs to the backend. */
async function untilWrittenBack(cluster: TestCluster, digests: readonly string[]): Promise<void> {
  for (const digest of digests) {
    const hex = hexOf(digest as never);
    const folder = join(cluster.backend, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex);
    const files = () => readdir(folder).catch(() => []);
    await expect.poll(files, { timeout: 60_000, interval: 100 }).toContain('data');
  }
}
