import type { PeerAddress, PeerId } from '../core/index.ts';
import type { Candidates, GroupSizes, TrackedPeer } from './peer-store.ts';
import { indexBelow, type Random } from './random-sample.ts';

/** The most peers that one swarm's answer has, whatever is asked. */
export const MAX_PEERS_PER_SWARM = 50;

/** So many origins come before everything else in a small swarm: it starts at once, and one of them may be down. */
export const GUARANTEED_ORIGINS = 2;

/** A newcomer asks for so many first; all of them are to have pieces, where that is possible. */
const FIRST_WANT = 4;

/** About so often an agent asks while it downloads: at once, two seconds later, and when neighbours have gone. */
const ASKS_PER_DOWNLOAD = 4;

/** An agent is handed to about so many others a round of asks, as each of them wants so many. */
const HAND_OUTS_PER_AGENT = 10;

/** What the operator decides. */
export interface HandOutPolicy {
  /** The share of the agents that come from the asker's own zone, where there are enough of both: 0 to 1. */
  readonly zoneShare: number;
  /** How many wires each origin is meant to have in one swarm, about. */
  readonly originWires: number;
}

/** As the configuration has it, when nothing is set. */
export const defaultHandOutPolicy: HandOutPolicy = { zoneShare: 0.5, originWires: 60 };

/** Who asks for peers. */
export interface Asker extends PeerAddress {
  readonly id: PeerId;
  readonly complete: boolean;
  readonly eighths: number;
  readonly zone?: string | undefined;
}

/** How many peers {@link handOut} can make use of: of each group, and of the asker's zone. */
export interface DrawSizes {
  readonly sizes: GroupSizes;
  readonly zoned?: { readonly zone: string; readonly count: number } | undefined;
}

/** What {@link handOut} needs as candidates. */
export function drawSizesFor(asker: Asker, want: number, policy: HandOutPolicy): DrawSizes {
  const most = Math.min(want, MAX_PEERS_PER_SWARM);
  if (most <= 0) return { sizes: { origins: 0, complete: 0, partial: 0, fresh: 0 } };
  // More than wanted, because the asker itself and perhaps a former run of it are among the candidates.
  const drawn = most + 2;
  const sizes = { origins: drawn, complete: asker.complete ? 0 : drawn, partial: drawn, fresh: drawn };
  const count = Math.ceil(policy.zoneShare * most);
  return asker.zone === undefined || count === 0 ? { sizes } : { sizes, zoned: { zone: asker.zone, count: count + 2 } };
}

/** What {@link handOut} chooses from, for whom. */
export interface HandOutRequest {
  readonly candidates: Candidates;
  readonly asker: Asker;
  readonly want: number;
  readonly policy: HandOutPolicy;
  readonly random: Random;
}

/**
 * Chooses the peers that an asker gets, so that the swarm stays one well-connected random graph: at most `want`, none
 * twice, never the asker itself (nor a former run of it, which has another id on the same address). Those with pieces
 * come first in the answer.
 *
 * - One that is complete gets only incomplete ones: there is nothing else that it could do for anybody.
 * - Origins come first, up to two, while all agents that download can have two within `originWires` wires an origin. In a
 *   larger swarm a few agents get one, by lot, so that each origin is dialled by about that many; the others have agents.
 * - The first four of a newcomer have pieces. Later a quarter are as new as itself, so that the new find each other.
 *   One that has pieces gets half of such that have some too, to trade with, a quarter complete, a quarter new.
 * - A group that is small beside the swarm is not handed to everyone: each of its agents to about ten at a time.
 * - `zoneShare` of the agents are of the asker's zone, and the rest of others; more of one only when the other has none
 *   left. So traffic stays near, and no zone is cut off.
 * - Further origins come only when there are not enough agents: the swarm exists to spare them.
 *
 * All randomness is handed in; within each group the choice is random. Nothing is changed but the order of the candidates.
 */
export function handOut(request: HandOutRequest): TrackedPeer[] {
  const { candidates, asker, policy, random } = request;
  const most = Math.max(0, Math.min(request.want, MAX_PEERS_PER_SWARM));
  if (most === 0) return [];
  const choice = new Choice(asker, policy.zoneShare, random);
  const { origins, partial, fresh } = candidates;
  const complete = asker.complete ? [] : candidates.complete;
  choice.take(origins, Math.min(most, originRation(candidates.sizes, policy, random)));
  const agents = most - choice.peers.length;
  const shares = sharesFor(asker, agents, request.want);
  const limits = rationsOf(candidates.sizes, random);
  const withPieces = choice.peers.length + shares.complete + shares.partial;
  choice.takeZoned(partial, Math.min(shares.partial, limits.partial));
  choice.takeZoned(complete, Math.min(withPieces - choice.peers.length, limits.complete));
  // What is missing of the one kind comes from the other.
  choice.takeZoned(partial, Math.min(withPieces - choice.peers.length, limits.partial - shares.partial));
  choice.takeZoned(fresh, most - choice.peers.length);
  choice.fill([fresh, partial, complete, origins], most);
  return choice.peers;
}

