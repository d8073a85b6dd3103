import { once } from 'node:events';
import type { Socket } from 'node:net';
import Wire from 'bittorrent-protocol';
import type { Logger } from 'pino';
import WebTorrent, { type Torrent, type WebTorrentPeer } from 'webtorrent';
import { formatAddress, type PeerAddress, type PeerId } from '../core/index.ts';

/**
 * WebTorrent as a transport: the only file that knows it.
 *
 * WebTorrent keeps its listener, its dialling, handshakes, wire protocol and throttling. Of its torrents only the shell is
 * used: each *meeting point* (a swarm id or an info hash) is a torrent that never gets metadata, so that its own piece
 * selection, storage and metadata exchange stay off, and every wire is handed to us right after the handshake.
 */
export class Transport {
  readonly #client: ListeningClient;
  readonly #logger: Logger;

  private constructor(client: ListeningClient, logger: Logger) {
    this.#client = client;
    this.#logger = logger;
  }

  /** Listens, and routes incoming handshakes through `find`. The caller closes it. @throws when the port is taken */
  static async open(options: TransportOptions): Promise<Transport> {
    hardenWires();
    const client = new ListeningClient(options);
    await client.listenLoud(options.maxConnections);
    client.on('error', (error: Error) => options.logger.warn({ err: error }, 'peer transport'));
    return new Transport(client, options.logger);
  }

  get port(): number {
    return this.#client.torrentPort;
  }

  /** Opens a meeting point; wires of both directions arrive at `onWire`. */
  async meet(id: string, onWire: (link: PeerLink) => void): Promise<MeetingPoint> {
    const torrent = this.#client.add({ infoHash: id }, { announce: [], deselect: true, uploads: 1000 });
    torrent.on('error', (error: Error) => this.#logger.debug({ err: error, id }, 'meeting point'));
    torrent._onWire = (wire, address) => {
      torrent.wires.push(wire);
      const peer = [...torrent._peers.values()].find((candidate) => candidate.wire === wire);
      if (peer === undefined) return wire.destroy();
      // We dial again ourselves when the tracker says so; WebTorrent would do it three times whatever the reason was.
      peer.retries = Number.POSITIVE_INFINITY;
      peer.conn?.setNoDelay(true);
      // WebTorrent sends our handshake of an incoming wire right after this call: no message may go before it.
      queueMicrotask(() => {
        if (wire.destroyed || torrent.destroyed) return;
        wire.setKeepAlive(true);
        onWire(new PeerLink(wire, peer, address ?? peer.id));
      });
    };
    if (torrent.infoHash === undefined) await once(torrent, 'infoHash');
    return new MeetingPoint(torrent);
  }

  /** Bytes a second that leave this process through wires; 0 for no limit. Takes effect at once. */
  limitEgress(bytesPerSecond: number): void {
    this.#client.throttleUpload(bytesPerSecond === 0 ? -1 : bytesPerSecond);
  }

  /** Bytes a second that come in; 0 for no limit. */
  limitIngress(bytesPerSecond: number): void {
    this.#client.throttleDownload(bytesPerSecond === 0 ? -1 : bytesPerSecond);
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => this.#client.destroy(() => resolve()));
  }
}

/** What a transport is made of. */
export interface TransportOptions {
  readonly peerId: PeerId;
  readonly host: string;
  /** 0 chooses a free one. */
  readonly port: number;
  /** Incoming and outgoing, over all blobs. */
  readonly maxConnections: number;
  /** The meeting point of an id that a peer asks for, opened on demand; `undefined` closes its connection. */
  readonly find: (id: string) => Promise<MeetingPoint | undefined>;
  readonly logger: Logger;
}

/** All wires of one swarm id or info hash. */
export class MeetingPoint {
  readonly torrent: Torrent;

  constructor(torrent: Torrent) {
    this.torrent = torrent;
  }

  /** Dials a peer, unless it is dialled or connected already. */
  dial(address: PeerAddress): void {
    if (this.torrent.destroyed) return;
    const id = formatAddress(address);
    if (this.torrent._peers.has(id)) return;
    this.torrent.addPeer(id);
    const peer = this.torrent._peers.get(id);
    if (peer !== undefined) peer.retries = Number.POSITIVE_INFINITY;
  }

