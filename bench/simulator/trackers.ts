import type { PeerId } from '../../src/core/index.ts';
import { defaultHandOutPolicy, drawSizesFor, handOut } from '../../src/tracker/hand-out.ts';
import { type Entry, MemorySwarm } from '../../src/tracker/memory-swarm.ts';
import type { TrackedPeer } from '../../src/tracker/peer-store.ts';
import type { Fleet } from './fleet.ts';
import type { SimulationOptions } from './options.ts';

/**
 * The trackers: production's swarms in memory and hand-out, behind a queue that takes so many announces a second. All
 * trackers know the same peers, as with a shared store. Who was killed is forgotten after two and a half intervals.
 */
export class Trackers {
  /** Announces in each second since the start. */
  readonly announces: number[] = [];
  readonly #fleet: Fleet;
  readonly #options: SimulationOptions;
  readonly #random: () => number;
  readonly #swarms: readonly MemorySwarm[];
  readonly #entries: (Entry | undefined)[];
  readonly #hosts = new Map<string, number>();
  readonly #ids: readonly PeerId[];
  #freeAtMs = 0;

  constructor(fleet: Fleet, options: SimulationOptions, random: () => number) {
    this.#fleet = fleet;
    this.#options = options;
    this.#random = random;
    this.#swarms = Array.from({ length: fleet.blobs }, (_, blob) => new MemorySwarm(`swarm ${blob}` as never));
    this.#entries = new Array(fleet.nodes).fill(undefined);
    this.#ids = Array.from({ length: fleet.hosts }, (_, host) => {
      const id = host.toString(16).padStart(40, '0') as PeerId;
      this.#hosts.set(id, host);
      return id;
    });
  }

  /** When an announce that is sent at `nowMs` is through the queue. */
  enqueue(nowMs: number): number {
    const arrivesAtMs = nowMs + this.#options.announceMs / 2;
    this.#freeAtMs = Math.max(arrivesAtMs, this.#freeAtMs) + 1000 / this.#options.trackerRate;
    const second = Math.floor(arrivesAtMs / 1000);
    while (this.announces.length <= second) this.announces.push(0);
    this.announces[second]!++;
    return this.#freeAtMs;
  }

  /** A host reports one of its blobs as it stands. */
  put(node: number): void {
    const peer = this.#describe(node);
    const entry = this.#entries[node];
    const swarm = this.#swarms[node % this.#fleet.blobs]!;
    if (entry === undefined) this.#entries[node] = swarm.add(peer);
    else swarm.change(entry, peer);
  }

  /** The host is gone. */
  remove(node: number): void {
    const entry = this.#entries[node];
    if (entry !== undefined) entry.swarm.remove(entry);
    this.#entries[node] = undefined;
  }

  /** Up to `want` peers for a node that has reported. @returns nodes */
  handOut(node: number, want: number): number[] {
    if (want <= 0) return [];
    const asker = this.#describe(node);
    const { sizes, zoned } = drawSizesFor(asker, want, defaultHandOutPolicy);
    const swarm = this.#swarms[node % this.#fleet.blobs]!;
    const candidates = swarm.sample({ swarm: swarm.key, sizes, zoned }, this.#random);
    const chosen = handOut({ candidates, asker, want, policy: defaultHandOutPolicy, random: this.#random });
    return chosen.map((peer) => this.#hosts.get(peer.id)! * this.#fleet.blobs + (node % this.#fleet.blobs));
  }

  /** How many eighths the tracker believes that a node has. */
  knownEighths(node: number): number {
    return this.#entries[node]?.peer.eighths ?? 0;
  }

  #describe(node: number): TrackedPeer {
    const host = this.#fleet.hostOf(node);
    return {
      id: this.#ids[host]!,
      host: `10.${(host >> 16) & 255}.${(host >> 8) & 255}.${host & 255}`,
      port: 1,
      origin: this.#fleet.isOrigin(host),
      complete: this.#fleet.complete[node] === 1,
      eighths: this.#fleet.eighths(node),
      ...(this.#options.zones > 1 ? { zone: `zone-${this.#fleet.zone[host]}` } : {}),
    };
  }
}
