import type { LentBytes } from '../../castore/index.ts';
import { type Metainfo, type PeerAddress, pieceCount } from '../../core/index.ts';
import { PieceFetching } from './wire-fetching.ts';
import { HaveBatch } from './wire-haves.ts';
import type { PeerLink } from './wire-link.ts';
import { BLOCK_BYTES, FOREIGN_BLOCK_BYTES, MessageId, message, WireProtocolError } from './wire-messages.ts';
import { encodePeers, findPeers, PEERS_EXTENSION } from './wire-peers.ts';
import { PeerPieces } from './wire-pieces.ts';
import { PieceServing } from './wire-serving.ts';

/** A peer that is turned away may take this long to say that it understands who else there is. */
const TURN_AWAY_MS = 1_000;

/** Who owns a session: answers what it asks, and is told what happens on the wire. None of these may throw. */
export interface SessionOwner {
  /** Whether this host has a piece, so that it may be served. */
  has(piece: number): boolean;
  /** Lends bytes of a piece that this host has. They are given back, once. */
  lend(piece: number, offset: number, length: number): LentBytes | Promise<LentBytes>;
  /** Memory for a piece, of exactly its length; asked for when the first block of a requested piece comes. */
  pieceBuffer(piece: number): Buffer;
  /** Takes back memory of a piece that did not become whole. */
  returnBuffer(buffer: Buffer): void;
  onPeerHas(session: WireSession, piece: number): void;
  /** What the peer has, as a BEP 3 bitfield, only good during the call; when that is all, {@link onPeerHasAll} comes instead. */
  onPeerBits(session: WireSession, bits: Uint8Array): void;
  onPeerHasAll(session: WireSession): void;
  onUnchoked(session: WireSession): void;
  onChoked(session: WireSession): void;
  /** BEP 6 SUGGEST: the peer would like to be asked for this piece. */
  onSuggested(session: WireSession, piece: number): void;
  /** A block came in; `wanted` is false for one that was not asked for, or not any more. */
  onBlock(session: WireSession, bytes: number, wanted: boolean): void;
  /** All blocks of a requested piece are here, nothing of them verified. The buffer is the owner's from now on. */
  onPiece(session: WireSession, piece: number, buffer: Buffer): void;
  /** A request was refused. Told once a piece; not for what the owner cancelled, nor for what ends with the wire. */
  onRequestFailed(session: WireSession, piece: number): void;
  /** Bytes of pieces have been handed to the kernel. */
  onServed(session: WireSession, bytes: number): void;
  /** A peer that is full names others: IP literals, eight at most. */
  onPeersOffered(session: WireSession, peers: readonly PeerAddress[]): void;
  /** The wire has ended, whoever did it. Told once. */
  onClosed(session: WireSession): void;
}

/** What a session is made of. */
export interface SessionOptions {
  /** A small number that the owner knows it by. */
  readonly id: number;
  readonly link: PeerLink;
  /** Whether the tracker says that this peer is an origin. */
  readonly origin: boolean;
  /** Whether it came under the info hash: another BitTorrent client. */
  readonly foreign: boolean;
  readonly metainfo: Pick<Metainfo, 'length' | 'pieceLength'>;
  readonly owner: SessionOwner;
}

/** One wire of one blob: asks for whole pieces in blocks, serves blocks, and closes on whatever breaks the protocol. */
export class WireSession {
  readonly id: number;
  readonly link: PeerLink;
  readonly origin: boolean;
  readonly foreign: boolean;
  /** Whether what is served here counts as seeding in the background, which has a limit of its own. Its owner sets it. */
  background = false;
  readonly #owner: SessionOwner;
  readonly #metainfo: SessionOptions['metainfo'];
  readonly #pieces: number;
  readonly #theirs: PeerPieces;
  readonly #fetching: PieceFetching;
  readonly #haves: HaveBatch;
  #serving: PieceServing | undefined;
  #turningAway: { readonly peers: readonly PeerAddress[]; readonly timer: NodeJS.Timeout } | undefined;
  #listening = false;
  #closed = false;

