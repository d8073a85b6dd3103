import { join } from 'node:path';
import { Registry } from 'prom-client';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type AgentConfig, AgentConfigSchema, startAgent } from '../../src/agent/index.ts';
import { loadConfig } from '../../src/config/index.ts';
import { systemClock } from '../../src/core/index.ts';
import { type ProxyConfig, ProxyConfigSchema, startProxy } from '../../src/proxy/index.ts';
import { testLogger } from '../helpers/logger.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

const clusterToken = 'x'.repeat(40);

/** Nothing listens on this port, so that every other program is down. */
const DOWN = 'http://127.0.0.1:1';

async function overrides(): Promise<{ path: string; value: unknown; option: string }[]> {
  const settings = {
    'listen.host': '127.0.0.1',
    'listen.port': 0,
    'castore.directory': join(await makeTempDir(), 'store'),
    'cluster.tokenFile': '/unused',
    origins: [DOWN],
    buildIndex: DOWN,
  };
  return Object.entries(settings).map(([path, value]) => ({ path, value, option: path }));
}

function deps() {
  const parts = { clusterToken, clock: systemClock, random: Math.random, version: '0.0.0' };
  return { logger: testLogger(), metrics: new Registry(), ...parts };
}

async function lonelyAgent(change: (config: AgentConfig) => AgentConfig = (config) => config): Promise<string> {
  const more = [
    { path: 'trackers', value: [DOWN], option: '' },
    { path: 'proxyUrl', value: 'http://push.example:15000', option: '' },
  ];
  const config = await loadConfig(AgentConfigSchema, { overrides: [...(await overrides()), ...more] });
  const agent = await startAgent(change(config), deps());
  onTestFinished(() => agent.close());
  return `http://127.0.0.1:${agent.port}`;
}

describe('startAgent', () => {
  it('is alive alone, and not ready: it says whom it misses', async () => {
    const url = await lonelyAgent();
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    const answer = await fetch(`${url}/readyz`);
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({
      reason: expect.stringMatching(/^no (tracker|build-index) answers; asked/),
    });
  });

  it('answers writes with 405 and the name of the proxy', async () => {
    const url = await lonelyAgent();
    const answer = await fetch(`${url}/v2/team/app/blobs/uploads/`, { method: 'POST' });
    expect(answer.status).toBe(405);
    expect(await answer.json()).toEqual({
      errors: [
        expect.objectContaining({
          code: 'UNSUPPORTED',
          message: 'this agent is read-only: push to http://push.example:15000',
        }),
      ],
    });
  });

  it('tells its statistics to holders of the cluster token only', async () => {
    const url = await lonelyAgent();
    expect((await fetch(`${url}/v1/statistics`)).status).toBe(401);
    const answer = await fetch(`${url}/v1/statistics`, { headers: { authorization: `Bearer ${clusterToken}` } });
    expect(await answer.json()).toMatchObject({
      swarm: { receivedFromPeersBytes: 0, sentBytes: 0 },
      transfer: { fromPeersBytes: 0, fromOriginsBytes: 0, suppliedBytes: 0 },
    });
  });

  it('refuses to be reached by other machines without TLS, and opens nothing', async () => {
    const open = lonelyAgent((config) => ({ ...config, listen: { ...config.listen, host: '0.0.0.0' } }));
    await expect(open).rejects.toThrow(/would serve 0\.0\.0\.0 to other machines without TLS/);
  });

  it('lets go of everything when it cannot listen', async () => {
    const url = await lonelyAgent();
    const directory = join(await makeTempDir(), 'store');
    const taken = (config: AgentConfig): AgentConfig => ({
      ...config,
      listen: { ...config.listen, port: Number(new URL(url).port) },
      castore: { ...config.castore, directory },
    });
    await expect(lonelyAgent(taken)).rejects.toThrow(/port \d+ for the agent is taken/);
    // The store is locked while somebody has it open.
    await lonelyAgent((config) => ({ ...config, castore: { ...config.castore, directory } }));
  });
});

describe('startProxy', () => {
  it('is not ready while origins and build-index do not answer; a push then answers 503, not success', async () => {
    const config: ProxyConfig = await loadConfig(ProxyConfigSchema, { overrides: await overrides() });
    const proxy = await startProxy(config, deps());
    onTestFinished(() => proxy.close());
    const url = `http://127.0.0.1:${proxy.port}`;
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
    const begun = await fetch(`${url}/v2/team/app/blobs/uploads/`, { method: 'POST' });
    expect(begun.status).toBe(202);
    const digest = 'sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881'; // Of "x".
    const target = new URL(begun.headers.get('location') ?? '', url);
    target.searchParams.set('digest', digest);
    expect((await fetch(target, { method: 'PUT', body: 'x' })).status).toBe(503);
  });
});
