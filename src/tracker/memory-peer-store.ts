import type { Logger } from 'pino';
import type { Clock, InfoHash, Peer, PeerId, SwarmId } from '../core/index.ts';
import {
  type AnnouncingHost,
  type Candidates,
  groupOf,
  noCandidates,
  type PeerGroup,
  type PeerStore,
  type PeerStoreSize,
  type SampleRequest,
  type SwarmKey,
  type SwarmReport,
} from './peer-store.ts';
import { type Random, sampleOf } from './random-sample.ts';

/** What a {@link MemoryPeerStore} is made of. */
export interface MemoryPeerStoreDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** The most peers that are kept, counted once for each swarm that a peer is in. */
  readonly maxEntries: number;
}

/** One peer in one swarm. */
interface Entry {
  readonly swarm: Swarm;
  peer: Peer;
  group: PeerGroup;
  /** Where it stands in its group's list. */
  index: number;
  expiresAtMs: number;
  ttlMs: number;
}

interface Swarm {
  readonly key: SwarmKey;
  readonly entries: Map<PeerId, Entry>;
  readonly groups: Readonly<Record<PeerGroup, Entry[]>>;
  infoHash: InfoHash | undefined;
}

const WARN_EVERY_MS = 60_000;

/**
 * Peers in this process: for one tracker, or for several that may know different peers.
 *
 * Each group is an array that removal keeps dense by moving its last entry, so that a random sample costs its own length.
 * Entries expire without a scan: those with the same time to live stand in one queue in the order of their last report,
 * so only the heads of a few queues (a tracker uses two times to live) are ever looked at. When the store is full, the
 * entry that would expire first makes room.
 */
export class MemoryPeerStore implements PeerStore {
  readonly #deps: MemoryPeerStoreDeps;
  readonly #swarms = new Map<SwarmKey, Swarm>();
  readonly #swarmOfInfoHash = new Map<InfoHash, Swarm>();
  /** How many swarms each peer is in. */
  readonly #swarmsOfPeer = new Map<PeerId, number>();
  readonly #queues = new Map<number, Set<Entry>>();
  #entries = 0;
  #warnedAtMs = Number.NEGATIVE_INFINITY;

  constructor(deps: MemoryPeerStoreDeps) {
    this.#deps = deps;
  }

  async put(host: AnnouncingHost, reports: readonly SwarmReport[], ttlMs: number): Promise<void> {
    this.#expire();
    for (const report of reports) {
      const { id, origin } = host;
      const peer: Peer = { id, host: host.host, port: host.port, origin, complete: report.complete };
      const swarm = this.#swarmOf(report.swarm);
      if (report.infoHash !== undefined) this.#linkInfoHash(swarm, report.infoHash);
      const entry = swarm.entries.get(id);
      if (entry === undefined) this.#add(swarm, peer, ttlMs);
      else this.#renew(entry, peer, ttlMs);
    }
  }

  async remove(id: PeerId, swarms: readonly SwarmKey[]): Promise<void> {
    for (const key of swarms) {
      const entry = this.#swarms.get(key)?.entries.get(id);
      if (entry !== undefined) this.#drop(entry);
    }
  }

