import type { LentBytes } from '../castore/index.ts';
import {
  type Clock,
  type InfoHash,
  infoHashOf,
  type Metainfo,
  type PeerAddress,
  pieceCount,
  type SwarmId,
  swarmIdOf,
} from '../core/index.ts';
import { BlobBytes } from './blob-bytes.ts';
import { BlobNeighbours } from './blob-neighbours.ts';
import { Suggester } from './dispatcher/suggester.ts';
import type { AnnouncedPeer, PieceSource, SeedShare, SwarmReport } from './swarm.ts';
import type { SwarmDownload } from './swarm-download.ts';
import type { MeetingPoint, PeerLink } from './wire/transport.ts';
import { type SessionOwner, WireSession } from './wire/wire-session.ts';

/** What a blob's swarm needs of the host that it is on. */
export interface BlobSwarmDeps {
  readonly metainfo: Metainfo;
  readonly secret: string;
  readonly peerId: string;
  /** Wires that a download tries to have, and wires at most. */
  readonly wantedPeers: number;
  readonly maxWires: number;
  readonly clock: Clock;
  readonly random: () => number;
  /** On an origin, which of the blob's origins it is: it suggests pieces to its neighbours. */
  readonly share: SeedShare | undefined;
  /** Opens what pieces of a whole blob are read from; called when the first peer asks. */
  readonly openSource: () => Promise<PieceSource>;
  readonly isOrigin: (peerId: string) => boolean;
  readonly onServed: (bytes: number) => void;
  readonly onTurnedAway: () => void;
}

/** Wires that may wait for a download to be opened. */
const MAX_HELD_LINKS = 32;
/** Of newcomers: a quarter of all wires, so many at most. */
const MAX_RESERVED = 4;
const EIGHTHS = 8;

/**
 * One blob on this host: its wires under swarm id and info hash, a download while it arrives, and what is served of it.
 * It begins as a seed, or is `opening`: known to the swarm, while the download is being opened on disk.
 */
export class BlobSwarm implements SessionOwner {
  readonly metainfo: Metainfo;
  readonly swarmId: SwarmId;
  readonly infoHash: InfoHash;
  readonly #deps: BlobSwarmDeps;
  readonly #pieces: number;
  readonly #neighbours: BlobNeighbours;
  readonly #bytes: BlobBytes;
  readonly #points = new Map<string, MeetingPoint>();
  readonly #held: { link: PeerLink; foreign: boolean }[] = [];
  #state: 'opening' | 'fetching' | 'whole';
  #download: SwarmDownload | undefined;
  #suggester: Suggester | undefined;
  #suggesting = false;
  #toldEighths = 0;
  #closed = false;

  constructor(deps: BlobSwarmDeps, state: 'opening' | 'whole') {
    this.metainfo = deps.metainfo;
    this.swarmId = swarmIdOf(deps.metainfo, deps.secret);
    this.infoHash = infoHashOf(deps.metainfo);
    this.#deps = deps;
    this.#state = state;
    this.#pieces = pieceCount(deps.metainfo.length, deps.metainfo.pieceLength);
    const { wantedPeers: wanted, maxWires, peerId, clock, random, isOrigin } = deps;
    const reserved = Math.min(MAX_RESERVED, maxWires >> 2);
    const limits = { wanted: Math.min(wanted, maxWires), maxWires, reserved };
    const openSession: ConstructorParameters<typeof BlobNeighbours>[0]['openSession'] = (link, options) => {
      const { slot: id, origin, foreign } = options;
      return new WireSession({ id, link, origin, foreign, metainfo: this.metainfo, owner: this });
    };
    const onTurnedAway = (session: WireSession) => {
      this.#forget(session);
      deps.onTurnedAway();
    };
    const neighbourDeps = { peerId, limits, clock, random, isOrigin, openSession, onTurnedAway };
    this.#neighbours = new BlobNeighbours(neighbourDeps, this.#pieces);
    this.#bytes = new BlobBytes(deps.openSource);
    if (state === 'whole') this.#becomeWhole();
  }

  /** The download of this blob, until it has become a blob of the store. */
  get download(): SwarmDownload | undefined {
    return this.#download;
  }

  /** Whether this host has the whole blob. */
  get complete(): boolean {
    return this.#state === 'whole';
  }

