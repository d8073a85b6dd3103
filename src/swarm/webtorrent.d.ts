/**
 * The members of webtorrent 3.0.21 and bittorrent-protocol 5.0.9 that `transport.ts` uses, private ones included. Written
 * by hand, because the published types are of an older major. `test/swarm/transport.test.ts` fails when an upgrade moves one.
 */
declare module 'webtorrent' {
  import type { EventEmitter } from 'node:events';
  import type { Server, Socket } from 'node:net';
  import type Wire from 'bittorrent-protocol';

  export interface WebTorrentPeer extends EventEmitter {
    readonly id: string;
    readonly type: string;
    readonly conn: Socket | null;
    readonly wire: Wire | null;
    retries: number;
    destroy(error?: Error): void;
  }

  export interface Torrent extends EventEmitter {
    readonly infoHash: string;
    readonly destroyed: boolean;
    readonly wires: Wire[];
    readonly _peers: Map<string, WebTorrentPeer>;
    _onWire(wire: Wire, address?: string): void;
    addPeer(address: string): boolean;
    destroy(callback?: () => void): void;
  }

  export interface ConnPool {
    readonly tcpServer: Server;
    _onTCPConnectionBound: (socket: Socket) => void;
  }

  export default class WebTorrent extends EventEmitter {
    constructor(options: Record<string, unknown>);
    readonly torrents: Torrent[];
    readonly listening: boolean;
    readonly torrentPort: number;
    readonly _connPool: ConnPool | null;
    add(torrent: { infoHash: string }, options: Record<string, unknown>): Torrent;
    get(infoHash: string): Promise<Torrent | null>;
    throttleUpload(bytesPerSecond: number): void;
    throttleDownload(bytesPerSecond: number): void;
    destroy(callback?: (error?: Error) => void): void;
  }
}

declare module 'bittorrent-protocol' {
  import type { EventEmitter } from 'node:events';

  type RequestCallback = (error: Error | null, block?: Uint8Array) => void;

  export default class Wire extends EventEmitter {
    readonly peerId: string;
    readonly type: string;
    readonly destroyed: boolean;
    readonly hasFast: boolean;
    readonly amChoking: boolean;
    readonly peerChoking: boolean;
    readonly peerInterested: boolean;
    /** A BitField, or one whose `get` always answers true after a have-all. */
    readonly peerPieces: { get(index: number): boolean; readonly buffer: Uint8Array; readonly setAll?: unknown };
    _parserSize: number;
    _processBuffer(): void;
    _onMessageLength(bytes: Uint8Array): void;
    _debug(...parts: unknown[]): void;
    setKeepAlive(enable: boolean): void;
    interested(): void;
    uninterested(): void;
    unchoke(): void;
    choke(): void;
    have(index: number): void;
    haveAll(): void;
    haveNone(): void;
    bitfield(bits: Uint8Array): void;
    request(index: number, offset: number, length: number, callback: RequestCallback): void;
    cancel(index: number, offset: number, length: number): void;
    reject(index: number, offset: number, length: number): void;
    destroy(): void;
  }
}
