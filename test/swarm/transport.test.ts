import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import Wire from 'bittorrent-protocol';
import { describe, expect, it, onTestFinished } from 'vitest';
import type WebTorrent from 'webtorrent';
import type { Torrent } from 'webtorrent';
import { makePeerId } from '../../src/core/index.ts';
import { type MeetingPoint, type PeerLink, Transport } from '../../src/swarm/transport.ts';
import { testLogger } from '../helpers/logger.ts';

const id = randomBytes(20).toString('hex');

async function openTransport(options: { port?: number } = {}) {
  const links: PeerLink[] = [];
  let point: MeetingPoint | undefined;
  const transport = await Transport.open({
    peerId: makePeerId(),
    host: '127.0.0.1',
    port: options.port ?? 0,
    maxConnections: 10,
    find: async (asked) => (asked === id ? point : undefined),
    logger: testLogger(),
  });
  onTestFinished(() => transport.close());
  point = await transport.meet(id, (link) => links.push(link));
  return { transport, point, links };
}

describe('Transport', () => {
  it('brings a wire to both ends, who see each other’s peer id and who dialled', async () => {
    const [dialling, listening] = [await openTransport(), await openTransport()];
    dialling.point.dial({ host: '127.0.0.1', port: listening.transport.port });
    await expect.poll(() => [dialling.links.length, listening.links.length]).toEqual([1, 1]);
    expect([dialling.links[0]!.outgoing, listening.links[0]!.outgoing]).toEqual([true, false]);
    expect(dialling.links[0]!.peerId).not.toBe(listening.links[0]!.peerId);
  });

  it('dials an address once, however often it is told', async () => {
    const [dialling, listening] = [await openTransport(), await openTransport()];
    for (let time = 0; time < 5; time++) dialling.point.dial({ host: '127.0.0.1', port: listening.transport.port });
    await expect.poll(() => listening.links.length).toBe(1);
    expect(dialling.links).toHaveLength(1);
  });

  it('can dial again after a wire was closed, but does not by itself', async () => {
    const [dialling, listening] = [await openTransport(), await openTransport()];
    const address = { host: '127.0.0.1', port: listening.transport.port };
    dialling.point.dial(address);
    await expect.poll(() => listening.links.length).toBe(1);
    listening.links[0]!.close();
    await expect.poll(() => dialling.point.torrent._peers.size).toBe(0);
    // WebTorrent's own first retry would come after a second.
    await expect(expect.poll(() => listening.links.length, { timeout: 1_500 }).toBe(2)).rejects.toThrow();
    dialling.point.dial(address);
    await expect.poll(() => listening.links.length).toBe(2);
  });

  it('sends without waiting for more (TCP_NODELAY) in both directions', async () => {
    const [dialling, listening] = [await openTransport(), await openTransport()];
    const set: boolean[] = [];
    const { Socket } = await import('node:net');
    const original = Socket.prototype.setNoDelay;
    Socket.prototype.setNoDelay = function (value) {
      set.push(value ?? true);
      return original.call(this, value);
    };
    onTestFinished(() => {
      Socket.prototype.setNoDelay = original;
    });
    dialling.point.dial({ host: '127.0.0.1', port: listening.transport.port });
    await expect.poll(() => [dialling.links.length, listening.links.length]).toEqual([1, 1]);
    expect(set.length).toBeGreaterThanOrEqual(2);
    expect(set).not.toContain(false);
  });

  it('says when its port is taken', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as { port: number };
    await expect(openTransport({ port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  it('finds every private member of webtorrent and bittorrent-protocol that it leans on', async () => {
    const { point, links } = await openTransport();
    const other = await openTransport();
    const torrent: Torrent = point.torrent;
    expect(torrent._peers).toBeInstanceOf(Map);
    expect(torrent.wires).toEqual([]);
    const client = (torrent as unknown as { client: WebTorrent }).client;
    expect(client._connPool?.tcpServer.listening).toBe(true);
    for (const member of ['_processBuffer', '_onMessageLength', '_debug', 'haveAll', 'haveNone', 'reject'] as const) {
      expect(typeof Wire.prototype[member], member).toBe('function');
    }
    other.point.dial({ host: '127.0.0.1', port: client.torrentPort });
    await expect.poll(() => links.length).toBe(1);
    const { wire } = links[0]!;
    expect(wire._parserSize).toBeTypeOf('number');
    expect(wire.peerPieces.get(0)).toBe(false);
    const [peer] = [...torrent._peers.values()];
    expect(peer!.wire).toBe(wire);
    expect(peer!.retries).toBe(Number.POSITIVE_INFINITY);
    expect(peer!.conn?.remoteAddress).toContain('127.0.0.1');
  });
});
