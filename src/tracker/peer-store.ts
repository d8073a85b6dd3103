import type { InfoHash, PeerAddress, PeerId, SwarmId } from '../core/index.ts';
import type { AnnouncedPeer } from './protocol.ts';

/**
 * What peers are kept under: a swarm id for Shoal's own, an info hash for foreign BitTorrent clients. The two never meet:
 * a swarm id comes out of an HMAC, an info hash out of a SHA-1 of something else.
 */
export type SwarmKey = SwarmId | InfoHash;

/** A peer as the tracker knows it, and hands it out. */
export type TrackedPeer = AnnouncedPeer;

/** The host that an announce speaks for. */
export interface AnnouncingHost extends PeerAddress {
  readonly id: PeerId;
  readonly origin: boolean;
  readonly zone?: string | undefined;
}

/** A BitTorrent client that is none of Shoal's hosts. */
export interface ForeignPeer extends PeerAddress {
  readonly id: PeerId;
  readonly complete: boolean;
}

/** One swarm that a host takes part in. */
export interface SwarmReport {
  readonly swarm: SwarmId;
  readonly complete: boolean;
  readonly eighths: number;
  /** Makes {@link PeerStore.findSwarm} lead from this info hash to `swarm`. */
  readonly infoHash?: InfoHash | undefined;
}

/** What a host says has changed; see `AnnounceRequestSchema` in protocol.ts for the numbers. */
export interface HostReport {
  /** The number of the announce; without one it is taken as it comes. */
  readonly sequence?: number | undefined;
  /** The announce that it builds on. */
  readonly since: number;
  /** Whether swarms that are not named are left. */
  readonly full: boolean;
  /** Swarms joined, or in another state than before. None is in `left` too; of one that is named twice the last counts. */
  readonly joined: readonly SwarmReport[];
  readonly left: readonly SwarmId[];
}

/**
 * What a host is busy with: it downloads; or all that it has is complete, and some of it was asked for lately; or nobody
 * asked for any of it.
 */
export type Activity = 'downloading' | 'seeding' | 'idle';

/** Milliseconds for each activity. */
export type ActivityTimes = Readonly<Record<Activity, number>>;

/** The host's activity when its report was taken; `late` when a newer one was there; `unknown` when what it builds on was not. */
export type ReportOutcome = Activity | 'late' | 'unknown';

/** A swarm in which somebody asked for peers within this time is being asked for. */
export const ASKED_LATELY_MS = 30_000;

/** Peers are kept in these groups, so that each kind is sampled without looking at the others. */
export const peerGroups = ['origins', 'complete', 'partial', 'fresh'] as const;
export type PeerGroup = (typeof peerGroups)[number];

/** A number for each group. */
export type GroupSizes = Readonly<Record<PeerGroup, number>>;

/** The group of a peer: an origin, complete or not; an agent that is complete, has an eighth or more, or less than that. */
export function groupOf(peer: { origin: boolean; complete: boolean; eighths: number }): PeerGroup {
  if (peer.origin) return 'origins';
  if (peer.complete) return 'complete';
  return peer.eighths > 0 ? 'partial' : 'fresh';
}

/** What {@link PeerStore.sample} is asked for one swarm: how many peers of each group at most. */
export interface SampleRequest {
  readonly swarm: SwarmKey;
  readonly sizes: GroupSizes;
  /** So many of each group of agents are drawn from this zone besides. */
  readonly zoned?: { readonly zone: string; readonly count: number } | undefined;
}

/**
 * Some peers of one swarm, drawn at random within each group, in no order; one may be there twice when a zone was given.
 * The lists are their receiver's own.
 */
export interface Candidates extends Readonly<Record<PeerGroup, TrackedPeer[]>> {
  /** How many there are in the whole swarm. */
  readonly sizes: GroupSizes;
}

/** How much a store holds. */
export interface PeerStoreSize {
  /** Swarms with at least one peer. */
  readonly swarms: number;
  /** Peers by id, however many swarms each of them is in; foreign clients once for each of their swarms. */
  readonly peers: number;
}

/**
 * Which peers have which blob. Soft state: losing all of it costs one announce interval.
 *
 * Promises of every implementation: a peer is in a swarm once, however often and from whatever address it reports; the
 * last report counts, in the order of their numbers; a report is taken as a whole or not at all, as far as others can
 * see; a host whose time is over is never sampled; the cost of a sample does not grow with the swarm (beyond a logarithm);
 * memory is bounded. Calls for many swarms cost one round trip a thousand.
 *
 * @throws UnavailableError from every method when a store outside of this process does not answer
 */
export interface PeerStore {
  /** Takes what a host says has changed, and renews its stay in all its swarms for the time that goes with its activity. */
  report(host: AnnouncingHost, report: HostReport, ttlMs: ActivityTimes): Promise<ReportOutcome>;
  /** Puts a foreign client under an info hash, or renews its stay there, for `ttlMs` from now. */
  putForeign(infoHash: InfoHash, peer: ForeignPeer, ttlMs: number): Promise<void>;
  /** Takes a foreign client out; one that is not there is passed over. */
  removeForeign(infoHash: InfoHash, id: PeerId): Promise<void>;
  /** Peers for each request, in the order of the requests; an unknown swarm has none. Marks the swarms as asked for. */
  sample(requests: readonly SampleRequest[]): Promise<Candidates[]>;
  /** The swarm that peers reported together with this info hash; known while such a peer is in the swarm. */
  findSwarm(infoHash: InfoHash): Promise<SwarmId | undefined>;
  /** For metrics. A store shared by several trackers may still count those that left, until their time is over. */
  size(): Promise<PeerStoreSize>;
  /** Resolves when the store can be used. */
  ready(): Promise<void>;
  /** Whoever opened the store closes it. */
  close(): Promise<void>;
}

const nobody: GroupSizes = { origins: 0, complete: 0, partial: 0, fresh: 0 };

/** No peers at all. */
export function noCandidates(): Candidates {
  return { origins: [], complete: [], partial: [], fresh: [], sizes: nobody };
}
