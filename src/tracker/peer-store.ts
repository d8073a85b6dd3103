import type { InfoHash, Peer, PeerAddress, PeerId, SwarmId } from '../core/index.ts';

/**
 * What peers are kept under: a swarm id for Shoal's own, an info hash for foreign BitTorrent clients. The two never meet:
 * a swarm id comes out of an HMAC, an info hash out of a SHA-1 of something else.
 */
export type SwarmKey = SwarmId | InfoHash;

/** The host (or foreign client) that an announce speaks for. */
export interface AnnouncingHost extends PeerAddress {
  readonly id: PeerId;
  readonly origin: boolean;
}

/** One swarm that a host takes part in. */
export interface SwarmReport {
  readonly swarm: SwarmKey;
  readonly complete: boolean;
  /** Makes {@link PeerStore.findSwarm} lead from this info hash to `swarm`. */
  readonly infoHash?: InfoHash | undefined;
}

/** How many peers of each kind are wanted at most. */
export interface SampleSizes {
  readonly origins: number;
  readonly complete: number;
  readonly incomplete: number;
}

/** What {@link PeerStore.sample} is asked for one swarm. */
export interface SampleRequest extends SampleSizes {
  readonly swarm: SwarmKey;
}

/** Some peers of one swarm, drawn at random within each kind. An origin is in `origins` whether it is complete or not. */
export interface Candidates {
  readonly origins: readonly Peer[];
  readonly complete: readonly Peer[];
  readonly incomplete: readonly Peer[];
}

/** How much a store holds. */
export interface PeerStoreSize {
  /** Swarms with at least one peer. */
  readonly swarms: number;
  /** Peers by id, however many swarms each of them is in. */
  readonly peers: number;
}

/**
 * Which peers have which blob. Soft state: losing all of it costs one announce interval.
 *
 * Promises of every implementation: a peer is in a swarm once, however often and from whatever address it reports; the
 * last report counts; a peer that is past its time to live is never sampled; the cost of a report or a sample does not
 * grow with the swarm (beyond a logarithm); memory is bounded. Calls for many swarms cost one round trip.
 *
 * @throws UnavailableError from every method when a store outside of this process does not answer
 */
export interface PeerStore {
  /** Puts a host into all swarms that it reports, or renews its stay, for `ttlMs` from now. */
  put(host: AnnouncingHost, reports: readonly SwarmReport[], ttlMs: number): Promise<void>;
  /** Takes a peer out of swarms; swarms that it is not in are passed over. */
  remove(id: PeerId, swarms: readonly SwarmKey[]): Promise<void>;
  /** Peers for each request, in the order of the requests; an unknown swarm has none. */
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

/** Peers are kept in these groups, so that each kind is sampled without looking at the others. */
export const peerGroups = ['origins', 'complete', 'incomplete'] as const;
export type PeerGroup = (typeof peerGroups)[number];

/** The group of a peer. */
export function groupOf(peer: { readonly origin: boolean; readonly complete: boolean }): PeerGroup {
  if (peer.origin) return 'origins';
  return peer.complete ? 'complete' : 'incomplete';
}

/** No peers at all. */
export const noCandidates: Candidates = { origins: [], complete: [], incomplete: [] };
