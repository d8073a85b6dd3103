import {
  formatAddress,
  type InfoHash,
  infoHashOf,
  type Metainfo,
  type PeerAddress,
  pieceCount,
  type SwarmId,
  swarmIdOf,
} from '../core/index.ts';
import type { PieceSource } from './swarm.ts';
import type { SwarmDownload } from './swarm-download.ts';
import type { MeetingPoint, PeerLink } from './transport.ts';
import { type SessionOwner, WireSession } from './wire-session.ts';

/** What a blob's swarm needs of the host that it is on. */
export interface BlobSwarmDeps {
  readonly metainfo: Metainfo;
  readonly secret: string;
  readonly peerId: string;
  readonly maxWires: number;
  /** Opens what pieces of a whole blob are read from; called when the first peer asks. */
  readonly openSource: () => Promise<PieceSource>;
  readonly isOrigin: (peerId: string) => boolean;
  readonly onServed: (bytes: number) => void;
}

/** One blob on this host: its wires under swarm id and info hash, a download while it arrives, and what is served of it. */
export class BlobSwarm implements SessionOwner {
  readonly metainfo: Metainfo;
  readonly swarmId: SwarmId;
  readonly infoHash: InfoHash;
  readonly #deps: BlobSwarmDeps;
  readonly #pieces: number;
  readonly #sessions = new Map<string, WireSession>();
  /** Ids of peers that sent wrong bytes, and the addresses at which they listen where this host dialled. */
  readonly #banned = new Set<string>();
  readonly #points = new Map<string, MeetingPoint>();
  #download: SwarmDownload | undefined;
  #source: Promise<PieceSource> | undefined;
  #nextSession = 0;
  #closed = false;

  constructor(deps: BlobSwarmDeps) {
    this.metainfo = deps.metainfo;
    this.swarmId = swarmIdOf(deps.metainfo, deps.secret);
    this.infoHash = infoHashOf(deps.metainfo);
    this.#deps = deps;
    this.#pieces = pieceCount(deps.metainfo.length, deps.metainfo.pieceLength);
  }

  get download(): SwarmDownload | undefined {
    return this.#download;
  }

  /** Whether this host has the whole blob. */
  get complete(): boolean {
    return this.#download === undefined;
  }

  get wires(): number {
    return this.#sessions.size;
  }

  /** Fetching begins: neighbours that are there are asked too. */
  startDownload(download: SwarmDownload): void {
    this.#download = download;
  }

  /** The download has become a blob: from now on it is read from the source, and wires between seeders end. */
  endDownload(): void {
    this.#download = undefined;
    for (const session of [...this.#sessions.values()]) {
      if (session.complete) session.close();
      else session.link.wire.uninterested();
    }
  }

  /** Keeps a meeting point that has been opened for one of this blob's ids. */
  addPoint(id: string, point: MeetingPoint): void {
    this.#points.set(id, point);
  }

  point(id: string): MeetingPoint | undefined {
    return this.#points.get(id);
  }

  /** Dials peers of the swarm that are not neighbours yet, while there is room. */
  dial(peers: readonly (PeerAddress & { readonly id: string })[]): void {
    const point = this.#points.get(this.swarmId);
    for (const peer of peers) {
      if (this.#sessions.size >= this.#deps.maxWires) return;
      if (peer.id === this.#deps.peerId || this.#sessions.has(peer.id)) continue;
      if (this.#banned.has(peer.id) || this.#banned.has(formatAddress(peer))) continue;
      point?.dial(peer);
    }
  }

  /** A wire has shaken hands, from either side. */
  onLink(link: PeerLink, foreign: boolean): void {
    if (this.#closed || !this.#accepts(link)) {
      link.close();
      return;
    }
    const options = { id: this.#nextSession++, link, foreign, metainfo: this.metainfo, owner: this };
    const session = new WireSession({ ...options, origin: this.#deps.isOrigin(link.peerId) });
    this.#sessions.set(link.peerId, session);
    this.#download?.addSession(session);
    const { bitfield, verified } = this.#have();
    session.start(bitfield, verified, this.#download !== undefined);
  }

  ban(session: WireSession): void {
    this.#banned.add(session.peerId);
    // The other way round the address is only the port that the peer dialled from.
    if (session.link.outgoing) this.#banned.add(session.link.address);
    session.close();
  }

  /** Tells all neighbours of one more piece. */
  announceHave(piece: number): void {
    for (const session of this.#sessions.values()) session.have(piece);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const session of [...this.#sessions.values()]) session.close();
    for (const point of this.#points.values()) point.close();
    const source = await this.#source?.catch(() => undefined); // It never opened: nothing to close.
    await source?.close();
  }

  // What sessions ask and tell.

  has(piece: number): boolean {
    return this.#download === undefined || this.#download.has(piece);
  }

  async read(piece: number, offset: number, length: number): Promise<Buffer> {
    if (this.#download !== undefined) return this.#download.readPiece(piece, offset, length);
    this.#source ??= this.#openSource();
    const source = await this.#source;
    return source.read(piece * this.metainfo.pieceLength + offset, length);
  }

  onPeerHas(session: WireSession, piece: number): void {
    this.#download?.onPeerHas(session, piece);
    if (this.#download === undefined && session.complete) session.close();
  }

  onPeerHasAll(session: WireSession): void {
    this.#download?.onPeerHasAll(session);
    if (this.#download === undefined) session.close();
  }

  onUnchoked(session: WireSession): void {
    this.#download?.onUnchoked(session);
  }

  onChoked(session: WireSession): void {
    this.#download?.onChoked(session);
  }

  onBlock(session: WireSession, bytes: number, wanted: boolean): void {
    this.#download?.onBlock(session, bytes, wanted);
  }

  onPiece(session: WireSession, piece: number, bytes: Buffer): void {
    void this.#download?.onPiece(session, piece, bytes);
  }

  onRequestFailed(session: WireSession, piece: number): void {
    this.#download?.onRequestFailed(session, piece);
  }

  onServed(_session: WireSession, bytes: number): void {
    this.#deps.onServed(bytes);
  }

  onClosed(session: WireSession): void {
    if (this.#sessions.get(session.peerId) === session) this.#sessions.delete(session.peerId);
    this.#download?.removeSession(session);
  }

  /**
   * Whether a wire is taken. When both ends dialled, there are two: both ends keep the one that the lower peer id dialled.
   */
  #accepts(link: PeerLink): boolean {
    const { peerId } = link;
    if (peerId === this.#deps.peerId || this.#banned.has(peerId)) return false;
    const other = this.#sessions.get(peerId);
    if (other === undefined) return this.#sessions.size < this.#deps.maxWires;
    const weDial = this.#deps.peerId < peerId;
    if (link.outgoing !== weDial || other.link.outgoing === link.outgoing) return false;
    other.close();
    return true;
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

  async #openSource(): Promise<PieceSource> {
    try {
      return await this.#deps.openSource();
    } catch (error) {
      this.#source = undefined; // The next request tries again.
      throw error;
    }
  }
}
