import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { ConfigError, UnauthorizedError, UnavailableError } from '../../src/core/index.ts';
import { TrackerClient } from '../../src/tracker/client.ts';
import type { PeerStore } from '../../src/tracker/index.ts';
import type { AnnouncedSwarm, AnnounceRequest } from '../../src/tracker/protocol.ts';
import { rawGet } from './foreign-client.ts';
import { startTracker, TOKEN } from './running-tracker.ts';
import { host, peerId, swarm } from './values.ts';

const one = (part: Partial<AnnouncedSwarm> = {}): AnnouncedSwarm => ({
  swarmId: swarm('a'),
  complete: false,
  want: 10,
  ...part,
});
const announceOf = (number: number, part: Partial<AnnounceRequest> = {}): AnnounceRequest => ({
  peerId: peerId(number),
  port: 7_000 + number,
  origin: false,
  swarms: [one()],
  ...part,
});
const post = (url: string, body: string, headers: Record<string, string> = {}) =>
  fetch(`${url}/v1/announce`, {
    method: 'POST',
    body,
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json', ...headers },
  });

describe('POST /v1/announce', () => {
  it('introduces the hosts of a swarm to each other, under the address that they come from', async () => {
    const { client } = await startTracker();
    const origin = announceOf(1, { origin: true, swarms: [one({ complete: true })] });
    expect((await client.announce(origin)).swarms).toEqual({ [swarm('a')]: [] });
    const newcomer = await client.announce(announceOf(2));
    const first = { id: peerId(1), host: '127.0.0.1', port: 7_001, origin: true, complete: true, eighths: 8 };
    expect(newcomer.swarms[swarm('a')]).toEqual([first]);
    const third = await client.announce(announceOf(3));
    expect(third.swarms[swarm('a')]!.map(({ id }) => id)).toEqual([peerId(1), peerId(2)]);
    // The origin is complete: only those that are not can use it.
    const again = await client.announce(origin);
    expect(again.swarms[swarm('a')]!.map(({ id }) => id).sort()).toEqual([peerId(2), peerId(3)].sort());
  });

  it('takes the host of the body before the address of the connection, in its usual form', async () => {
    const { client } = await startTracker();
    await client.announce(announceOf(1, { host: '::ffff:10.0.0.7' }));
    await client.announce(announceOf(2, { host: 'FD00:0::7' }));
    const { swarms } = await client.announce(announceOf(3));
    expect(swarms[swarm('a')]!.map(({ host: at }) => at).sort()).toEqual(['10.0.0.7', 'fd00::7']);
  });

  it('writes an IPv4 host as IPv4 on a listener for IPv6 too', async () => {
    const { client, port } = await startTracker({ config: { listen: { host: '::', port: 0 } } });
    await client.announce(announceOf(1));
    const { swarms } = await client.announce(announceOf(2));
    expect(swarms[swarm('a')]!.map(({ host: at }) => at)).toEqual(['127.0.0.1']);
    if (!Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'))) return;
    const six = new TrackerClient({ baseUrls: [`http://[::1]:${port}`], clusterToken: TOKEN });
    await six.announce(announceOf(3));
    const seen = await six.announce(announceOf(4));
    await six.close();
    expect(seen.swarms[swarm('a')]!.map(({ host: at }) => at).sort()).toEqual(['127.0.0.1', '127.0.0.1', '::1']);
  });

  it('takes out a host that stopped at once', async () => {
    const { client } = await startTracker();
    await client.announce(announceOf(1));
    await client.announce(announceOf(1, { swarms: [one({ event: 'stopped' })] }));
    expect((await client.announce(announceOf(2))).swarms[swarm('a')]).toEqual([]);
  });

  it('answers no peers for a swarm that stopped or wants none', async () => {
    const { client } = await startTracker();
    const swarms = [one({ event: 'stopped' }), one({ swarmId: swarm('b'), want: 0 })];
    expect((await client.announce(announceOf(1, { swarms }))).swarms).toEqual({});
  });

  it('believes the last word on a swarm that is named twice', async () => {
    const { client } = await startTracker();
    await client.announce(announceOf(1, { swarms: [one({ event: 'stopped' }), one({ complete: true })] }));
    await client.announce(announceOf(2, { swarms: [one(), one({ event: 'stopped' })] }));
    const { swarms } = await client.announce(announceOf(3));
    expect(swarms[swarm('a')]!.map(({ id, complete }) => [id, complete])).toEqual([[peerId(1), true]]);
  });

  it('drops a host after two and a half intervals without a word', async () => {
    const { client, clock } = await startTracker({ config: { announceIntervalMs: 1_000 } });
    expect((await client.announce(announceOf(1))).intervalMs).toBe(1_000);
    clock.advance(2_499);
    expect((await client.announce(announceOf(2))).swarms[swarm('a')]!.map(({ id }) => id)).toEqual([peerId(1)]);
    clock.advance(1);
    expect((await client.announce(announceOf(3))).swarms[swarm('a')]!.map(({ id }) => id)).toEqual([peerId(2)]);
  });

  it.each([
    {
      name: 'an agent that downloads',
      origin: false,
      swarms: [one(), one({ swarmId: swarm('b'), complete: true })],
      ms: 1_000,
    },
    {
      name: 'an agent with complete blobs only',
      origin: false,
      swarms: [one({ complete: true, want: 0 })],
      ms: 20_000,
    },
    { name: 'an agent that stopped its last download', origin: false, swarms: [one({ event: 'stopped' })], ms: 20_000 },
    { name: 'an agent with nothing', origin: false, swarms: [], ms: 20_000 },
    { name: 'an origin', origin: true, swarms: [one({ complete: true })], ms: 1_000 },
    { name: 'an origin with nothing', origin: true, swarms: [], ms: 1_000 },
  ])('asks $name to come back in $ms ms', async ({ origin, swarms, ms }) => {
    const { client } = await startTracker({ config: { announceIntervalMs: 1_000, idleAnnounceIntervalMs: 20_000 } });
    expect((await client.announce(announceOf(1, { origin, swarms }))).intervalMs).toBe(ms);
  });

  it('keeps a host in all its swarms while its announces name none of them', async () => {
    const { client, clock } = await startTracker({ config: { announceIntervalMs: 1_000 } });
    const swarms = [one(), one({ swarmId: swarm('b') })];
    await client.announce(announceOf(1, { swarms, sequence: 1, since: 0, full: true }));
    for (let sequence = 2; sequence < 8; sequence++) {
      clock.advance(2_000);
      const answer = await client.announce(announceOf(1, { swarms: [], sequence, since: sequence - 1 }));
      expect(answer).toEqual({ intervalMs: 1_000, swarms: {} });
    }
    const { swarms: found } = await client.announce(announceOf(2, { swarms }));
    expect(Object.values(found).map((peers) => peers.map(({ id }) => id))).toEqual([[peerId(1)], [peerId(1)]]);
  });

  it('asks a host that it does not know for all its swarms, and takes nothing', async () => {
    const { client, clock } = await startTracker({ config: { announceIntervalMs: 1_000 } });
    const delta = announceOf(1, { sequence: 7, since: 6 });
    expect(await client.announce(delta)).toEqual({ intervalMs: 1_000, full: true, swarms: {} });
    expect((await client.announce(announceOf(2))).swarms[swarm('a')]).toEqual([]);
    await client.announce(announceOf(1, { sequence: 8, since: 6, full: true }));
    expect((await client.announce(announceOf(1, { sequence: 9, since: 8 }))).full).toBeUndefined();
    clock.advance(2_500);
    expect((await client.announce(announceOf(1, { sequence: 10, since: 9 }))).full).toBe(true);
  });

  it('passes over an announce that comes after a newer one', async () => {
    const { client } = await startTracker();
    await client.announce(announceOf(1, { sequence: 2, since: 0, full: true }));
    await client.announce(announceOf(1, { sequence: 3, since: 2, swarms: [one({ event: 'stopped' })] }));
    expect((await client.announce(announceOf(1, { sequence: 1, full: true }))).swarms).toEqual({});
    expect((await client.announce(announceOf(2))).swarms[swarm('a')]).toEqual([]);
  });

  it('says of each peer how much it has, and where it is', async () => {
    const { client } = await startTracker();
    await client.announce(announceOf(1, { zone: 'rack-1', swarms: [one({ eighths: 3 })] }));
    await client.announce(announceOf(2, { swarms: [one({ eighths: 8 })] }));
    await client.announce(announceOf(3, { zone: 'rack-2', swarms: [one({ complete: true })] }));
    const { swarms } = await client.announce(announceOf(4, { zone: 'rack-1', swarms: [one({ want: 4 })] }));
    const seen = swarms[swarm('a')]!.map(({ id, eighths, complete, zone }) => ({ id, eighths, complete, zone }));
    expect(seen).toHaveLength(3);
    expect(seen).toContainEqual({ id: peerId(1), eighths: 3, complete: false, zone: 'rack-1' });
    // Eight eighths whose digest is still to be checked are not the whole.
    expect(seen).toContainEqual({ id: peerId(2), eighths: 7, complete: false, zone: undefined });
    expect(seen).toContainEqual({ id: peerId(3), eighths: 8, complete: true, zone: 'rack-2' });
  });

  it('asks an agent whose blobs are asked for to come back sooner than an idle one', async () => {
    const { client, clock } = await startTracker({
      config: { announceIntervalMs: 1_000, idleAnnounceIntervalMs: 20_000 },
    });
    const seed = announceOf(1, { swarms: [one({ complete: true, want: 0 })] });
    expect((await client.announce(seed)).intervalMs).toBe(20_000);
    await client.announce(announceOf(2));
    expect((await client.announce({ ...seed, swarms: [] })).intervalMs).toBe(5_000);
    clock.advance(2_500);
    for (const ms of [10_000, 10_000, 10_000]) {
      clock.advance(ms);
      await client.announce({ ...seed, swarms: [] });
    }
    expect((await client.announce({ ...seed, swarms: [] })).intervalMs).toBe(20_000);
  });

  it('takes a thousand swarms of a host in one request', async () => {
    const { client } = await startTracker();
    const swarms = Array.from({ length: 1_000 }, (_, index) => one({ swarmId: swarm(index), want: 5 }));
    await client.announce(announceOf(1, { swarms }));
    await client.announce(announceOf(2, { swarms, origin: true }));
    const answer = await client.announce(announceOf(3, { swarms }));
    expect(Object.keys(answer.swarms)).toHaveLength(1_000);
    for (const { swarmId } of swarms) {
      expect(answer.swarms[swarmId]!.map(({ id }) => id)).toEqual([peerId(2), peerId(1)]);
    }
  });

  it('bounds what one answer holds, and lets no swarm starve', async () => {
    const { client } = await startTracker();
    const swarms = Array.from({ length: 400 }, (_, index) => one({ swarmId: swarm(index), want: 50 }));
    for (let number = 1; number <= 51; number++) {
      await client.announce(announceOf(number, { swarms: swarms.map((entry) => ({ ...entry, want: 0 })) }));
    }
    const fed = new Set<string>();
    for (let round = 0; round < 12; round++) {
      const { swarms: answers } = await client.announce(announceOf(99, { swarms }));
      const total = Object.values(answers).reduce((sum, peers) => sum + peers.length, 0);
      expect(total).toBeLessThanOrEqual(10_000);
      expect(total).toBeGreaterThan(9_000);
      for (const [id, peers] of Object.entries(answers)) if (peers.length > 0) fed.add(id);
    }
    expect(fed.size).toBeGreaterThan(390);
  });

  it.each([
    ['no token', {}],
    ['another token', { authorization: 'Bearer other' }],
    ['another scheme', { authorization: `Basic ${TOKEN}` }],
  ])('refuses a request with %s', async (_name, headers) => {
    const { url } = await startTracker();
    const response = await fetch(`${url}/v1/announce`, { method: 'POST', body: '{}', headers: { ...headers } });
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ code: 'UNAUTHORIZED' });
  });

  it('has a typed refusal of a wrong token for its clients', async () => {
    const { url } = await startTracker();
    const stranger = new TrackerClient({ baseUrls: [url], clusterToken: 'another' });
    await expect(stranger.announce(announceOf(1))).rejects.toBeInstanceOf(UnauthorizedError);
    await stranger.close();
  });

  const json = (part: object) => JSON.stringify({ ...announceOf(1), ...part });
  it.each([
    ['nothing', ''],
    ['no JSON', '{"peerId":'],
    ['no object', '[]'],
    ['null', 'null'],
    ['no fields', '{}'],
    ['a short peer id', json({ peerId: 'ab' })],
    ['a peer id in upper case', json({ peerId: peerId(1).toUpperCase().replace(/^./, 'A') })],
    ['port 0', json({ port: 0 })],
    ['a port as text', json({ port: '80' })],
    ['a field too many', json({ hosts: [] })],
    ['a swarm id that is none', json({ swarms: [one({ swarmId: '__proto__' })] })],
    ['too many peers wanted', json({ swarms: [one({ want: 51 })] })],
    ['nine eighths', json({ swarms: [one({ eighths: 9 })] })],
    ['a zone with a quote', json({ zone: '"' })],
    ['an empty zone', json({ zone: '' })],
    ['a zone that is too long', json({ zone: 'z'.repeat(65) })],
    ['announce number 0', json({ sequence: 0 })],
    ['an unknown event', json({ swarms: [{ ...one(), event: 'started' }] })],
    ['too many swarms', json({ swarms: Array.from({ length: 10_001 }, () => one()) })],
    ['a name as host', json({ host: 'localhost' })],
    ['a URL as host', json({ host: 'http://10.0.0.7' })],
    ['any address as host', json({ host: '0.0.0.0' })],
    ['a multicast group as host', json({ host: 'ff02::1' })],
    ['an empty host', json({ host: '' })],
  ])('refuses %s as a bad request', async (_name, body) => {
    const { url } = await startTracker();
    const response = await post(url, body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: 'BAD_REQUEST', message: expect.any(String) });
  });

  it('names the fields that are wrong', async () => {
    const { url } = await startTracker();
    const body = (await (await post(url, json({ port: 0, peerId: 7 }))).json()) as { message: string };
    expect(body.message).toMatch(/\/peerId/);
    expect(body.message).toMatch(/\/port/);
  });

  it('takes no body in another form than JSON', async () => {
    const { url } = await startTracker();
    const response = await post(url, json({}), { 'content-type': 'application/octet-stream' });
    expect(response.status).toBe(400);
  });

  it('says that it is unavailable while its peer store is, and that it is not ready', async () => {
    const gone = async () => {
      throw new UnavailableError('the peer store is away');
    };
    const away: PeerStore = {
      report: gone,
      putForeign: gone,
      removeForeign: gone,
      sample: gone,
      findSwarm: gone,
      size: gone,
      ready: gone,
      close: async () => {},
    };
    const { client, port, url } = await startTracker({ peerStore: away });
    await expect(client.announce(announceOf(1))).rejects.toBeInstanceOf(UnavailableError);
    expect((await post(url, json({}))).status).toBe(503);
    expect((await rawGet(port, '/readyz')).status).toBe(503);
    expect((await rawGet(port, '/healthz')).status).toBe(200);
    const metrics = await rawGet(port, '/metrics');
    expect(metrics.status).toBe(200);
    expect(metrics.body.toString()).toContain('shoal_tracker_announce_failures_total{kind="cluster"} 2');
  });
});