  async sample(requests: readonly SampleRequest[]): Promise<Candidates[]> {
    this.#expire();
    return requests.map((request) => {
      const swarm = this.#swarms.get(request.swarm);
      if (swarm === undefined) return noCandidates;
      const peersOf = (group: PeerGroup) =>
        sampleOf(swarm.groups[group], request[group], this.#deps.random).map((entry) => entry.peer);
      return { origins: peersOf('origins'), complete: peersOf('complete'), incomplete: peersOf('incomplete') };
    });
  }

  async findSwarm(infoHash: InfoHash): Promise<SwarmId | undefined> {
    this.#expire();
    // Only Shoal's own peers report an info hash beside their swarm, so the key is a swarm id.
    return this.#swarmOfInfoHash.get(infoHash)?.key as SwarmId | undefined;
  }

  async size(): Promise<PeerStoreSize> {
    this.#expire();
    return { swarms: this.#swarms.size, peers: this.#swarmsOfPeer.size };
  }

  async ready(): Promise<void> {}

  async close(): Promise<void> {
    for (const map of [this.#swarms, this.#swarmOfInfoHash, this.#swarmsOfPeer, this.#queues]) map.clear();
    this.#entries = 0;
  }

  #swarmOf(key: SwarmKey): Swarm {
    let swarm = this.#swarms.get(key);
    if (swarm === undefined) {
      const groups = { origins: [], complete: [], incomplete: [] };
      swarm = { key, entries: new Map(), groups, infoHash: undefined };
      this.#swarms.set(key, swarm);
    }
    return swarm;
  }

  #linkInfoHash(swarm: Swarm, infoHash: InfoHash): void {
    if (swarm.infoHash !== undefined && swarm.infoHash !== infoHash) this.#unlinkInfoHash(swarm);
    swarm.infoHash = infoHash;
    this.#swarmOfInfoHash.set(infoHash, swarm);
  }

  #unlinkInfoHash(swarm: Swarm): void {
    if (swarm.infoHash === undefined || this.#swarmOfInfoHash.get(swarm.infoHash) !== swarm) return;
    this.#swarmOfInfoHash.delete(swarm.infoHash);
  }

  #add(swarm: Swarm, peer: Peer, ttlMs: number): void {
    const entry: Entry = { swarm, peer, group: groupOf(peer), index: 0, expiresAtMs: 0, ttlMs };
    swarm.entries.set(peer.id, entry);
    this.#swarmsOfPeer.set(peer.id, (this.#swarmsOfPeer.get(peer.id) ?? 0) + 1);
    this.#entries++;
    this.#joinGroup(entry);
    this.#enqueue(entry);
    // Only now: making room first could empty the very swarm that this entry joins, and have it forgotten.
    if (this.#entries > this.#deps.maxEntries) this.#evict();
  }

  #renew(entry: Entry, peer: Peer, ttlMs: number): void {
    entry.peer = peer;
    if (entry.group !== groupOf(peer)) {
      this.#leaveGroup(entry);
      entry.group = groupOf(peer);
      this.#joinGroup(entry);
    }
    this.#dequeue(entry);
    entry.ttlMs = ttlMs;
    this.#enqueue(entry);
  }

  #drop(entry: Entry): void {
    const { swarm, peer } = entry;
    this.#dequeue(entry);
    this.#leaveGroup(entry);
    swarm.entries.delete(peer.id);
    this.#entries--;
    const others = this.#swarmsOfPeer.get(peer.id)! - 1;
    if (others === 0) this.#swarmsOfPeer.delete(peer.id);
    else this.#swarmsOfPeer.set(peer.id, others);
    if (swarm.entries.size > 0) return;
    this.#unlinkInfoHash(swarm);
    this.#swarms.delete(swarm.key);
  }

  #joinGroup(entry: Entry): void {
    const list = entry.swarm.groups[entry.group];
    entry.index = list.length;
    list.push(entry);
  }

  #leaveGroup(entry: Entry): void {
    const list = entry.swarm.groups[entry.group];
    const last = list.pop()!;
    if (last === entry) return;
    list[entry.index] = last;
    last.index = entry.index;
  }

  #enqueue(entry: Entry): void {
    entry.expiresAtMs = this.#deps.clock.monotonicMs() + entry.ttlMs;
    const queue = this.#queues.get(entry.ttlMs);
    if (queue === undefined) this.#queues.set(entry.ttlMs, new Set([entry]));
    else queue.add(entry);
  }

  #dequeue(entry: Entry): void {
    const queue = this.#queues.get(entry.ttlMs)!;
    queue.delete(entry);
    if (queue.size === 0) this.#queues.delete(entry.ttlMs);
  }

  #expire(): void {
    const now = this.#deps.clock.monotonicMs();
    for (const queue of this.#queues.values()) {
      for (const entry of queue) {
        if (entry.expiresAtMs > now) break;
        this.#drop(entry);
      }
    }
  }

  #evict(): void {
    let first: Entry | undefined;
    for (const queue of this.#queues.values()) {
      const [head] = queue;
      if (head !== undefined && (first === undefined || head.expiresAtMs < first.expiresAtMs)) first = head;
    }
    if (first === undefined) return;
    this.#drop(first);
    const now = this.#deps.clock.monotonicMs();
    if (now - this.#warnedAtMs < WARN_EVERY_MS) return;
    this.#warnedAtMs = now;
    const { maxEntries } = this.#deps;
    this.#deps.logger.warn(
      { maxEntries },
      'the peer store is full: peers are dropped early; raise peerStore.maxEntries',
    );
  }
}
