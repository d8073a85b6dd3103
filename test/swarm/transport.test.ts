import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import Wire from 'bittorrent-protocol';
import { describe, expect, it, onTestFinished } from 'vitest';
import type WebTorrent from 'webtorrent';
import type { Torrent } from 'webtorrent';
import { makePeerId } from '../../src/core/index.ts';
import { type MeetingPoint, type PeerLink, Transport } from '../../src/swarm/wire/transport.ts';
import { testLogger } from '../helpers/logger.ts';

const id = randomBytes(20).toString('hex');

async function openTransport(options: { port?: number; find?: () => Promise<undefined> } = {}) {
  const links: PeerLink[] = [];
  let point: MeetingPoint | undefined;
  let hidden = false;
  let asked = 0;
  const transport = await Transport.open({
    peerId: makePeerId(),
    host: '127.0.0.1',
    port: options.port ?? 0,
    maxConnections: 10,
    find: (wanted) => {
      asked++;
      if (options.find !== undefined) return options.find();
      return Promise.resolve(wanted === id && !hidden ? point : undefined);
    },
    logger: testLogger(),
  });
  onTestFinished(() => transport.close());
  point = await transport.meet(id, (link) => {
    links.push(link);
    link.listen({ onMessage() {}, onBlockStart: () => undefined, onBlockEnd() {}, onClosed() {} }, 1);
  });
  const hide = () => {
    hidden = true;
  };
  const show = () => {
    hidden = false;
  };
  return { transport, point, links, hide, show, asked: () => asked };
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

  it('retries a dial that closes before its handshake, three times, and says how it ended', async () => {
    const dialling = await openTransport();
    const times: number[] = [];
    const server = createServer((socket) => {
      times.push(performance.now());
      socket.destroy();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const failures: string[] = [];
    const { port } = server.address() as { port: number };
    dialling.point.dial({ host: '127.0.0.1', port }, (reason) => failures.push(reason));
    await expect.poll(() => failures).toEqual(['closed']);
    expect(times).toHaveLength(4);
    for (const [index, time] of times.slice(1).entries()) expect(time - times[index]!).toBeGreaterThanOrEqual(45);
    expect(dialling.point.torrent._peers.size).toBe(0);
  });

  it('meets a peer that loads the blob while it is being dialled', async () => {
    const [dialling, listening] = [await openTransport(), await openTransport()];
    listening.hide();
    const failures: string[] = [];
    dialling.point.dial({ host: '127.0.0.1', port: listening.transport.port }, (reason) => failures.push(reason));
    await expect.poll(() => listening.asked()).toBeGreaterThan(0);
    listening.show();
    await expect.poll(() => dialling.links.length).toBe(1);
    expect(failures).toEqual([]);
  });

  it('says that nobody listens', async () => {
    const dialling = await openTransport();
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    server.close();
    await once(server, 'close');
    const failures: string[] = [];
    dialling.point.dial({ host: '127.0.0.1', port }, (reason) => failures.push(reason));
    await expect.poll(() => failures).toEqual(['refused']);
  });

  it('gives up a peer that accepts and never shakes hands', { timeout: 15_000 }, async () => {
    const dialling = await openTransport();
    const server = createServer((socket) => void socket.on('error', () => {})).listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const failures: string[] = [];
    const { port } = server.address() as { port: number };
    dialling.point.dial({ host: '127.0.0.1', port }, (reason) => failures.push(reason));
    await expect.poll(() => failures, { timeout: 10_000 }).toEqual(['timeout']);
  });

  it('closes while dials, lookups and wires are under way', async () => {
    const [dialling, listening] = [await openTransport(), await openTransport({ find: () => new Promise(() => {}) })];
    for (let port = 1; port < 20; port++) dialling.point.dial({ host: '127.0.0.1', port: 60_000 + port });
    dialling.point.dial({ host: '127.0.0.1', port: listening.transport.port });
    await expect.poll(() => listening.asked()).toBe(1);
    await Promise.all([dialling.transport.close(), listening.transport.close()]);
    expect([dialling.links, listening.links]).toEqual([[], []]);
  });

  it('reads all sockets through one buffer, incoming ones too', async () => {
    const [dialling, listening] = [await openTransport(), await openTransport()];
    dialling.point.dial({ host: '127.0.0.1', port: listening.transport.port });
    await expect.poll(() => [dialling.links.length, listening.links.length]).toEqual([1, 1]);
    for (const { point } of [dialling, listening]) {
      const [peer] = [...point.torrent._peers.values()];
      // Node would otherwise make a stream of chunks of its own.
      expect(peer!.conn!.listenerCount('data')).toBe(0);
      expect(peer!.conn!.remoteAddress).toContain('127.0.0.1');
    }
  });

  it('finds every private member of webtorrent and bittorrent-protocol that it leans on', async () => {
    const { point, links } = await openTransport();
    const other = await openTransport();
    const torrent: Torrent = point.torrent;
    expect(torrent._peers).toBeInstanceOf(Map);
    expect(torrent.wires).toEqual([]);
    const client = (torrent as unknown as { client: WebTorrent }).client;
    expect(client._connPool?.tcpServer.listening).toBe(true);
    expect(client._connPool?.tcpServer.listeners('connection')).not.toContain(client._connPool?._onTCPConnectionBound);
    other.point.dial({ host: '127.0.0.1', port: client.torrentPort });
    await expect.poll(() => links.length).toBe(1);
    const { wire } = links[0]!;
    expect(wire).toBeInstanceOf(Wire);
    expect(wire.extendedMapping[1]).toBe('shoal_peers');
    expect([wire.hasFast, wire.amChoking, wire.peerExtensions.extended]).toEqual([true, true, true]);
    const [peer] = [...torrent._peers.values()];
    expect(peer!.wire).toBe(wire);
    // Nothing of the pipeline is left: nobody listens for what the wire would emit as a stream.
    expect([wire.listenerCount('data'), wire.listenerCount('readable')]).toEqual([0, 0]);
  });

  it('leaves the peers of other WebTorrent clients in this process alone', async () => {
    await openTransport();
    const { default: Client } = await import('webtorrent');
    const client = new Client({
      dht: false,
      lsd: false,
      tracker: false,
      utp: false,
      natUpnp: false,
      natPmp: false,
      secure: 0,
    });
    onTestFinished(() => new Promise<void>((resolve) => client.destroy(() => resolve())));
    const torrent = client.add({ infoHash: id }, { announce: [] });
    if (torrent.infoHash === undefined) await once(torrent, 'infoHash');
    const listening = await openTransport();
    (torrent as unknown as { addPeer(address: string): void }).addPeer(`127.0.0.1:${listening.transport.port}`);
    await expect.poll(() => listening.links.length).toBe(1);
    const [peer] = [...torrent._peers.values()];
    expect(peer!.conn!.listenerCount('data') + peer!.conn!.listenerCount('readable')).toBeGreaterThan(0);
  });
});
