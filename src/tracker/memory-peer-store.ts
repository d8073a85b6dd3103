import type { Logger } from 'pino';
import type { Clock, InfoHash, PeerId, SwarmId } from '../core/index.ts';
import { type Entry, MemorySwarm } from './memory-swarm.ts';
import {
  type Activity,
  type ActivityTimes,
  type AnnouncingHost,
  ASKED_LATELY_MS,
  type Candidates,
  type ForeignPeer,
  type HostReport,
  noCandidates,
  type PeerStore,
  type PeerStoreSize,
  type ReportOutcome,
  type SampleRequest,
  type SwarmKey,
  type SwarmReport,
  type TrackedPeer,
} from './peer-store.ts';
import type { Random } from './random-sample.ts';

/** What a {@link MemoryPeerStore} is made of. */
export interface MemoryPeerStoreDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** The most peers that are kept, counted once for each swarm that a peer is in. */
  readonly maxEntries: number;
}

/** A host, or a foreign client in one of its swarms. */
interface KnownHost {
  readonly key: string;
  description: AnnouncingHost;
  /** What it is in a swarm, by eighths: one object for all swarms in which it is as far, so that they stay few. */
  peers: (TrackedPeer | undefined)[];
  /** The newest announce of it. */
  sequence: number;
  readonly entries: Map<SwarmKey, Entry>;
  /** How many of the entries are not complete. */
  incomplete: number;
  ttlMs: number;
  expiresAtMs: number;
}

const WARN_EVERY_MS = 60_000;

/**
 * Peers in this process: for one tracker, or for several that may know different peers.
 *
 * A host's stay is one number, so renewing it costs the same whatever it has. Hosts expire without a scan: those with the
 * same time to live stand in one queue in the order of their last report, so only the heads of a few queues (a tracker
 * uses three times to live) are ever looked at. When the store is full, hosts that would expire first make room, with all
 * that they have: their next announce finds them unknown, and is asked for everything.
 */
export class MemoryPeerStore implements PeerStore {
  readonly #deps: MemoryPeerStoreDeps;
  readonly #swarms = new Map<SwarmKey, MemorySwarm>();
  readonly #swarmOfInfoHash = new Map<InfoHash, MemorySwarm>();
  readonly #hosts = new Map<string, KnownHost>();
  readonly #queues = new Map<number, Set<KnownHost>>();
  /** Before this nobody expires. */
  #nextExpiryMs = Number.POSITIVE_INFINITY;
  #entries = 0;
  /** Hosts with at least one entry. */
  #peers = 0;
  #warnedAtMs = Number.NEGATIVE_INFINITY;

  constructor(deps: MemoryPeerStoreDeps) {
    this.#deps = deps;
  }

  async report(description: AnnouncingHost, report: HostReport, ttlMs: ActivityTimes): Promise<ReportOutcome> {
    this.#expire();
    const known = this.#hosts.get(description.id);
    const { sequence } = report;
    if (sequence !== undefined) {
      if (known !== undefined && sequence < known.sequence) return 'late';
      if (!report.full && (known === undefined || known.sequence < report.since)) return 'unknown';
    }
    const host = known ?? this.#addHost(description.id, description);
    if (known !== undefined) this.#describe(host, description);
    if (report.full) this.#keepOnly(host, report.joined);
    for (const swarm of report.left) this.#leave(host, swarm);
    for (const joined of report.joined) this.#join(host, joined);
    if (sequence !== undefined) host.sequence = sequence;
    const activity = this.#activityOf(host);
    this.#renew(host, ttlMs[activity]);
    this.#makeRoom();
    return activity;
  }

  async putForeign(
    infoHash: InfoHash,
    { id, host: address, port, complete }: ForeignPeer,
    ttlMs: number,
  ): Promise<void> {
    this.#expire();
    const description = { id, host: address, port, origin: false };
    const key = foreignKey(infoHash, id);
    const host = this.#hosts.get(key) ?? this.#addHost(key, description);
    this.#describe(host, description);
    this.#join(host, { swarm: infoHash, complete, eighths: complete ? 8 : 0 });
    this.#renew(host, ttlMs);
    this.#makeRoom();
  }

