import type Wire from 'bittorrent-protocol';
import { lengthOfPiece, type Metainfo, pieceCount } from '../core/index.ts';
import { ServeQueue } from './serve-queue.ts';
import type { PeerLink } from './transport.ts';

/** The longest block that WebTorrent and libtorrent serve. */
const BLOCK_BYTES = 128 * 1024;
/** What every BitTorrent client serves (BEP 3). */
const FOREIGN_BLOCK_BYTES = 16 * 1024;

/** A few cancelled pieces come in all the same; a peer that sends more than this unasked is closed. */
const MAX_UNWANTED_BYTES = 64 * 1024 * 1024;

/** Who owns a session, and what it tells them. */
export interface SessionOwner {
  /** Whether this host has a piece, so that it may be served. */
  has(piece: number): boolean;
  /** Bytes of a piece that this host has. */
  read(piece: number, offset: number, length: number): Promise<Buffer>;
  onPeerHas(session: WireSession, piece: number): void;
  onPeerHasAll(session: WireSession): void;
  onUnchoked(session: WireSession): void;
  onChoked(session: WireSession): void;
  /** A block came in; `wanted` is false for one that was not asked for, or not any more. */
  onBlock(session: WireSession, bytes: number, wanted: boolean): void;
  /** All blocks of a piece that was requested are here; nothing of it is verified yet. */
  onPiece(session: WireSession, piece: number, bytes: Buffer): void;
  onRequestFailed(session: WireSession, piece: number): void;
  onServed(session: WireSession, bytes: number): void;
  onClosed(session: WireSession): void;
}

/** One wire of one blob: asks for whole pieces in blocks, serves blocks, and closes on whatever breaks the protocol. */
export class WireSession {
  readonly id: number;
  readonly link: PeerLink;
  /** Whether the tracker says that this peer is an origin. */
  readonly origin: boolean;
  readonly #metainfo: Metainfo;
  readonly #pieces: number;
  readonly #owner: SessionOwner;
  readonly #serving: ServeQueue;
  readonly #blockBytes: number;
  readonly #arriving = new Map<number, { buffer: Buffer; blocksLeft: number }>();
  #closed = false;
  #peerPieces = 0;
  #blockTaken = false;
  #unwantedBytes = 0;

