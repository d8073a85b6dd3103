import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { UnavailableError } from '../../src/core/index.ts';
import { TrackerClient } from '../../src/tracker/client.ts';
import { startTracker, TOKEN } from './running-tracker.ts';
import { peerId, swarm } from './values.ts';

const announce = {
  peerId: peerId(1),
  port: 7_000,
  origin: false,
  swarms: [{ swarmId: swarm('a'), complete: false, want: 10 }],
};

function clientOf(baseUrls: readonly string[]): TrackerClient {
  const client = new TrackerClient({ baseUrls, clusterToken: TOKEN });
  onTestFinished(() => client.close());
  return client;
}

/** A program that takes connections and closes each at its first byte, and counts them. */
async function startHangUp() {
  const counted = { connections: 0 };
  const server = createServer((socket: Socket) => {
    counted.connections++;
    socket.on('error', () => {}); // The other side may be gone first.
    socket.once('data', () => socket.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.close();
    await once(server, 'close');
  });
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  return { url: `http://127.0.0.1:${address.port}`, counted };
}

describe('TrackerClient', () => {
  it('goes on with the next tracker, and asks the one that failed last for a while', async () => {
    const broken = await startHangUp();
    const { url } = await startTracker();
    const client = clientOf([broken.url, url]);
    for (let round = 0; round < 5; round++) expect((await client.announce(announce)).intervalMs).toBe(3_000);
    expect(broken.counted.connections).toBe(1);
  });

  it('asks one that failed all the same when no other answers', async () => {
    const broken = await startHangUp();
    const client = clientOf([broken.url]);
    await expect(client.announce(announce)).rejects.toBeInstanceOf(UnavailableError);
    await expect(client.announce(announce)).rejects.toBeInstanceOf(UnavailableError);
    expect(broken.counted.connections).toBe(2);
  });

  it('does not take a definite refusal to another tracker', async () => {
    const first = await startTracker();
    const second = await startTracker();
    const client = clientOf([first.url, second.url]);
    await expect(client.announce({ ...announce, port: 0 })).rejects.toThrow(/\/port/);
    expect((await client.announce({ ...announce, peerId: peerId(2) })).swarms[swarm('a')]).toEqual([]);
  });

  it('says that no tracker is configured', async () => {
    await expect(clientOf([]).announce(announce)).rejects.toThrow(/no tracker is configured/);
  });

  it('stops with the reason of its caller', async () => {
    const { url } = await startTracker();
    const reason = new Error('not wanted any more');
    await expect(clientOf([url]).announce(announce, AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});
