import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { hashBytes } from '../../src/core/index.ts';
import { pullBlob, pushBlob } from './registry-requests.ts';
import { TestCluster } from './test-cluster.ts';

const MIB = 1024 * 1024;

interface FinishedDownload {
  readonly digest: string;
  readonly lengthBytes: number;
  readonly fromPeersBytes: number;
  readonly fromOriginsBytes: number;
  readonly suppliedBytes: number;
  readonly wastedBytes: number;
}

describe('three agents at once, origins limited to 100 Mbit/s each', { timeout: 180_000 }, () => {
  let cluster: TestCluster;

  beforeAll(async () => {
    cluster = await TestCluster.start({ agents: 3, origin: { swarm: { egressBytesPerSecond: 12_500_000 } } });
  });
  afterAll(() => cluster.stop());

  it('cost the origins 1.15 copies of 256 MiB at most, and fetch 1 % twice at most', async () => {
    const blob = Buffer.concat(Array.from({ length: 4 }, () => randomBytes(64 * MIB)));
    const digest = await pushBlob(cluster.proxy.url, 'team/large', blob);
    const before = await originBytes();
    const pulled = await Promise.all(cluster.agents.map((agent) => pullBlob(agent.url, 'team/large', digest)));
    for (const pull of pulled) expect(pull).toMatchObject({ digest, bytes: blob.length });
    const copies = ((await originBytes()) - before) / blob.length;
    const downloads = await Promise.all(cluster.agents.map((agent) => finishedDownload(agent.url, digest)));
    const report = { copies, seconds: pulled.map((pull) => pull.seconds), downloads };
    console.info(JSON.stringify(report, undefined, 2));
    expect(copies).toBeLessThanOrEqual(1.15);
    for (const download of downloads) expect(download.wastedBytes / blob.length).toBeLessThanOrEqual(0.01);
  });

  /** What origins have sent to peers and over HTTP, as their metrics count it. */
  async function originBytes(): Promise<number> {
    const texts = await Promise.all(cluster.origins.map(async ({ url }) => (await fetch(`${url}/metrics`)).text()));
    const lines = texts
      .flatMap((text) => text.split('\n'))
      .filter((line) => /^shoal_(origin|swarm)_sent_bytes_total/.test(line));
    expect(lines.length).toBeGreaterThan(0);
    return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }

  async function finishedDownload(url: string, digest: string): Promise<FinishedDownload> {
    const answer = await fetch(`${url}/v1/statistics`, { headers: cluster.authorization });
    const { transfer, swarm } = (await answer.json()) as {
      transfer: { recent: FinishedDownload[] };
      swarm: { wastedBytes: number };
    };
    // The swarm's own sum has what came in after the end, too.
    return { ...transfer.recent.find((download) => download.digest === digest)!, wastedBytes: swarm.wastedBytes };
  }
});

describe('HEAD of a cold blob of 1 GiB', { timeout: 180_000 }, () => {
  it('is one request from agent to cluster, no byte of the blob, under 50 ms', async () => {
    const cluster = await TestCluster.start({ agents: 2 });
    onTestFinished(() => cluster.stop());
    const blob = Buffer.alloc(1024 * MIB, randomBytes(997));
    const digest = await pushBlob(cluster.proxy.url, 'team/huge', blob);
    const agent = cluster.agents[0]!;
    // The agent's calls to build-index, tracker and origins go through counting proxies from here on.
    const calls: string[] = [];
    const [buildIndex, tracker, ...origins] = await Promise.all(
      [cluster.buildIndex, cluster.tracker, ...cluster.origins].map((program) => countingProxy(program.port, calls)),
    );
    await agent.kill();
    await agent.start({ buildIndex, trackers: [tracker], origins });
    // Mounted into more repositories: under each name the blob is cold once, and the quickest answer counts, because
    // whatever else this machine does makes single answers slow.
    const repositories = ['team/huge', 'team/huge-1', 'team/huge-2', 'team/huge-3', 'team/huge-4'];
    for (const repository of repositories.slice(1)) {
      const mount = `${cluster.proxy.url}/v2/${repository}/blobs/uploads/?mount=${digest}&from=team/huge`;
      expect((await fetch(mount, { method: 'POST' })).status).toBe(201);
    }
    const tookMs: number[] = [];
    for (const repository of repositories) {
      calls.length = 0;
      const startMs = performance.now();
      const answer = await fetch(`${agent.url}/v2/${repository}/blobs/${digest}`, { method: 'HEAD' });
      tookMs.push(performance.now() - startMs);
      expect(answer.status).toBe(200);
      expect(answer.headers.get('content-length')).toBe(String(1024 * MIB));
      const ofBlobs = calls.filter((call) => !/\/v1\/announce|\/healthz|\/readyz/.test(call));
      expect(ofBlobs).toEqual([expect.stringContaining('GET /v1/blob?')]);
    }
    console.info(`HEAD of a cold 1 GiB blob: ${tookMs.map((ms) => ms.toFixed(1)).join(', ')} ms`);
    expect(Math.min(...tookMs)).toBeLessThan(50);
    const metrics = (await (await fetch(`${agent.url}/v1/statistics`, { headers: cluster.authorization })).json()) as {
      swarm: { receivedFromPeersBytes: number; receivedFromOriginsBytes: number };
    };
    expect(metrics.swarm.receivedFromPeersBytes + metrics.swarm.receivedFromOriginsBytes).toBe(0);
    expect(hashBytes(blob)).toBe(digest);
  });
});

/** Forwards requests to a port and notes each. @returns its base URL */
async function countingProxy(port: number, calls: string[]): Promise<string> {
  const server = createServer((request, response) => {
    calls.push(`${request.method} ${request.url}`);
    const { method, headers, url: path } = request;
    const forwarded = httpRequest({ host: '127.0.0.1', port, method, headers, path }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    forwarded.on('error', () => response.destroy());
    request.pipe(forwarded);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}
