import type { Clock, PeerAddress } from '../core/index.ts';
import {
  DIAL,
  DROP,
  FULL,
  keepsNewWire,
  Neighbourhood,
  type NeighbourhoodLimits,
  REFUSE,
  UNKNOWN_EIGHTHS,
} from './neighbourhood/neighbourhood.ts';
import { type KnownPeer, PeerBook } from './peer-book.ts';
import type { AnnouncedPeer } from './swarm.ts';
import type { MeetingPoint, PeerLink } from './wire/transport.ts';
import type { WireSession } from './wire/wire-session.ts';

/** What {@link BlobNeighbours} needs. */
export interface BlobNeighboursDeps {
  readonly peerId: string;
  readonly limits: Partial<NeighbourhoodLimits>;
  readonly clock: Clock;
  readonly random: () => number;
  /** Whether the tracker says that a peer id is an origin's. */
  readonly isOrigin: (peerId: string) => boolean;
  /** Makes the session of a wire; `slot` is -1 for one that is only turned away. */
  readonly openSession: (link: PeerLink, options: { slot: number; origin: boolean; foreign: boolean }) => WireSession;
  /** A wire is about to be closed in favour of others: nothing that still comes of it counts. */
  readonly onTurnedAway: (session: WireSession) => void;
}

/** Addresses named to a peer that is turned away. */
const NAMED_PEERS = 8;
/** Addresses taken from one peer's list. */
const MAX_NAMED_TO_US = 8;

interface Neighbour {
  readonly session: WireSession;
  readonly slot: number;
  readonly number: number;
  pieces: number;
  eighths: number;
}

/**
 * The wires of one blob on this host, by slot: carries out what its {@link Neighbourhood} decides. Slots are small and used
 * again, so that dispatcher and suggester can keep arrays by slot.
 */
export class BlobNeighbours {
  readonly #deps: BlobNeighboursDeps;
  readonly #pieces: number;
  readonly #neighbourhood: Neighbourhood;
  readonly #book = new PeerBook();
  readonly #slots: (Neighbour | undefined)[] = [];
  readonly #byId = new Map<string, Neighbour>();
  /** Dials that were decided before there was a point to dial from. */
  readonly #early: KnownPeer[] = [];
  #point: MeetingPoint | undefined;
  #carryingOut = false;
  #closed = false;

  constructor(deps: BlobNeighboursDeps, pieces: number) {
    this.#deps = deps;
    this.#pieces = pieces;
    const { limits, clock, random } = deps;
    this.#neighbourhood = new Neighbourhood({ limits, random, nowMs: clock.monotonicMs() });
  }

  /** Open wires. */
  get count(): number {
    return this.#byId.size;
  }

  /** Whether the tracker is to be asked for peers before the usual time. */
  get hungry(): boolean {
    this.#advance();
    return this.#neighbourhood.hungry;
  }

