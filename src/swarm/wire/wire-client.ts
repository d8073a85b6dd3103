import type { Socket } from 'node:net';
import Wire from 'bittorrent-protocol';
import WebTorrent, {
  type ConnPool,
  type PeerClass,
  type ThrottleGroups,
  type Torrent,
  type WebTorrentPeer,
} from 'webtorrent';
import { formatAddress, type PeerAddress, type PeerId } from '../../core/index.ts';
import { MAX_QUEUED_BLOCKS } from './serve-queue.ts';
import type { DialFailure } from './wire-dialler.ts';
import type { WireHub } from './wire-hub.ts';
import { HANDSHAKE_TIMEOUT_MS, PeerLink } from './wire-link.ts';
import { PEERS_EXTENSION } from './wire-peers.ts';
import { adoptShared, dialShared, makeReadBuffer, type SharedSocket } from './wire-socket.ts';

/** What a client is made of. */
export interface ClientOptions {
  readonly peerId: PeerId;
  readonly host: string;
  readonly port: number;
  readonly maxConnections: number;
  /** The torrent of an id that a peer asks for. */
  readonly find: (id: string) => Promise<{ readonly torrent: Torrent } | undefined>;
}

/** Time to set up a TCP connection: one lost packet, and a way around the world. */
const CONNECT_TIMEOUT_MS = 3_000;

/** Ids that are looked up for incoming connections at a time, and for how long; their sockets are not read meanwhile. */
const MAX_LOOKUPS = 256;
const LOOKUP_TIMEOUT_MS = 10_000;

/** WebTorrent's client, which hands its sockets to us. */
export class ListeningClient extends WebTorrent {
  /** All wires, from the moment that their socket is connected. */
  readonly links = new Map<Wire, PeerLink>();
  readonly #find: ClientOptions['find'];
  readonly #hub: WireHub;
  readonly #maxConnections: number;
  readonly #peerClass: PeerClass;
  readonly #readBuffer = makeReadBuffer();
  /** Sockets on their way to a link. */
  readonly #opening = new WeakMap<Socket, OpeningSocket>();
  #lookups = 0;

