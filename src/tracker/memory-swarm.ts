import type { InfoHash } from '../core/index.ts';
import {
  type Candidates,
  groupOf,
  type PeerGroup,
  type SampleRequest,
  type SwarmKey,
  type TrackedPeer,
} from './peer-store.ts';
import { type Random, sampleOf } from './random-sample.ts';

/** One peer in one swarm. */
export interface Entry {
  readonly swarm: MemorySwarm;
  peer: TrackedPeer;
  /** Where it stands in the list of its group, and in that of its group and zone. */
  index: number;
  zoneIndex: number;
}

/** The peers of one group, and in the same order the entries that hold them: drawing touches nothing but peers. */
interface PeerList {
  readonly peers: TrackedPeer[];
  readonly entries: Entry[];
}

type Groups = Readonly<Record<PeerGroup, PeerList>>;

/** The peers of one swarm, in one list a group, and one a group and zone, so that each is sampled by itself. */
export class MemorySwarm {
  readonly key: SwarmKey;
  /** The info hash that leads here. */
  infoHash: InfoHash | undefined;
  /** When somebody last asked for its peers; on the store's clock. */
  askedAtMs = Number.NEGATIVE_INFINITY;
  readonly #groups: Groups = emptyGroups();
  #zones: Map<string, Groups> | undefined;

  constructor(key: SwarmKey) {
    this.key = key;
  }

  get isEmpty(): boolean {
    return sizeOf(this.#groups) === 0;
  }

  add(peer: TrackedPeer): Entry {
    const entry: Entry = { swarm: this, peer, index: 0, zoneIndex: 0 };
    this.#join(entry);
    return entry;
  }

  /** Puts another description of the same peer in its place. */
  change(entry: Entry, peer: TrackedPeer): void {
    if (peer === entry.peer) return;
    this.remove(entry);
    entry.peer = peer;
    this.#join(entry);
  }

  remove(entry: Entry): void {
    const { peer, index, zoneIndex } = entry;
    const group = groupOf(peer);
    const moved = takeOut(this.#groups[group], index);
    if (moved !== undefined) moved.index = index;
    if (peer.zone === undefined) return;
    const zone = this.#zones!.get(peer.zone)!;
    const movedInZone = takeOut(zone[group], zoneIndex);
    if (movedInZone !== undefined) movedInZone.zoneIndex = zoneIndex;
    if (sizeOf(zone) === 0) this.#zones!.delete(peer.zone);
  }

  sample({ sizes, zoned }: SampleRequest, random: Random): Candidates {
    const zone = zoned === undefined ? undefined : this.#zones?.get(zoned.zone);
    const draw = (group: PeerGroup) => {
      const drawn = sampleOf(this.#groups[group].peers, sizes[group], random);
      if (zone === undefined || sizes[group] === 0) return drawn;
      for (const peer of sampleOf(zone[group].peers, zoned!.count, random)) drawn.push(peer);
      return drawn;
    };
    const { origins, complete, partial, fresh } = this.#groups;
    return {
      origins: sampleOf(origins.peers, sizes.origins, random),
      complete: draw('complete'),
      partial: draw('partial'),
      fresh: draw('fresh'),
      sizes: {
        origins: origins.peers.length,
        complete: complete.peers.length,
        partial: partial.peers.length,
        fresh: fresh.peers.length,
      },
    };
  }

  #join(entry: Entry): void {
    const { peer } = entry;
    const group = groupOf(peer);
    entry.index = append(this.#groups[group], entry);
    if (peer.zone === undefined) return;
    this.#zones ??= new Map();
    let zone = this.#zones.get(peer.zone);
    if (zone === undefined) {
      zone = emptyGroups();
      this.#zones.set(peer.zone, zone);
    }
    entry.zoneIndex = append(zone[group], entry);
  }
}

function append({ peers, entries }: PeerList, entry: Entry): number {
  peers.push(entry.peer);
  return entries.push(entry) - 1;
}

/** Lists stay dense: the last one takes the place of the one that leaves. @returns the one that has moved there */
function takeOut({ peers, entries }: PeerList, index: number): Entry | undefined {
  const lastPeer = peers.pop()!;
  const last = entries.pop()!;
  if (index === entries.length) return undefined;
  peers[index] = lastPeer;
  entries[index] = last;
  return last;
}

function emptyGroups(): Groups {
  const empty = (): PeerList => ({ peers: [], entries: [] });
  return { origins: empty(), complete: empty(), partial: empty(), fresh: empty() };
}

function sizeOf({ origins, complete, partial, fresh }: Groups): number {
  return origins.peers.length + complete.peers.length + partial.peers.length + fresh.peers.length;
}