  constructor(options: {
    id: number;
    link: PeerLink;
    origin: boolean;
    foreign: boolean;
    metainfo: Metainfo;
    owner: SessionOwner;
  }) {
    this.id = options.id;
    this.link = options.link;
    this.origin = options.origin;
    this.#metainfo = options.metainfo;
    this.#owner = options.owner;
    this.#pieces = pieceCount(options.metainfo.length, options.metainfo.pieceLength);
    this.#blockBytes = options.foreign ? FOREIGN_BLOCK_BYTES : BLOCK_BYTES;
    this.#serving = new ServeQueue({
      link: options.link,
      read: (piece, offset, length) => this.#owner.read(piece, offset, length),
      onServed: (bytes) => this.#owner.onServed(this, bytes),
    });
  }

  get peerId(): string {
    return this.link.peerId;
  }

  /** Whether the peer has every piece. */
  get complete(): boolean {
    return this.#peerPieces >= this.#pieces;
  }

  /** Tells the peer what this host has, and begins to listen. Called once. */
  start(bitfield: Uint8Array, verified: number, interested: boolean): void {
    const { wire } = this.link;
    wire.on('close', () => this.close());
    this.#listen(wire);
    this.#sendPieces(wire, bitfield, verified);
    if (interested) wire.interested();
    this.#readEarly(wire);
  }

  /** Asks for a whole piece. Its blocks come in one after the other on this wire. */
  request(piece: number): void {
    const { length, pieceLength } = this.#metainfo;
    const size = lengthOfPiece(piece, length, pieceLength);
    const arriving = { buffer: Buffer.allocUnsafe(size), blocksLeft: Math.ceil(size / this.#blockBytes) };
    this.#arriving.set(piece, arriving);
    for (let offset = 0; offset < size; offset += this.#blockBytes) {
      const blockLength = Math.min(this.#blockBytes, size - offset);
      this.link.wire.request(piece, offset, blockLength, (error, block) => {
        if (this.#arriving.get(piece) !== arriving) return; // Cancelled meanwhile.
        if (error !== null || block === undefined || block.length !== blockLength) {
          this.#fail(piece);
          return;
        }
        arriving.buffer.set(block, offset);
        this.#blockTaken = true;
        if (--arriving.blocksLeft > 0) return;
        this.#arriving.delete(piece);
        this.#owner.onPiece(this, piece, arriving.buffer);
      });
    }
  }

  /** Takes a request back; what still comes in of it is dropped. */
  cancel(piece: number): void {
    if (!this.#arriving.delete(piece)) return;
    const { length, pieceLength } = this.#metainfo;
    const size = lengthOfPiece(piece, length, pieceLength);
    for (let offset = 0; offset < size; offset += this.#blockBytes) {
      this.link.wire.cancel(piece, offset, Math.min(this.#blockBytes, size - offset));
    }
  }

  /** Bytes of a piece that have come in so far. */
  bytesArrived(piece: number): number {
    const arriving = this.#arriving.get(piece);
    if (arriving === undefined) return 0;
    const blocks = Math.ceil(arriving.buffer.length / this.#blockBytes);
    return (blocks - arriving.blocksLeft) * this.#blockBytes;
  }

  /** Tells the peer of one more piece. */
  have(piece: number): void {
    if (!this.#closed && !this.complete) this.link.wire.have(piece);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#serving.close();
    this.link.close();
    this.#arriving.clear();
    this.#owner.onClosed(this);
  }

  #listen(wire: Wire): void {
    wire.on('bitfield', () => this.#onBitfield(wire));
    wire.on('have-all', () => this.#onHaveAll());
    wire.on('have', (piece: number) => {
      if (piece < 0 || piece >= this.#pieces) this.close();
      else this.#peerHas(piece);
    });
    wire.on('piece', (_piece: number, _offset: number, block: Uint8Array) => this.#onBlock(block.length));
    wire.on('unchoke', () => this.#owner.onUnchoked(this));
    wire.on('choke', () => this.#owner.onChoked(this));
    wire.on('interested', () => wire.unchoke());
    wire.on('request', (piece: number, offset: number, length: number, respond: Respond) => {
      this.#onRequest({ piece, offset, length, respond });
    });
    wire.on('cancel', (piece: number, offset: number) => this.#serving.cancel(piece, offset));
  }

  /** What the peer said between its handshake and now. */
  #readEarly(wire: Wire): void {
    if (wire.peerPieces.setAll === undefined && wire.peerPieces.get(0) && wire.peerPieces.buffer.length === 0) {
      this.#onHaveAll();
    } else if (wire.peerPieces.buffer.length > 0) this.#onBitfield(wire);
    if (wire.peerInterested) wire.unchoke();
    if (!wire.peerChoking) this.#owner.onUnchoked(this);
  }

  #sendPieces(wire: Wire, bitfield: Uint8Array, verified: number): void {
    if (wire.hasFast && verified === this.#pieces) wire.haveAll();
    else if (wire.hasFast && verified === 0) wire.haveNone();
    else wire.bitfield(bitfield);
  }

  #onBitfield(wire: Wire): void {
    const bits = wire.peerPieces;
    const pieces: number[] = [];
    for (let piece = 0; piece < this.#pieces; piece++) if (bits.get(piece)) pieces.push(piece);
    if (pieces.length === this.#pieces) this.#onHaveAll();
    else for (const piece of pieces) this.#peerHas(piece);
  }

  #peerHas(piece: number): void {
    this.#peerPieces++;
    this.#owner.onPeerHas(this, piece);
  }

  #onHaveAll(): void {
    this.#peerPieces = this.#pieces;
    this.#owner.onPeerHasAll(this);
  }

  /** Comes after the callback of the request that the block answers, if there was one. */
  #onBlock(bytes: number): void {
    const wanted = this.#blockTaken;
    this.#blockTaken = false;
    this.#owner.onBlock(this, bytes, wanted);
    if (wanted) return;
    this.#unwantedBytes += bytes;
    if (this.#unwantedBytes > MAX_UNWANTED_BYTES) this.close();
  }

  #onRequest(request: { piece: number; offset: number; length: number; respond: Respond }): void {
    const { piece, offset, length, respond } = request;
    if (piece < 0 || piece >= this.#pieces || !this.#owner.has(piece)) {
      // With the fast extension this sends REJECT; without it BEP 3 has no word for it.
      respond(new Error('this peer does not have the piece'));
      return;
    }
    const size = lengthOfPiece(piece, this.#metainfo.length, this.#metainfo.pieceLength);
    const sound = offset >= 0 && length > 0 && length <= BLOCK_BYTES && offset + length <= size;
    if (!sound || !this.#serving.push({ piece, offset, length, respond })) this.close();
  }

  #fail(piece: number): void {
    this.#arriving.delete(piece);
    if (!this.#closed) this.#owner.onRequestFailed(this, piece);
  }
}

type Respond = (error: Error | null, block?: Uint8Array) => void;