  constructor(options: ClientOptions, hub: WireHub) {
    super({
      peerId: options.peerId,
      // Handed to net.Server.listen as it is: that is how a host can be chosen.
      torrentPort: { host: options.host, port: options.port },
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
    this.#hub = hub;
    this.#maxConnections = options.maxConnections;
    const nothing = { destroy: () => {} };
    const groups: HookedGroups = { down: nothing, up: nothing, [attach]: (peer) => this.#attach(peer) };
    this.throttleGroups = groups;
    this.#peerClass = hookPeers(this);
  }

  /** Hands incoming sockets to `take` in place of WebTorrent, unread. */
  listenTo(take: (socket: Socket) => void): void {
    const { tcpServer, _onTCPConnectionBound } = this.#pool;
    tcpServer.off('connection', _onTCPConnectionBound);
    tcpServer.pauseOnConnect = true;
    tcpServer.on('connection', (accepted: Socket) => {
      const shared = adoptShared(accepted, this.#readBuffer);
      this.#opening.set(shared.socket, { shared, greeted: () => {} });
      take(shared.socket);
    });
  }

  /** Lets WebTorrent read the handshake of an incoming socket; `greeted` is called when it is there. */
  admit(socket: Socket, greeted: () => void): void {
    const opening = this.#opening.get(socket);
    if (opening !== undefined) opening.greeted = greeted;
    this._connPool?._onTCPConnectionBound(socket);
  }

  /** Dials a peer for a torrent. `done` is called once: without anything when there is a wire. */
  dial(torrent: Torrent, address: PeerAddress, done: (failure?: DialFailure) => void): void {
    if (this.links.size >= this.#maxConnections) {
      done('refused');
      return;
    }
    const id = formatAddress(address);
    if (torrent._peers.has(id)) {
      done();
      return;
    }
    const peer = this.#peerClass.createTCPOutgoingPeer(id, torrent, this.throttleGroups, 'manual', 0);
    torrent._registerPeer(peer);
    const shared = dialShared(address, this.#readBuffer);
    const { socket } = shared;
    peer.conn = socket;
    const giveUp = () => {
      done('timeout');
      peer.destroy();
    };
    let timer = setTimeout(giveUp, CONNECT_TIMEOUT_MS);
    const greeted = () => {
      clearTimeout(timer);
      done();
    };
    this.#opening.set(socket, { shared, greeted });
    socket.once('connect', () => {
      clearTimeout(timer);
      timer = setTimeout(giveUp, HANDSHAKE_TIMEOUT_MS);
      if (peer.destroyed) socket.destroy();
      else peer.onConnect();
    });
    let failure: DialFailure = 'closed';
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.syscall === 'connect') failure = error.code === 'ETIMEDOUT' ? 'timeout' : 'refused';
      peer.destroy();
    });
    socket.once('close', () => {
      clearTimeout(timer);
      peer.destroy();
      done(failure);
    });
  }

  override async get(id: string): Promise<Torrent | null> {
    if (this.#lookups >= MAX_LOOKUPS) return null;
    this.#lookups++;
    let timer: NodeJS.Timeout | undefined;
    try {
      const late = new Promise<undefined>((resolve) => {
        timer = setTimeout(() => resolve(undefined), LOOKUP_TIMEOUT_MS);
      });
      return (await Promise.race([this.#find(id), late]))?.torrent ?? null;
    } catch (error) {
      this.#hub.logger.warn({ err: error, id }, 'what a peer asks for cannot be looked up');
      return null;
    } finally {
      clearTimeout(timer);
      this.#lookups--;
    }
  }

  get #pool(): ConnPool {
    const pool = this._connPool;
    if (pool === null) throw new Error('webtorrent made no connection pool');
    return pool;
  }

  /** A socket is connected: from here on its bytes are ours. */
  #attach(peer: WebTorrentPeer): void {
    const { wire, conn: socket } = peer;
    if (wire === null || socket === null) throw new Error(`webtorrent peer ${peer.id} has no wire or no socket`);
    wire.use(OtherPeers);
    // BEP 10: where this host listens, and how many requests it takes at a time.
    wire.extendedHandshake['p'] = this.torrentPort;
    wire.extendedHandshake['reqq'] = MAX_QUEUED_BLOCKS;
    const opening = this.#opening.get(socket);
    if (opening === undefined) throw new Error(`webtorrent peer ${peer.id} has a socket that is not ours`);
    const { shared } = opening;
    const onGreeted = () => opening.greeted();
    const link = new PeerLink({
      wire,
      peer,
      shared,
      hub: this.#hub,
      address: peer.addr ?? peer.id,
      onGreeted,
    });
    this.links.set(wire, link);
    peer.once('disconnect', () => this.links.delete(wire));
  }
}

/** A socket that has no wire yet. */
interface OpeningSocket {
  readonly shared: SharedSocket;
  /** The peer's handshake is there. */
  greeted: () => void;
}

/** Makes BEP 10 handshakes name the extension; its messages are read in the session. */
class OtherPeers {}
Object.defineProperty(OtherPeers.prototype, 'name', { value: PEERS_EXTENSION });

/** Where a client of ours keeps what takes its sockets: the throttle groups are handed to every peer before it starts. */
const attach = Symbol('shoal attach');

/** Marks a prototype that has been hooked. */
const hooked = Symbol('shoal hooked');

interface HookedGroups extends ThrottleGroups {
  readonly [attach]?: (peer: WebTorrentPeer) => void;
}

/**
 * Puts our link in the place of WebTorrent's stream pipeline, for all peers of clients of ours in this process. At the
 * prototype, because incoming peers are wired up inside of their constructor; done once.
 * @throws when webtorrent or bittorrent-protocol is not as this file knows it
 */
function hookPeers(client: WebTorrent): PeerClass {
  const peer = makeIdlePeer(client);
  const prototype = Object.getPrototypeOf(peer) as WebTorrentPeer & { [hooked]?: true };
  checkMembers('webtorrent peer', prototype, ['setThrottlePipes', 'onConnect', 'destroy']);
  checkMembers('webtorrent peer class', prototype.constructor, ['createTCPOutgoingPeer']);
  checkMembers('bittorrent-protocol wire', Wire.prototype, WIRE_MEMBERS);
  const peerClass = prototype.constructor as unknown as PeerClass;
  if (prototype[hooked] === true) return peerClass;
  const original = prototype.setThrottlePipes;
  prototype.setThrottlePipes = function (this: WebTorrentPeer): void {
    const take = (this.throttleGroups as HookedGroups)[attach];
    if (take === undefined) original.call(this);
    else take(this);
  };
  prototype[hooked] = true;
  return peerClass;
}

/** A peer that is never connected, only to get at its class, which webtorrent does not export. */
function makeIdlePeer(client: WebTorrent): WebTorrentPeer {
  const torrent = client.add({ infoHash: '0'.repeat(40) }, { announce: [], deselect: true });
  checkMembers('webtorrent torrent', torrent, ['_addPeer', '_registerPeer', '_onWire', 'destroy']);
  client.maxConns = 0; // Nothing is dialled.
  const peer = torrent._addPeer('127.0.0.1:1', 'tcp', 'manual');
  // Admission and dialler count for all blobs together; WebTorrent would for each alone.
  client.maxConns = Number.MAX_SAFE_INTEGER;
  torrent.destroy();
  if (peer === null) throw new Error('webtorrent makes no peer: see src/swarm/wire/wire-client.ts');
  return peer;
}

const WIRE_MEMBERS = [
  ...['_push', '_debug', '_onHandshakeBuffer', '_onChoke', '_onUnchoke', '_onInterested', '_onUninterested'],
  ...['_onExtended', 'use', 'setKeepAlive', 'interested', 'uninterested', 'choke', 'unchoke', 'haveAll', 'haveNone'],
  ...['bitfield', 'extended', 'destroy'],
] as const;

function checkMembers(what: string, object: object, names: readonly string[]): void {
  const missing = names.filter((name) => typeof Reflect.get(object, name) !== 'function');
  if (missing.length === 0) return;
  throw new Error(`${what} has no ${missing.join(', ')}: webtorrent has changed, see src/swarm/wire/wire-client.ts`);
}