  async removeForeign(infoHash: InfoHash, id: PeerId): Promise<void> {
    const host = this.#hosts.get(foreignKey(infoHash, id));
    if (host !== undefined) this.#drop(host);
  }

  async sample(requests: readonly SampleRequest[]): Promise<Candidates[]> {
    this.#expire();
    const now = this.#deps.clock.monotonicMs();
    return requests.map((request) => {
      const swarm = this.#swarms.get(request.swarm);
      if (swarm === undefined) return noCandidates();
      swarm.askedAtMs = now;
      return swarm.sample(request, this.#deps.random);
    });
  }

  async findSwarm(infoHash: InfoHash): Promise<SwarmId | undefined> {
    this.#expire();
    // Only Shoal's own peers report an info hash beside their swarm, so the key is a swarm id.
    return this.#swarmOfInfoHash.get(infoHash)?.key as SwarmId | undefined;
  }

  async size(): Promise<PeerStoreSize> {
    this.#expire();
    return { swarms: this.#swarms.size, peers: this.#peers };
  }

  async ready(): Promise<void> {}

  async close(): Promise<void> {
    for (const map of [this.#swarms, this.#swarmOfInfoHash, this.#hosts, this.#queues]) map.clear();
    this.#entries = 0;
    this.#peers = 0;
  }

  #addHost(key: string, description: AnnouncingHost): KnownHost {
    const state = { sequence: 0, entries: new Map(), incomplete: 0, ttlMs: 0, expiresAtMs: 0 };
    const host: KnownHost = { key, description, peers: [], ...state };
    this.#hosts.set(key, host);
    return host;
  }

  /** Takes over what has changed in a host's address or place. */
  #describe(host: KnownHost, description: AnnouncingHost): void {
    const old = host.description;
    const same = old.host === description.host && old.port === description.port && old.zone === description.zone;
    if (same && old.origin === description.origin) return;
    host.description = description;
    host.peers = [];
    for (const entry of host.entries.values()) {
      const { complete, eighths } = entry.peer;
      entry.swarm.change(entry, peerOf(host, complete, eighths));
    }
  }

  #keepOnly(host: KnownHost, reports: readonly SwarmReport[]): void {
    if (host.entries.size === 0) return;
    const kept = new Set<SwarmKey>(reports.map(({ swarm }) => swarm));
    for (const swarm of [...host.entries.keys()]) if (!kept.has(swarm)) this.#leave(host, swarm);
  }

  #join(host: KnownHost, report: Omit<SwarmReport, 'swarm'> & { readonly swarm: SwarmKey }): void {
    const { complete, eighths, infoHash } = report;
    const peer = peerOf(host, complete, eighths);
    const entry = host.entries.get(report.swarm);
    if (entry === undefined) {
      const swarm = this.#swarmOf(report.swarm);
      if (host.entries.size === 0) this.#peers++;
      host.entries.set(report.swarm, swarm.add(peer));
      this.#entries++;
      host.incomplete += complete ? 0 : 1;
      if (infoHash !== undefined) this.#linkInfoHash(swarm, infoHash);
      return;
    }
    host.incomplete += Number(entry.peer.complete) - Number(complete);
    entry.swarm.change(entry, peer);
    if (infoHash !== undefined) this.#linkInfoHash(entry.swarm, infoHash);
  }