  constructor(options: SessionOptions) {
    const { link, metainfo, owner } = options;
    this.id = options.id;
    this.link = link;
    this.origin = options.origin;
    this.foreign = options.foreign;
    this.#owner = owner;
    this.#metainfo = metainfo;
    this.#pieces = pieceCount(metainfo.length, metainfo.pieceLength);
    this.#theirs = new PeerPieces(this.#pieces);
    this.#haves = new HaveBatch(link, this.#pieces);
    this.#fetching = new PieceFetching({
      link,
      metainfo,
      blockBytes: options.foreign ? FOREIGN_BLOCK_BYTES : BLOCK_BYTES,
      pieceBuffer: (piece) => owner.pieceBuffer(piece),
      returnBuffer: (buffer) => owner.returnBuffer(buffer),
      onBlock: (bytes, wanted) => this.#onBlock(bytes, wanted),
      onPiece: (piece, buffer) => owner.onPiece(this, piece, buffer),
      onFailed: (piece) => owner.onRequestFailed(this, piece),
    });
  }

  get peerId(): string {
    return this.link.peerId;
  }

  /** Whether the peer has every piece. */
  get complete(): boolean {
    return this.#theirs.complete;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Tells the peer what this host has, and begins to listen. Called once. */
  start(bitfield: Uint8Array, verified: number, interested: boolean): void {
    if (this.#closed) return;
    const { wire } = this.link;
    this.#serving = new PieceServing({
      link: this.link,
      metainfo: this.#metainfo,
      foreign: this.foreign,
      has: (piece) => this.#owner.has(piece),
      lend: (piece, offset, length) => this.#owner.lend(piece, offset, length),
      background: () => this.background,
      peerShare: () => this.#theirs.count / this.#pieces,
      onServed: (bytes) => this.#owner.onServed(this, bytes),
    });
    if (wire.hasFast && verified === this.#pieces) wire.haveAll();
    else if (wire.hasFast && verified === 0) wire.haveNone();
    else wire.bitfield(bitfield);
    if (interested) wire.interested();
    this.#serving.welcome();
    this.#listen();
  }

  /** Asks for a whole piece, unless it is asked for already. Its blocks come in one after the other on this wire. */
  request(piece: number): void {
    if (!this.#closed) this.#fetching.request(piece);
  }

  /** Takes a request back; what still comes in of it is dropped. */
  cancel(piece: number): void {
    this.#fetching.cancel(piece);
  }

  /** Bytes of a piece that have come in so far, in whole blocks. */
  bytesArrived(piece: number): number {
    return this.#fetching.bytesArrived(piece);
  }

  /**
   * Tells the peer of one more piece, together with others of the same moment. A peer that has all need not know, but an
   * origin: what it suggests next depends on it.
   */
  have(piece: number): void {
    if (!this.#closed && (this.origin || !this.complete)) this.#haves.add(piece);
  }

  /** Tells the peer which piece to ask for (BEP 6); nothing when it does not know the fast extension. */
  suggest(piece: number): void {
    if (!this.#closed && this.link.wire.hasFast) this.link.send(message(MessageId.suggest, piece));
  }

  interested(): void {
    if (!this.#closed) this.link.wire.interested();
  }

  uninterested(): void {
    if (!this.#closed) this.link.wire.uninterested();
  }

  /**
   * Names others to the peer, where it understands that, and closes, after 3 s at the latest. Instead of {@link start}, or
   * after it; what is outstanding ends at once, without a word of it to the owner.
   */
  turnAway(peers: readonly PeerAddress[]): void {
    if (this.#closed || this.#turningAway !== undefined) return;
    this.#serving?.close();
    this.#fetching.close();
    // The handshake in which the peer says what it understands may still be on its way.
    const timer = setTimeout(() => this.close(), TURN_AWAY_MS);
    timer.unref();
    this.#turningAway = { peers, timer };
    if (!this.#listening) this.#listen();
    this.#nameOthers();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#turningAway?.timer);
    this.#serving?.close();
    this.#haves.close();
    this.link.close();
    this.#fetching.close();
    this.#owner.onClosed(this);
  }

  #listen(): void {
    this.#listening = true;
    const reader = {
      onMessage: (id: number, body: Buffer) => this.#onMessage(id, body),
      onBlockStart: (piece: number, offset: number, length: number) =>
        this.#fetching.onBlockStart(piece, offset, length),
      onBlockEnd: () => this.#fetching.onBlockEnd(),
      onClosed: () => this.close(),
    };
    this.link.listen(reader, (this.#pieces + 7) >> 3);
  }

  #onMessage(id: number, body: Buffer) {
    const { wire } = this.link;
    if (this.#turningAway !== undefined) {
      if (id === MessageId.extended) this.#onExtended(body);
      return;
    }
    switch (id) {
      case MessageId.choke:
        return this.#onChoke();
      case MessageId.unchoke:
        wire._onUnchoke();
        return this.#owner.onUnchoked(this);
      case MessageId.interested:
        wire._onInterested();
        return this.#serving?.onInterest(true);
      case MessageId.uninterested:
        wire._onUninterested();
        return this.#serving?.onInterest(false);
      case MessageId.have:
        return this.#onHave(this.#pieceIn(body));
      case MessageId.bitfield:
        return this.#onBitfield(body);
      case MessageId.request:
        return this.#serving?.onRequest(this.#pieceIn(body), body.readUInt32BE(4), body.readUInt32BE(8));
      case MessageId.cancel:
        return this.#serving?.onCancel(this.#pieceIn(body), body.readUInt32BE(4), body.readUInt32BE(8));
      case MessageId.extended:
        return this.#onExtended(body);
      case MessageId.port: // Of a DHT, which this swarm has not.
        return;
      default:
        return this.#onFastMessage(id, body);
    }
  }

  /** BEP 6: whoever has not agreed on the fast extension must not send these. */
  #onFastMessage(id: number, body: Buffer) {
    if (!this.link.wire.hasFast) throw new WireProtocolError(`message ${id} without the fast extension`);
    switch (id) {
      case MessageId.suggest:
        return this.#owner.onSuggested(this, this.#pieceIn(body));
      case MessageId.haveAll:
        this.#theirs.setAll();
        return this.#owner.onPeerHasAll(this);
      case MessageId.haveNone:
        return this.#theirs.setNone();
      case MessageId.reject:
        return this.#fetching.onReject(this.#pieceIn(body), body.readUInt32BE(4), body.readUInt32BE(8));
      default: // ALLOWED_FAST: we ask for nothing while choked.
    }
  }

  /** The piece that a message is about, its first number. */
  #pieceIn(body: Buffer): number {
    const piece = body.readUInt32BE(0);
    if (piece >= this.#pieces) throw new WireProtocolError(`piece ${piece} of a blob with ${this.#pieces}`);
    return piece;
  }

  #onChoke(): void {
    this.link.wire._onChoke();
    this.#owner.onChoked(this);
    // With the fast extension each request that is dropped is refused in words (BEP 6).
    if (!this.link.wire.hasFast) this.#fetching.onAllRefused();
  }

  #onHave(piece: number): void {
    if (this.#theirs.add(piece)) this.#owner.onPeerHas(this, piece);
  }

  #onBitfield(bits: Buffer): void {
    this.#theirs.setBits(bits);
    if (this.complete) this.#owner.onPeerHasAll(this);
    else if (this.#theirs.count > 0) this.#owner.onPeerBits(this, bits);
  }

  #onBlock(bytes: number, wanted: boolean): void {
    if (this.#turningAway !== undefined) return;
    if (wanted) this.#serving?.received(bytes);
    this.#owner.onBlock(this, bytes, wanted);
  }

  #onExtended(body: Buffer) {
    const { wire } = this.link;
    const id = body[0]!;
    // A copy: the protocol object keeps parts of it.
    wire._onExtended(id, Uint8Array.from(body.subarray(1)));
    if (this.#turningAway !== undefined) return this.#nameOthers();
    if (wire.extendedMapping[id] !== PEERS_EXTENSION) return;
    const peers = findPeers(body.subarray(1));
    if (peers === undefined) throw new WireProtocolError('other peers were offered in a way that cannot be read');
    this.#owner.onPeersOffered(this, peers);
  }

  /** Once it is known whether the peer understands. */
  #nameOthers() {
    const { wire } = this.link;
    if (this.#turningAway === undefined) return;
    if (wire.peerExtensions.extended !== true || this.#turningAway.peers.length === 0) return this.close();
    if (wire.peerExtendedMapping[PEERS_EXTENSION] === undefined) {
      // It has said what it understands, and this is not among it.
      if (Object.keys(wire.peerExtendedHandshake).length > 0) this.close();
      return;
    }
    wire.extended(PEERS_EXTENSION, encodePeers(this.#turningAway.peers));
    this.link.closeAfterFlush();
  }
}
