import type { PeerId } from '../../src/core/index.ts';
import { defaultHandOutPolicy, drawSizesFor, handOut } from '../../src/tracker/hand-out.ts';
import type { TrackedPeer } from '../../src/tracker/index.ts';
import { MemorySwarm } from '../../src/tracker/memory-swarm.ts';
import { host, seededRandom, swarm } from './values.ts';

/** A crowd that arrives at one swarm. */
export interface CrowdOptions {
  readonly agents: number;
  readonly origins: number;
  /** Agents arrive spread over this time; 0 for all at once. */
  readonly arrivalMs: number;
  /** How long an agent takes for an eighth of the blob once it has neighbours. */
  readonly eighthMs: number;
  readonly zones?: readonly string[];
  readonly seed?: number;
}

/** One of the crowd, with its wires; a wire is in the lists of both ends. */
export interface Member {
  peer: TrackedPeer;
  readonly wires: Set<Member>;
  /** How many have dialled it, whether it took them or not. */
  dialled: number;
  asks: number;
}

const STEP_MS = 100;
const WANTED = 10;
const FIRST_WANT = 4;
const MAX_WIRES = 16;
const ORIGIN_MAX_WIRES = 100_000;
const ASK_AGAIN_MS = 3_000;

/**
 * Lets a crowd arrive and ask the tracker's own policy for peers, out of the tracker's own swarm: four at first, two
 * seconds later what is missing of ten, and then every three seconds. Everyone dials all that it is handed; an agent takes 16
 * wires, an origin all that come, so that what the tracker sends there can be counted.
 */
export function gatherCrowd(options: CrowdOptions): {
  agents: Member[];
  origins: Member[];
  handed: [Member, TrackedPeer][];
} {
  const { arrivalMs, eighthMs, zones = [] } = options;
  const random = seededRandom(options.seed ?? 1);
  const tracked = new MemorySwarm(swarm('crowd'));
  const members = new Map<PeerId, Member>();
  const handed: [Member, TrackedPeer][] = [];
  const join = (number: number, origin: boolean): Member => {
    const { id, host: address, port } = host(number);
    const peer = { id, host: address, port, origin, complete: origin, eighths: origin ? 8 : 0 };
    const zone = zones.length === 0 ? {} : { zone: zones[number % zones.length]! };
    const member = { peer: { ...peer, ...zone }, wires: new Set<Member>(), dialled: 0, asks: 0 };
    members.set(member.peer.id, member);
    return member;
  };
  const ask = (member: Member): void => {
    const want = member.asks++ === 0 ? FIRST_WANT : WANTED - member.wires.size;
    if (want <= 0) return;
    const asker = member.peer;
    const sizes = drawSizesFor(asker, want, defaultHandOutPolicy);
    const candidates = tracked.sample({ swarm: tracked.key, ...sizes }, random);
    for (const peer of handOut({ candidates, asker, want, policy: defaultHandOutPolicy, random })) {
      handed.push([member, peer]);
      dial(member, members.get(peer.id)!);
    }
  };
  const origins = Array.from({ length: options.origins }, (_, number) => join(1_000_000 + number, true));
  for (const { peer } of origins) tracked.add(peer);
  const agents: Member[] = [];
  const entries = new Map<Member, ReturnType<MemorySwarm['add']>>();
  const bornMs = (number: number) => (arrivalMs * number) / options.agents;
  for (let nowMs = 0; nowMs <= arrivalMs + 3 * ASK_AGAIN_MS; nowMs += STEP_MS) {
    while (agents.length < options.agents && bornMs(agents.length) <= nowMs) {
      const member = join(agents.length, false);
      agents.push(member);
      entries.set(member, tracked.add(member.peer));
      ask(member);
    }
    for (const [number, member] of agents.entries()) {
      const ageMs = nowMs - Math.ceil(bornMs(number) / STEP_MS) * STEP_MS;
      if (ageMs < 2_000 || (ageMs - 2_000) % ASK_AGAIN_MS !== 0) continue;
      // How far it is travels with the announce.
      member.peer = { ...member.peer, eighths: Math.min(7, Math.floor(ageMs / eighthMs)) };
      tracked.change(entries.get(member)!, member.peer);
      ask(member);
    }
  }
  return { agents, origins, handed };
}

function dial(from: Member, to: Member): void {
  to.dialled++;
  const room = to.peer.origin ? ORIGIN_MAX_WIRES : MAX_WIRES;
  if (from.wires.has(to) || to.wires.size >= room || from.wires.size >= MAX_WIRES) return;
  from.wires.add(to);
  to.wires.add(from);
}

/** How many can be reached over wires between those that are let, and over how many wires the farthest is. */
export function reach(from: Member, lets: (member: Member) => boolean = () => true): { count: number; hops: number } {
  const seen = new Set([from]);
  let edge = [from];
  let hops = 0;
  for (;;) {
    const next = edge.flatMap((member) => [...member.wires]).filter((member) => lets(member) && !seen.has(member));
    for (const member of next) seen.add(member);
    edge = [...new Set(next)];
    if (edge.length === 0) return { count: seen.size, hops };
    hops++;
  }
}
