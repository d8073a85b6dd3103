import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hashBytes, mediaTypes } from '../../src/core/index.ts';
import { errorCode, pullBlob, pushBlob, pushImage } from './registry-requests.ts';
import { TestCluster } from './test-cluster.ts';

const MIB = 1024 * 1024;

describe('a cluster of six roles', () => {
  let cluster: TestCluster;

  beforeAll(async () => {
    cluster = await TestCluster.start();
  });
  afterAll(() => cluster.stop());

  it('takes one push and gives the image to every agent, most of it from host to host', async () => {
    const layers = [randomBytes(20 * MIB), randomBytes(3 * MIB), randomBytes(1000)];
    const manifest = await pushImage(cluster.proxy.url, 'team/app', 'v1', layers);
    await Promise.all(
      cluster.agents.map(async (agent) => {
        const answer = await fetch(`${agent.url}/v2/team/app/manifests/v1`);
        expect(answer.status).toBe(200);
        expect(answer.headers.get('docker-content-digest')).toBe(manifest);
        expect(hashBytes(Buffer.from(await answer.arrayBuffer()))).toBe(manifest);
        for (const layer of layers) {
          const digest = hashBytes(layer);
          expect(await pullBlob(agent.url, 'team/app', digest)).toMatchObject({ digest, bytes: layer.length });
        }
      }),
    );
    const statistics = await Promise.all(
      cluster.agents.map(async (agent) => {
        const answer = await fetch(`${agent.url}/v1/statistics`, { headers: cluster.authorization });
        return (await answer.json()) as { swarm: { receivedFromPeersBytes: number } };
      }),
    );
    const fromPeers = statistics.reduce((sum, { swarm }) => sum + swarm.receivedFromPeersBytes, 0);
    expect(fromPeers).toBeGreaterThan(20 * MIB);
  });

  it('lists tags and repositories alike at proxy and agents', async () => {
    await pushImage(cluster.proxy.url, 'team/listed', 'b', [randomBytes(100)]);
    await pushImage(cluster.proxy.url, 'team/listed', 'a', [randomBytes(100)]);
    for (const { url } of [cluster.proxy, ...cluster.agents]) {
      const tags = await (await fetch(`${url}/v2/team/listed/tags/list`)).json();
      expect(tags).toEqual({ name: 'team/listed', tags: ['a', 'b'] });
      const catalog = (await (await fetch(`${url}/v2/_catalog`)).json()) as { repositories: string[] };
      expect(catalog.repositories).toContain('team/listed');
    }
  });

  it('answers 404 for a blob under another repository until it is mounted there', async () => {
    const blob = randomBytes(200_000);
    const digest = await pushBlob(cluster.proxy.url, 'team/first', blob);
    const [agent] = cluster.agents;
    expect((await pullBlob(agent!.url, 'team/first', digest)).digest).toBe(digest);
    for (const { url } of [cluster.proxy, agent!]) {
      const refused = await fetch(`${url}/v2/team/second/blobs/${digest}`);
      expect(refused.status).toBe(404);
      expect(await errorCode(refused)).toBe('BLOB_UNKNOWN');
    }
    const query = `mount=${digest}&from=team/first`;
    const mounted = await fetch(`${cluster.proxy.url}/v2/team/second/blobs/uploads/?${query}`, { method: 'POST' });
    expect(mounted.status).toBe(201);
    expect((await pullBlob(agent!.url, 'team/second', digest)).digest).toBe(digest);
  });

  it('answers 404 at agents for what was deleted, once their link cache has expired', { timeout: 40_000 }, async () => {
    const layer = randomBytes(100_000);
    const manifest = await pushImage(cluster.proxy.url, 'team/gone', 'v1', [layer]);
    const [agent] = cluster.agents;
    const at = (path: string) => `${agent!.url}/v2/team/gone/${path}`;
    expect((await fetch(at('manifests/v1'))).status).toBe(200);
    expect((await pullBlob(agent!.url, 'team/gone', hashBytes(layer))).bytes).toBe(layer.length);
    const method = 'DELETE';
    expect((await fetch(`${cluster.proxy.url}/v2/team/gone/manifests/${manifest}`, { method })).status).toBe(202);
    expect((await fetch(`${cluster.proxy.url}/v2/team/gone/blobs/${hashBytes(layer)}`, { method })).status).toBe(202);
    for (const path of ['manifests/v1', `manifests/${manifest}`, `blobs/${hashBytes(layer)}`]) {
      await expect.poll(async () => (await fetch(at(path))).status, { timeout: 10_000, interval: 200 }).toBe(404);
    }
  });

  it('refuses a manifest whose blobs are missing, and lists each', async () => {
    const missing = [hashBytes(randomBytes(8)), hashBytes(randomBytes(8))];
    const config = Buffer.from('{}');
    const digest = await pushBlob(cluster.proxy.url, 'team/partial', config);
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest, size: config.length },
      layers: missing.map((layer) => ({ mediaType: mediaTypes.ociLayerTar, digest: layer, size: 8 })),
    });
    const headers = { 'content-type': mediaTypes.ociManifest };
    const url = `${cluster.proxy.url}/v2/team/partial/manifests/v1`;
    const answer = await fetch(url, { method: 'PUT', headers, body: manifest });
    expect(answer.status).toBe(404);
    const { errors } = (await answer.json()) as { errors: { code: string; detail: unknown }[] };
    expect(errors.map(({ code }) => code)).toEqual(['MANIFEST_BLOB_UNKNOWN', 'MANIFEST_BLOB_UNKNOWN']);
    for (const layer of missing) expect(JSON.stringify(errors)).toContain(layer);
  });

  it('refuses a push to an agent, and names the proxy', async () => {
    const answer = await fetch(`${cluster.agents[0]!.url}/v2/team/app/blobs/uploads/`, { method: 'POST' });
    expect(answer.status).toBe(405);
    const { errors } = (await answer.json()) as { errors: { code: string; message: string }[] };
    expect(errors[0]).toMatchObject({ code: 'UNSUPPORTED', message: expect.stringContaining(cluster.proxy.url) });
  });

  it('asks for the cluster token between programs', async () => {
    const digest = hashBytes(Buffer.from('x'));
    const urls = [
      `${cluster.tracker.url}/v1/blobs/${digest}/metainfo`,
      `${cluster.origins[0]!.url}/v1/blobs/${digest}`,
      `${cluster.buildIndex.url}/v1/repositories`,
      `${cluster.agents[0]!.url}/v1/statistics`,
    ];
    for (const url of urls) {
      expect((await fetch(url)).status, url).toBe(401);
      expect((await fetch(url, { headers: { authorization: 'Bearer wrong' } })).status, url).toBe(401);
      expect((await fetch(url, { headers: cluster.authorization })).status, url).not.toBe(401);
    }
  });

  it('serves health, readiness and metrics on every role', async () => {
    for (const program of cluster.all) {
      expect((await fetch(`${program.url}/healthz`)).status, program.name).toBe(200);
      expect((await fetch(`${program.url}/readyz`)).status, program.name).toBe(200);
      const metrics = await (await fetch(`${program.url}/metrics`)).text();
      expect(metrics, program.name).toContain('shoal_');
    }
  });

  it('answers ranges of a blob that is still cold', async () => {
    const blob = randomBytes(5 * MIB);
    const digest = await pushBlob(cluster.proxy.url, 'team/ranges', blob);
    const headers = { range: `bytes=${4 * MIB}-${4 * MIB + 99_999}` };
    const answer = await fetch(`${cluster.agents[1]!.url}/v2/team/ranges/blobs/${digest}`, { headers });
    expect(answer.status).toBe(206);
    expect(answer.headers.get('content-range')).toBe(`bytes ${4 * MIB}-${4 * MIB + 99_999}/${5 * MIB}`);
    const bytes = Buffer.from(await answer.arrayBuffer());
    expect(bytes.equals(blob.subarray(4 * MIB, 4 * MIB + 100_000))).toBe(true);
  });

  it('answers HEAD of a cold blob in one request and without its bytes', async () => {
    const digest = await pushBlob(cluster.proxy.url, 'team/head', randomBytes(3 * MIB));
    const agent = cluster.agents[2]!;
    const before = await swarmBytes(agent.url);
    const answer = await fetch(`${agent.url}/v2/team/head/blobs/${digest}`, { method: 'HEAD' });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-length')).toBe(String(3 * MIB));
    expect(answer.headers.get('docker-content-digest')).toBe(digest);
    expect(await swarmBytes(agent.url)).toEqual(before);
  });

  async function swarmBytes(url: string): Promise<unknown> {
    const answer = await fetch(`${url}/v1/statistics`, { headers: cluster.authorization });
    const { swarm } = (await answer.json()) as { swarm: Record<string, number> };
    return [swarm['receivedFromPeersBytes'], swarm['receivedFromOriginsBytes'], swarm['downloads']];
  }
});