  /** Closes all wires. */
  close(): void {
    if (!this.torrent.destroyed) this.torrent.destroy();
  }
}

/** One wire to one peer, after the handshake. */
export class PeerLink {
  readonly wire: Wire;
  readonly address: string;
  readonly #peer: WebTorrentPeer;

  constructor(wire: Wire, peer: WebTorrentPeer, address: string) {
    this.wire = wire;
    this.address = address;
    this.#peer = peer;
    // A listener for good: a wire that fails in between must not end the process.
    wire.on('error', () => this.close());
  }

  get peerId(): string {
    return this.wire.peerId;
  }

  /** Whether this host dialled. */
  get outgoing(): boolean {
    return this.wire.type.includes('Outgoing');
  }

  /** Calls back with the number of bytes whenever some have been handed to the socket. */
  onSent(listener: (bytes: number) => void): void {
    this.#peer.on('upload', listener);
  }

  close(): void {
    this.#peer.destroy();
  }
}

/** Longest message taken: a block of 128 KiB with its head, or the bitfield of a blob of 100 GiB. */
const MAX_MESSAGE_BYTES = 128 * 1024 + 64;

/** A connection may take this long to say which blob it wants; WebTorrent would wait 25 s. */
const HANDSHAKE_TIMEOUT_MS = 5_000;

class ListeningClient extends WebTorrent {
  readonly #find: TransportOptions['find'];

  constructor(options: TransportOptions) {
    super({
      peerId: options.peerId,
      // Handed to net.Server.listen as it is: that is how a host can be chosen.
      torrentPort: { host: options.host, port: options.port },
      maxConns: options.maxConnections,
      dht: false,
      lsd: false,
      tracker: false,
      utp: false,
      utPex: false,
      natUpnp: false,
      natPmp: false,
      webSeeds: false,
      secure: 0,
    });
    this.#find = options.find;
  }

  override async get(id: string): Promise<Torrent | null> {
    return (await this.#find(id))?.torrent ?? null;
  }

  /** Resolves once the port is open; rejects when it cannot be. */
  async listenLoud(maxConnections: number): Promise<void> {
    const pool = this._connPool;
    if (pool === null) throw new Error('webtorrent made no connection pool');
    pool.tcpServer.maxConnections = maxConnections;
    pool.tcpServer.prependListener('connection', (socket: Socket) => closeUnlessGreeted(socket));
    if (!this.listening) await once(this, 'listening');
  }
}

function closeUnlessGreeted(socket: Socket): void {
  socket.setNoDelay(true);
  const timer = setTimeout(() => {
    if (socket.bytesRead < 68) socket.destroy();
  }, HANDSHAKE_TIMEOUT_MS);
  timer.unref();
  socket.once('close', () => clearTimeout(timer));
}

const hardened = Symbol('shoal hardened');

/**
 * Guards all wires of this process against hostile messages: a length beyond what we ever need, or bytes that make the
 * parser throw, close the one wire. Also empties `_debug`, which formats a string for every message. Done once, at the
 * prototype, because a peer's first messages can come in before the wire is handed to us.
 */
function hardenWires(): void {
  const prototype = Wire.prototype as Wire & { [hardened]?: true };
  if (prototype[hardened] === true) return;
  const { _processBuffer: parse, _onMessageLength: onMessageLength, _debug: debug } = prototype;
  for (const member of [parse, onMessageLength, debug]) {
    if (typeof member !== 'function') throw new Error('bittorrent-protocol has changed: see src/swarm/transport.ts');
  }
  prototype._onMessageLength = function (this: Wire, bytes: Uint8Array): void {
    // The protocol reads a signed number: 4 GiB would pass for a keep-alive.
    if (bytes[0]! >= 0x80) throw new RangeError('message length of 2 GiB or more');
    onMessageLength.call(this, bytes);
  };
  prototype._processBuffer = function (this: Wire): void {
    try {
      parse.call(this);
    } catch {
      this.destroy(); // Whatever the peer sent, it costs this wire only.
      return;
    }
    // MAX_VALUE is what the protocol sets itself after the wire has finished.
    if (this._parserSize > MAX_MESSAGE_BYTES && this._parserSize !== Number.MAX_VALUE) this.destroy();
  };
  prototype._debug = () => {};
  prototype[hardened] = true;
}