  get wires(): number {
    return this.#neighbours.count;
  }

  /** Whether an announce should go out before its usual time, because peers are missing. */
  get hungry(): boolean {
    return !this.complete && this.#neighbours.hungry;
  }

  /** The download is open on disk: wires that waited for it are taken. */
  startDownload(download: SwarmDownload): void {
    this.#download = download;
    this.#state = 'fetching';
    for (const { link, foreign } of this.#held.splice(0)) this.onLink(link, foreign);
  }

  /** The download has become a blob: from now on it is read from the source, and wires between complete peers end. */
  endDownload(): void {
    this.#download = undefined;
    this.#becomeWhole();
    for (const session of this.#neighbours.sessions()) {
      session.background = true;
      session.uninterested();
    }
  }

  /** Keeps a meeting point that has been opened for one of this blob's ids. */
  addPoint(id: string, point: MeetingPoint): void {
    if (this.#closed) {
      point.close();
      return;
    }
    this.#points.set(id, point);
    if (id === this.swarmId) this.#neighbours.setPoint(point);
  }

  /** How this host stands, for an announce that goes out now. */
  report(): SwarmReport {
    const { swarmId, infoHash } = this;
    const want = this.complete ? 0 : this.#neighbours.ask();
    return { swarmId, infoHash, complete: this.complete, eighths: this.#eighths(), want };
  }

  /** The tracker's answer to a {@link report} that wanted peers. */
  onPeers(peers: readonly AnnouncedPeer[]): void {
    if (!this.complete && !this.#closed) this.#neighbours.answered(peers);
  }

  /** A wire has shaken hands, from either side. */
  onLink(link: PeerLink, foreign: boolean): void {
    if (this.#state === 'opening' && !this.#closed) {
      if (this.#held.length < MAX_HELD_LINKS) this.#held.push({ link, foreign });
      else link.close();
      return;
    }
    const session = this.#neighbours.take(link, foreign);
    if (session === undefined) return;
    session.background = this.complete;
    this.#download?.addSession(session);
    if (!foreign) this.#suggesterNow()?.peerJoined(session.id);
    const { bitfield, verified } = this.#have();
    session.start(bitfield, verified, this.#download !== undefined);
    this.#suggest();
  }

  /** Its bytes do not match: its wire is closed, and it is not dialled or taken again for this blob. */
  ban(session: WireSession): void {
    this.#neighbours.ban(session);
  }

  /** Tells all neighbours of one more piece. */
  announceHave(piece: number): void {
    for (const session of this.#neighbours.sessions()) session.have(piece);
  }

  /** Every 100 ms or so, while it is loaded. */
  tick(): void {
    const eighths = this.#eighths();
    if (eighths !== this.#toldEighths) this.#neighbours.became(eighths);
    this.#toldEighths = eighths;
    this.#neighbours.tick();
    if (this.wires > 0) this.#suggesterNow()?.tick();
    this.#suggest();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const { link } of this.#held.splice(0)) link.close();
    this.#neighbours.close();
    for (const point of this.#points.values()) point.close();
    await this.#bytes.close();
  }

  // What sessions ask and tell.

  has(piece: number): boolean {
    return this.#download === undefined ? this.complete : this.#download.has(piece);
  }

  lend(piece: number, offset: number, length: number): LentBytes | Promise<LentBytes> {
    if (this.#download !== undefined) return this.#download.lend(piece, offset, length);
    return this.#bytes.lend(piece * this.metainfo.pieceLength + offset, length);
  }

  pieceBuffer(piece: number): Buffer {
    // Nothing is requested without a download; what a session asks for all the same is dropped again.
    return this.#download?.pieceBuffer(piece) ?? Buffer.allocUnsafe(this.metainfo.pieceLength);
  }

  returnBuffer(buffer: Buffer): void {
    this.#download?.returnBuffer(buffer);
  }

  onPeerHas(session: WireSession, piece: number): void {
    if (!this.#neighbours.owns(session)) return;
    this.#download?.onPeerHas(session, piece);
    this.#suggesterNow()?.peerHas(session.id, piece);
    this.#suggest();
    this.#neighbours.has(session, this.#neighbours.piecesOf(session) + 1);
  }

  onPeerBits(session: WireSession, bits: Uint8Array): void {
    if (!this.#neighbours.owns(session)) return;
    this.#download?.onPeerBits(session, bits);
    this.#suggesterNow()?.peerHasBits(session.id, bits);
    this.#suggest();
    this.#neighbours.has(session, countBits(bits));
  }

  onPeerHasAll(session: WireSession): void {
    if (!this.#neighbours.owns(session)) return;
    this.#download?.onPeerHasAll(session);
    this.#suggesterNow()?.peerHasAll(session.id);
    this.#suggest();
    this.#neighbours.has(session, this.#pieces);
  }

  onUnchoked(session: WireSession): void {
    if (this.#neighbours.owns(session)) this.#download?.onUnchoked(session);
  }

  onChoked(session: WireSession): void {
    if (this.#neighbours.owns(session)) this.#download?.onChoked(session);
  }

  onSuggested(session: WireSession, piece: number): void {
    if (session.origin && this.#neighbours.owns(session)) this.#download?.onSuggested(session, piece);
  }

  onBlock(session: WireSession, bytes: number, wanted: boolean): void {
    if (!this.#neighbours.owns(session)) return;
    this.#download?.onBlock(session, bytes, wanted);
    if (wanted) this.#neighbours.exchanged(session);
  }

  onPiece(session: WireSession, piece: number, buffer: Buffer): void {
    if (this.#neighbours.owns(session)) void this.#download?.onPiece(session, piece, buffer);
    else this.returnBuffer(buffer);
  }

  onRequestFailed(session: WireSession, piece: number): void {
    if (this.#neighbours.owns(session)) this.#download?.onRequestFailed(session, piece);
  }

  onServed(session: WireSession, bytes: number): void {
    this.#deps.onServed(bytes);
    if (this.#neighbours.owns(session)) this.#neighbours.exchanged(session);
  }

  onPeersOffered(_session: WireSession, peers: readonly PeerAddress[]): void {
    if (!this.complete) this.#neighbours.named(peers);
  }

  onClosed(session: WireSession): void {
    if (!this.#neighbours.closed(session)) return;
    this.#forget(session);
  }

  /** A session counts no more; its slot may be used again at once. */
  #forget(session: WireSession): void {
    this.#download?.removeSession(session);
    this.#suggesterNow()?.peerLeft(session.id);
    this.#suggest();
  }

  #becomeWhole(): void {
    this.#state = 'whole';
    this.#toldEighths = EIGHTHS;
    this.#neighbours.became(EIGHTHS);
    const { share, clock } = this.#deps;
    if (share === undefined || this.#pieces === 0) return;
    this.#suggester = new Suggester({ pieces: this.#pieces, share, nowMs: clock.monotonicMs() });
  }

  #suggesterNow(): Suggester | undefined {
    this.#suggester?.advance(this.#deps.clock.monotonicMs());
    return this.#suggester;
  }

  /** A suggestion may end a wire and so lead here again: what that adds comes in its turn. */
  #suggest(): void {
    if (this.#suggester === undefined || this.#suggesting) return;
    this.#suggesting = true;
    const { commands } = this.#suggester;
    for (let index = 0; index < commands.count; index++) {
      this.#neighbours.session(commands.peer(index))?.suggest(commands.piece(index));
    }
    commands.clear();
    this.#suggesting = false;
  }

  #eighths(): number {
    if (this.complete) return EIGHTHS;
    const verified = this.#download?.verifiedPieces ?? 0;
    return Math.min(EIGHTHS - 1, Math.floor((EIGHTHS * verified) / Math.max(1, this.#pieces)));
  }

  #have(): { bitfield: Uint8Array; verified: number } {
    if (this.#download !== undefined) {
      return { bitfield: this.#download.pieceBitfield, verified: this.#download.verifiedPieces };
    }
    const bitfield = new Uint8Array((this.#pieces + 7) >> 3).fill(0xff);
    // BEP 3: spare bits at the end are zero.
    if (this.#pieces % 8 !== 0) bitfield[bitfield.length - 1] = (0xff << (8 - (this.#pieces % 8))) & 0xff;
    return { bitfield, verified: this.#pieces };
  }
}

function countBits(bits: Uint8Array): number {
  let count = 0;
  for (let byte of bits) for (; byte !== 0; byte &= byte - 1) count++;
  return count;
}