describe('TrackerServer', () => {
  it('counts what it does', async () => {
    const { client, port } = await startTracker();
    await client.announce(announceOf(1, { swarms: [one(), one({ swarmId: swarm('b') })] }));
    await client.announce(announceOf(2));
    const text = (await rawGet(port, '/metrics')).body.toString();
    expect(text).toContain('shoal_tracker_announces_total{kind="cluster"} 2');
    expect(text).toContain('shoal_tracker_announce_seconds_count{kind="cluster"} 2');
    expect(text).toMatch(/^shoal_tracker_swarms 2$/m);
    expect(text).toMatch(/^shoal_tracker_peers 2$/m);
    expect((await rawGet(port, '/readyz')).status).toBe(200);
  });

  it('names the port that is taken', async () => {
    const { port } = await startTracker();
    const second = startTracker({ config: { listen: { host: '127.0.0.1', port } } });
    await expect(second).rejects.toBeInstanceOf(ConfigError);
    await expect(second).rejects.toThrow(new RegExp(`port ${port} for the tracker`));
  });

  it('answers an unknown route with a typed refusal', async () => {
    const { url } = await startTracker();
    const response = await fetch(`${url}/v1/nothing`, { headers: { authorization: `Bearer ${TOKEN}` } });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ code: 'BAD_REQUEST' });
  });

  it('lets a client go on with the next tracker when one is gone', async () => {
    const { url, server } = await startTracker();
    const other = await startTracker();
    const client = new TrackerClient({ baseUrls: [url, other.url], clusterToken: TOKEN });
    await client.announce(announceOf(1));
    await server.close();
    expect((await client.announce(announceOf(2, { host: host(2).host }))).swarms[swarm('a')]).toEqual([]);
    await client.close();
  });
});