  /** Sessions of all open wires. */
  *sessions(): IterableIterator<WireSession> {
    for (const neighbour of this.#slots) if (neighbour !== undefined) yield neighbour.session;
  }

  /** The session in a slot, or `undefined`. */
  session(slot: number): WireSession | undefined {
    return this.#slots[slot]?.session;
  }

  /** Whether a session is one of ours still: one that was turned away may send for a moment. */
  owns(session: WireSession): boolean {
    return this.#slots[session.id]?.session === session;
  }

  /** Where peers are dialled from. */
  setPoint(point: MeetingPoint): void {
    this.#point = point;
    for (const peer of this.#early.splice(0)) this.#dial(peer);
  }

  /** How many peers an announce that goes out now asks for. */
  ask(): number {
    this.#advance();
    const want = this.#neighbourhood.want();
    this.#neighbourhood.announced(want);
    return want;
  }

  /** What the tracker has answered. */
  answered(peers: readonly AnnouncedPeer[]): void {
    this.#advance();
    let others = 0;
    for (const peer of peers) {
      if (peer.id === this.#deps.peerId) continue;
      others++;
      this.#offer(peer, peer.eighths, peer.origin, peer.id);
    }
    this.#neighbourhood.answered(others);
    this.#carryOut();
  }

  /** A full peer has named others. */
  named(peers: readonly PeerAddress[]): void {
    this.#advance();
    for (const peer of peers.slice(0, MAX_NAMED_TO_US)) this.#offer(peer, UNKNOWN_EIGHTHS, false);
    this.#neighbourhood.tick();
    this.#carryOut();
  }

  /** Takes a wire that has shaken hands, or closes it. @returns the session of a wire that is taken; it is not started yet */
  take(link: PeerLink, foreign: boolean): WireSession | undefined {
    this.#advance();
    const { peerId, outgoing } = link;
    const dialledAt = outgoing ? link.address : undefined;
    const peer = peerId === this.#deps.peerId ? undefined : this.#book.atWire(peerId, dialledAt);
    if (this.#closed || peer === undefined || !this.#settlesTwins(link)) return this.#refuse(link);
    const answer = this.#neighbourhood.accept(peer.number, outgoing);
    if (answer === REFUSE) return this.#refuse(link);
    if (answer === FULL) return this.#turnAwayLink(link, foreign, peer.number);
    if (answer >= 0) this.#turnAway(answer);
    return this.#add(link, foreign, peer);
  }

  /** The peer has one more piece, all pieces of a bitfield, or everything. */
  has(session: WireSession, pieces: number): void {
    const neighbour = this.#slots[session.id];
    if (neighbour === undefined) return;
    neighbour.pieces = Math.min(this.#pieces, pieces);
    const eighths = session.complete ? 8 : Math.min(7, Math.floor((8 * neighbour.pieces) / this.#pieces));
    if (eighths === neighbour.eighths) return;
    neighbour.eighths = eighths;
    this.#advance();
    this.#neighbourhood.wireHas(neighbour.slot, eighths);
    this.#carryOut();
  }

  /** How many pieces a peer is known to have. */
  piecesOf(session: WireSession): number {
    return this.#slots[session.id]?.pieces ?? 0;
  }

  /** Something useful went over a wire, one way or the other. */
  exchanged(session: WireSession): void {
    this.#advance();
    this.#neighbourhood.exchanged(session.id);
  }

  /** How much of the blob this host has: between complete peers, wires end. */
  became(eighths: number): void {
    this.#advance();
    this.#neighbourhood.became(eighths);
    this.#carryOut();
  }

  /** It sent wrong bytes: never again. Closes its wire. */
  ban(session: WireSession): void {
    // Where it dialled us, the address belongs to the id that it goes by, which may be somebody else's.
    const { outgoing, address } = session.link;
    const number = this.#book.ban(session.peerId, outgoing ? address : undefined);
    if (number !== undefined) this.#neighbourhood.ban(number);
    session.close();
  }

  /** A session has ended. @returns whether it was one of ours */
  closed(session: WireSession): boolean {
    if (!this.owns(session)) return false;
    this.#detach(this.#slots[session.id]!);
    return true;
  }

  tick(): void {
    this.#advance();
    this.#neighbourhood.tick();
    this.#carryOut();
  }

  /** Closes all wires and takes no further ones. */
  close(): void {
    this.#closed = true;
    for (const session of [...this.sessions()]) session.close();
  }

  #advance(): void {
    this.#neighbourhood.advance(this.#deps.clock.monotonicMs());
  }

  #offer(address: PeerAddress, eighths: number, origin: boolean, id?: string): void {
    const peer = this.#book.atAddress({ host: address.host, port: address.port }, id);
    if (peer !== undefined) this.#neighbourhood.offered(peer.number, eighths, origin);
    this.#prune();
  }

  /** Whether a wire may be taken beside what is there: of two to the same peer, both ends keep the same one. */
  #settlesTwins({ peerId, outgoing }: PeerLink): boolean {
    const other = this.#byId.get(peerId);
    if (other === undefined) return true;
    const selfId = this.#deps.peerId;
    const oldIsOutgoing = other.session.link.outgoing;
    if (!keepsNewWire({ selfId, peerId, newIsOutgoing: outgoing, oldIsOutgoing })) return false;
    other.session.close();
    return true;
  }

  #add(link: PeerLink, foreign: boolean, peer: KnownPeer): WireSession {
    let slot = this.#slots.indexOf(undefined);
    if (slot < 0) slot = this.#slots.length;
    const origin = this.#deps.isOrigin(link.peerId);
    const session = this.#deps.openSession(link, { slot, origin, foreign });
    const neighbour: Neighbour = { session, slot, number: peer.number, pieces: 0, eighths: 0 };
    peer.wired = true;
    this.#slots[slot] = neighbour;
    this.#byId.set(link.peerId, neighbour);
    this.#neighbourhood.wireOpened(slot, peer.number, { outgoing: link.outgoing, origin });
    return session;
  }

  /** Nothing of the neighbour is kept but, where it may be dialled again, its address. */
  #detach(neighbour: Neighbour): void {
    const { session, slot, number } = neighbour;
    this.#slots[slot] = undefined;
    if (this.#byId.get(session.peerId) === neighbour) this.#byId.delete(session.peerId);
    const peer = this.#book.get(number);
    if (peer !== undefined) peer.wired = false;
    this.#advance();
    this.#neighbourhood.wireClosed(slot, peer?.address !== undefined);
    this.#prune();
  }

  #refuse(link: PeerLink): undefined {
    const dialled = link.outgoing ? this.#book.findAddress(link.address) : undefined;
    if (dialled !== undefined) this.#neighbourhood.dialFailed(dialled.number);
    this.#book.forgetStranger(link.peerId);
    link.close();
    return undefined;
  }

  #turnAway(slot: number): void {
    const neighbour = this.#slots[slot];
    if (neighbour === undefined) return;
    const { session } = neighbour;
    const names = this.#names(neighbour.number);
    this.#detach(neighbour);
    this.#deps.onTurnedAway(session);
    session.turnAway(names);
  }

  #turnAwayLink(link: PeerLink, foreign: boolean, number: number): undefined {
    const session = this.#deps.openSession(link, { slot: -1, origin: false, foreign });
    this.#deps.onTurnedAway(session);
    session.turnAway(this.#names(number));
    this.#book.forgetStranger(link.peerId);
    return undefined;
  }

  /** Where neighbours listen: where they were dialled, else where the tracker or they themselves say. */
  #names(except: number): PeerAddress[] {
    const names: PeerAddress[] = [];
    for (const slot of this.#neighbourhood.nameNeighbours(NAMED_PEERS, except)) {
      const { session, number } = this.#slots[slot]!;
      const address = this.#book.get(number)?.address ?? listenAddressOf(session.link);
      if (address !== undefined) names.push(address);
    }
    return names;
  }

