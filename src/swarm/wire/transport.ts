import { once } from 'node:events';
import type { Logger } from 'pino';
import type { Torrent } from 'webtorrent';
import { formatAddress, type PeerAddress, type PeerId } from '../../core/index.ts';
import { Admission } from './wire-admission.ts';
import { ListeningClient } from './wire-client.ts';
import { type DialFailure, Dialler } from './wire-dialler.ts';
import { WireHub, type WireLimits } from './wire-hub.ts';
import type { PeerLink } from './wire-link.ts';

export type { PeerLink } from './wire-link.ts';

/**
 * WebTorrent as a transport: with `wire-client.ts` the only file that knows it.
 *
 * WebTorrent keeps its listener, the handshakes, the extension protocol, and the life of a connection. Of its torrents only
 * the shell is used: each *meeting point* (a swarm id or an info hash) is a torrent that never gets metadata, so that its own
 * piece selection, storage and metadata exchange stay off, and every wire is handed to us right after the handshake. What
 * goes through a socket is ours: see {@link PeerLink}.
 */
export class Transport {
  readonly #client: ListeningClient;
  readonly #hub: WireHub;
  readonly #admission: Admission;
  readonly #dialler: Dialler;
  readonly #logger: Logger;
  #closing: Promise<void> | undefined;

  private constructor(options: TransportOptions, hub: WireHub, client: ListeningClient) {
    const random = options.random ?? Math.random;
    this.#client = client;
    this.#hub = hub;
    this.#logger = options.logger;
    this.#dialler = new Dialler(random);
    this.#admission = new Admission({
      admit: (socket, greeted) => client.admit(socket, greeted),
      connections: () => client.links.size,
      maxConnections: options.maxConnections,
      maxPerAddress: options.maxConnectionsPerAddress ?? MAX_CONNECTIONS_PER_ADDRESS,
      perSecond: options.acceptsPerSecond ?? ACCEPTS_PER_SECOND,
      nowMs: () => performance.now(),
      logger: options.logger,
    });
  }

  /** Listens, and routes incoming handshakes through `find`. The caller closes it. @throws when the port is taken */
  static async open(options: TransportOptions): Promise<Transport> {
    const { logger, random = Math.random } = options;
    const hub = new WireHub({ logger, random, nowMs: () => performance.now() });
    const client = new ListeningClient(options, hub);
    const transport = new Transport(options, hub, client);
    client.listenTo((socket) => transport.#admission.take(socket));
    try {
      if (!client.listening) await once(client, 'listening');
    } catch (error) {
      hub.close();
      throw error;
    }
    client.on('error', (error: Error) => logger.warn({ err: error }, 'peer transport'));
    return transport;
  }

  get port(): number {
    return this.#client.torrentPort;
  }

  /** Opens a meeting point; wires of both directions arrive at `onWire`, after the handshake and before any message. */
  async meet(id: string, onWire: (link: PeerLink) => void): Promise<MeetingPoint> {
    const torrent = this.#client.add({ infoHash: id }, { announce: [], deselect: true, uploads: 1000 });
    torrent.on('error', (error: Error) => this.#logger.debug({ err: error, id }, 'meeting point'));
    torrent._onWire = (wire) => {
      torrent.wires.push(wire);
      // WebTorrent sends our handshake of an incoming wire right after this call: no message may go before it.
      queueMicrotask(() => {
        const link = this.#client.links.get(wire);
        if (link === undefined || link.closed || torrent.destroyed) return wire.destroy();
        wire.setKeepAlive(true);
        onWire(link);
      });
    };
    if (torrent.infoHash === undefined) await once(torrent, 'infoHash');
    return new MeetingPoint(torrent, this.#client, this.#dialler);
  }

  /** Bytes a second through all wires of this process. Takes effect at once. */
  setLimits(limits: WireLimits): void {
    this.#hub.setLimits(limits);
  }

  /** Closes port and wires; a second call waits for the first. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#dialler.close();
    this.#admission.close();
    // Also those whose blob is still being looked up, which belong to no meeting point yet.
    for (const link of [...this.#client.links.values()]) link.close();
    await new Promise<void>((resolve) => this.#client.destroy(() => resolve()));
    this.#hub.close();
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
  /** Incoming from one address, default 256: many hosts can be behind one, and a cluster on one machine is. */
  readonly maxConnectionsPerAddress?: number;
  /** Incoming a second, default 50; the rest waits in turn. */
  readonly acceptsPerSecond?: number;
  /** The meeting point of an id that a peer asks for, opened on demand; `undefined` closes its connection. */
  readonly find: (id: string) => Promise<MeetingPoint | undefined>;
  readonly logger: Logger;
  /** 0 to 1; for jitter and the choice of whom to unchoke. */
  readonly random?: () => number;
}

/** All wires of one swarm id or info hash. */
export class MeetingPoint {
  readonly torrent: Torrent;
  readonly #client: ListeningClient;
  readonly #dialler: Dialler;
  /** Addresses that are being dialled, or wait for it. */
  readonly #dialling = new Set<string>();

  constructor(torrent: Torrent, client: ListeningClient, dialler: Dialler) {
    this.torrent = torrent;
    this.#client = client;
    this.#dialler = dialler;
  }

  /**
   * Dials a peer, unless it is dialled or connected already; a few at a time, the rest in turn. One that closes before its
   * handshake (it may be about to load the blob) is dialled again after 50 to 100 ms, three times. `onFailed` comes once,
   * when no wire came of it.
   */
  dial(address: PeerAddress, onFailed: (reason: DialFailure) => void = () => {}): void {
    const id = formatAddress(address);
    if (this.torrent.destroyed || this.#dialling.has(id) || this.torrent._peers.has(id)) return;
    this.#dialling.add(id);
    const queued = this.#dialler.add({
      connect: (done) => this.#client.dial(this.torrent, address, done),
      cancelled: () => this.torrent.destroyed,
      onFailed,
      onEnded: () => this.#dialling.delete(id),
    });
    if (queued) return;
    this.#dialling.delete(id);
    queueMicrotask(() => onFailed('refused'));
  }

  /** Closes all wires. */
  close(): void {
    if (!this.torrent.destroyed) this.torrent.destroy();
  }
}

const MAX_CONNECTIONS_PER_ADDRESS = 256;
const ACCEPTS_PER_SECOND = 50;