/** How many origins come first. */
function originRation(sizes: GroupSizes, policy: HandOutPolicy, random: Random): number {
  const wires = policy.originWires * sizes.origins;
  const downloading = sizes.partial + sizes.fresh;
  if (GUARANTEED_ORIGINS * downloading <= wires) return GUARANTEED_ORIGINS;
  return roundedByLot(wires / (ASKS_PER_DOWNLOAD * downloading), random);
}

/** How many agents with pieces are wanted; the rest are new ones. */
function sharesFor(asker: Asker, agents: number, want: number): { complete: number; partial: number } {
  if (asker.complete) return { complete: 0, partial: Math.ceil(agents / 2) };
  if (asker.eighths > 0) return { complete: Math.floor(agents / 4), partial: Math.ceil(agents / 2) };
  const withPieces = want <= FIRST_WANT ? agents : agents - Math.floor(agents / 4);
  return { complete: Math.floor(withPieces / 2), partial: Math.ceil(withPieces / 2) };
}

/** How many of each group an asker gets at most, so that few are not handed to very many. */
function rationsOf(sizes: GroupSizes, random: Random): { complete: number; partial: number } {
  const downloading = Math.max(1, sizes.partial + sizes.fresh);
  const ration = (size: number) => roundedByLot((HAND_OUTS_PER_AGENT * size) / downloading, random);
  return { complete: ration(sizes.complete), partial: ration(sizes.partial) };
}

/** A whole number that is `value` on average. */
function roundedByLot(value: number, random: Random): number {
  const whole = Math.floor(value);
  return whole + (random() < value - whole ? 1 : 0);
}

/** What has been chosen so far. */
class Choice {
  readonly peers: TrackedPeer[] = [];
  readonly #asker: Asker;
  readonly #zoneShare: number;
  readonly #random: Random;

  constructor(asker: Asker, zoneShare: number, random: Random) {
    this.#asker = asker;
    this.#zoneShare = zoneShare;
    this.#random = random;
  }

  /** Takes up to `count` from a list at random, only those near or far when `side` is given. Reorders the list. */
  take(list: TrackedPeer[], count: number, side?: 'near' | 'far'): void {
    let left = count;
    // Shuffles no further than it looks (Fisher and Yates): a fleet that arrives has more candidates than it takes.
    for (let at = 0; at < list.length && left > 0; at++) {
      const other = at + indexBelow(list.length - at, this.#random);
      const peer = list[other]!;
      list[other] = list[at]!;
      list[at] = peer;
      if (side !== undefined && this.#isNear(peer) !== (side === 'near')) continue;
      if (!this.#isUseful(peer) || this.#hasOneAt(peer)) continue;
      this.peers.push(peer);
      left--;
    }
  }

  /** The same with the asker's zone for its share, and others for theirs. */
  takeZoned(list: TrackedPeer[], count: number): void {
    if (count <= 0) return;
    if (this.#asker.zone === undefined) {
      this.take(list, count);
      return;
    }
    const until = this.peers.length + count;
    this.take(list, roundedByLot(this.#zoneShare * count, this.#random), 'near');
    this.take(list, until - this.peers.length, 'far');
  }

  /** Fills up to `most`, from the first list that has somebody: others first, then the asker's own zone. */
  fill(lists: readonly TrackedPeer[][], most: number): void {
    if (this.peers.length >= most) return;
    const agents = lists.slice(0, -1);
    for (const list of agents) this.take(list, most - this.peers.length, 'far');
    for (const list of lists) this.take(list, most - this.peers.length);
  }

  #isNear(peer: TrackedPeer): boolean {
    return peer.zone !== undefined && peer.zone === this.#asker.zone;
  }

  #hasOneAt(peer: TrackedPeer): boolean {
    for (const other of this.peers) if (isAt(other, peer)) return true;
    return false;
  }

  #isUseful(peer: TrackedPeer): boolean {
    if (this.#asker.complete && peer.complete) return false;
    return peer.id !== this.#asker.id && !isAt(peer, this.#asker);
  }
}

/** By address: a process that started again on the same port leaves its former id behind until that expires. */
function isAt(peer: PeerAddress, other: PeerAddress): boolean {
  return peer.port === other.port && peer.host === other.host;
}