  /** A command may close wires and so lead here again: what that adds comes in its turn. */
  #carryOut(): void {
    if (this.#carryingOut) return;
    this.#carryingOut = true;
    const { commands } = this.#neighbourhood;
    for (let index = 0; index < commands.count; index++) {
      const [kind, target] = [commands.kind(index), commands.target(index)];
      if (kind === DIAL) this.#dialNumber(target);
      else if (kind === DROP) this.#slots[target]?.session.close();
      else this.#turnAway(target);
    }
    commands.clear();
    this.#carryingOut = false;
    this.#prune();
  }

  #dialNumber(number: number): void {
    const peer = this.#book.get(number);
    if (peer?.address === undefined) this.#neighbourhood.dialFailed(number);
    else if (this.#point === undefined) this.#early.push(peer);
    else this.#dial(peer);
  }

  #dial({ number, address }: KnownPeer): void {
    if (this.#closed || address === undefined) return;
    this.#point?.dial(address, () => {
      this.#advance();
      this.#neighbourhood.dialFailed(number);
    });
  }

  #prune(): void {
    for (const number of this.#neighbourhood.forgotten.splice(0)) this.#book.forget(number);
  }
}

/** Where a peer that dialled us listens: at the address that it came from, at the port that it says (BEP 10, `p`). */
function listenAddressOf(link: PeerLink): PeerAddress | undefined {
  const port = link.wire.peerExtendedHandshake['p'];
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
  const host = link.address.slice(0, link.address.lastIndexOf(':')).replace(/^\[|\]$/g, '');
  return { host: host.replace(/^::ffff:(?=\d+\.)/, ''), port };
}
