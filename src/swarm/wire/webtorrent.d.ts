/**
 * The members of webtorrent 3.0.21 and bittorrent-protocol 5.0.9 that this folder uses, private ones included. Written by
 * hand, because the published types are of an older major. `test/swarm/transport.test.ts` fails when an upgrade moves one.
 */
declare module 'webtorrent' {
  import type { EventEmitter } from 'node:events';
  import type { Server, Socket } from 'node:net';
  import type Wire from 'bittorrent-protocol';

  export interface WebTorrentPeer extends EventEmitter {
    readonly id: string;
    readonly type: string;
    readonly destroyed: boolean;
    readonly wire: Wire | null;
    readonly throttleGroups: ThrottleGroups;
    /** `ip:port` of the other end. */
    readonly addr: string | null;
    conn: Socket | null;
    onConnect(): void;
    setThrottlePipes(): void;
    destroy(error?: Error): void;
  }

  export interface PeerClass {
    readonly prototype: WebTorrentPeer;
    createTCPOutgoingPeer(
      address: string,
      torrent: Torrent,
      throttleGroups: ThrottleGroups,
      source: string,
      secure: number,
    ): WebTorrentPeer;
  }

  export interface ThrottleGroups {
    readonly down: { destroy(): void };
    readonly up: { destroy(): void };
  }

  export interface Torrent extends EventEmitter {
    readonly infoHash: string;
    readonly destroyed: boolean;
    readonly wires: Wire[];
    readonly _peers: Map<string, WebTorrentPeer>;
    _onWire(wire: Wire, address?: string): void;
    _addPeer(address: string, type: 'tcp', source: string): WebTorrentPeer | null;
    _registerPeer(peer: WebTorrentPeer): void;
    destroy(callback?: () => void): void;
  }

  export interface ConnPool {
    readonly tcpServer: Server & { pauseOnConnect: boolean };
    readonly _onTCPConnectionBound: (socket: Socket) => void;
  }

  export default class WebTorrent extends EventEmitter {
    constructor(options: Record<string, unknown>);
    readonly torrents: Torrent[];
    readonly listening: boolean;
    readonly torrentPort: number;
    readonly _connPool: ConnPool | null;
    maxConns: number;
    throttleGroups: ThrottleGroups;
    add(torrent: { infoHash: string }, options: Record<string, unknown>): Torrent;
    get(infoHash: string): Promise<Torrent | null>;
    destroy(callback?: (error?: Error) => void): void;
  }
}

declare module 'bittorrent-protocol' {
  import type { EventEmitter } from 'node:events';

  export default class Wire extends EventEmitter {
    readonly peerId: string;
    readonly type: string;
    readonly destroyed: boolean;
    readonly hasFast: boolean;
    readonly amChoking: boolean;
    readonly peerExtensions: { readonly extended?: boolean };
    /** Names of our extensions by number. */
    readonly extendedMapping: Readonly<Record<number, string>>;
    /** Numbers of the peer's extensions by name. */
    readonly peerExtendedMapping: Readonly<Record<string, number>>;
    readonly peerExtendedHandshake: Readonly<Record<string, unknown>>;
    readonly extendedHandshake: Record<string, unknown>;
    _push(bytes: Uint8Array): boolean;
    _debug(...parts: unknown[]): void;
    /** The handshake without its first byte. */
    _onHandshakeBuffer(handshake: Uint8Array): void;
    _onChoke(): void;
    _onUnchoke(): void;
    _onInterested(): void;
    _onUninterested(): void;
    _onExtended(id: number, body: Uint8Array): void;
    use(extension: new (wire: Wire) => object): void;
    setKeepAlive(enable: boolean): void;
    interested(): void;
    uninterested(): void;
    unchoke(): void;
    choke(): void;
    haveAll(): void;
    haveNone(): void;
    bitfield(bits: Uint8Array): void;
    extended(name: string, body: Uint8Array): void;
    destroy(): void;
  }
}