  #leave(host: KnownHost, key: SwarmKey): void {
    const entry = host.entries.get(key);
    if (entry === undefined) return;
    const { swarm, peer } = entry;
    host.entries.delete(key);
    host.incomplete -= peer.complete ? 0 : 1;
    this.#entries--;
    if (host.entries.size === 0) this.#peers--;
    swarm.remove(entry);
    if (!swarm.isEmpty) return;
    this.#unlinkInfoHash(swarm);
    this.#swarms.delete(key);
  }

  #swarmOf(key: SwarmKey): MemorySwarm {
    let swarm = this.#swarms.get(key);
    if (swarm === undefined) {
      swarm = new MemorySwarm(key);
      this.#swarms.set(key, swarm);
    }
    return swarm;
  }

  #linkInfoHash(swarm: MemorySwarm, infoHash: InfoHash): void {
    if (swarm.infoHash === infoHash) return;
    this.#unlinkInfoHash(swarm);
    const former = this.#swarmOfInfoHash.get(infoHash);
    if (former !== undefined) former.infoHash = undefined;
    swarm.infoHash = infoHash;
    this.#swarmOfInfoHash.set(infoHash, swarm);
  }

  #unlinkInfoHash(swarm: MemorySwarm): void {
    if (swarm.infoHash !== undefined) this.#swarmOfInfoHash.delete(swarm.infoHash);
  }

  #activityOf(host: KnownHost): Activity {
    if (host.incomplete > 0) return 'downloading';
    const latelyMs = this.#deps.clock.monotonicMs() - ASKED_LATELY_MS;
    for (const { swarm } of host.entries.values()) if (swarm.askedAtMs > latelyMs) return 'seeding';
    return 'idle';
  }

  #renew(host: KnownHost, ttlMs: number): void {
    this.#queues.get(host.ttlMs)?.delete(host);
    host.ttlMs = ttlMs;
    host.expiresAtMs = this.#deps.clock.monotonicMs() + ttlMs;
    this.#nextExpiryMs = Math.min(this.#nextExpiryMs, host.expiresAtMs);
    const queue = this.#queues.get(ttlMs);
    if (queue === undefined) this.#queues.set(ttlMs, new Set([host]));
    else queue.add(host);
  }

  #drop(host: KnownHost): void {
    for (const swarm of [...host.entries.keys()]) this.#leave(host, swarm);
    this.#hosts.delete(host.key);
    this.#queues.get(host.ttlMs)?.delete(host);
  }

  /** Not at every call: the head of a set is far away when many before it have been deleted. */
  #expire(): void {
    const now = this.#deps.clock.monotonicMs();
    if (now < this.#nextExpiryMs) return;
    this.#nextExpiryMs = Number.POSITIVE_INFINITY;
    for (const queue of this.#queues.values()) {
      for (const host of queue) {
        if (host.expiresAtMs > now) {
          this.#nextExpiryMs = Math.min(this.#nextExpiryMs, host.expiresAtMs);
          break;
        }
        this.#drop(host);
      }
    }
  }

  /** Hosts without swarms are kept for the numbers of their announces, so they count too. */
  #makeRoom(): void {
    const { maxEntries, clock, logger } = this.#deps;
    if (this.#entries <= maxEntries && this.#hosts.size <= maxEntries) return;
    while (this.#entries > maxEntries || this.#hosts.size > maxEntries) this.#drop(this.#firstToExpire()!);
    const now = clock.monotonicMs();
    if (now - this.#warnedAtMs < WARN_EVERY_MS) return;
    this.#warnedAtMs = now;
    logger.warn({ maxEntries }, 'the peer store is full: peers are dropped early; raise peerStore.maxEntries');
  }

  #firstToExpire(): KnownHost | undefined {
    let first: KnownHost | undefined;
    for (const queue of this.#queues.values()) {
      const [head] = queue;
      if (head !== undefined && (first === undefined || head.expiresAtMs < first.expiresAtMs)) first = head;
    }
    return first;
  }
}

function peerOf(host: KnownHost, complete: boolean, eighths: number): TrackedPeer {
  const state = complete ? 8 : Math.min(eighths, 7);
  const known = host.peers[state];
  if (known !== undefined) return known;
  const { id, host: address, port, origin, zone } = host.description;
  const peer = { id, host: address, port, origin, complete, eighths: state };
  const made = zone === undefined ? peer : { ...peer, zone };
  host.peers[state] = made;
  return made;
}

/** Foreign clients choose their own ids: one that takes a host's must not get at what that host reported. */
function foreignKey(infoHash: InfoHash, id: PeerId): string {
  return `${infoHash}/${id}`;
}
