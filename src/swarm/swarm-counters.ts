import type { BlobSwarm } from './blob-swarm.ts';
import type { SwarmStatistics } from './swarm.ts';

/** Sums over all blobs of a host since its start. */
export class SwarmCounters {
  wastedBytes = 0;
  sentBytes = 0;
  turnedAway = 0;
  banned = 0;
  #receivedFromPeersBytes = 0;
  #receivedFromOriginsBytes = 0;

  /** Bytes of blobs have come in. */
  received(fromOrigin: boolean, bytes: number): void {
    if (fromOrigin) this.#receivedFromOriginsBytes += bytes;
    else this.#receivedFromPeersBytes += bytes;
  }

  /** The sums, with what is there now. */
  statistics(blobs: Iterable<BlobSwarm>, offered: number): SwarmStatistics {
    let wires = 0;
    let downloads = 0;
    let loaded = 0;
    for (const blob of blobs) {
      loaded++;
      wires += blob.wires;
      if (blob.download !== undefined) downloads++;
    }
    return {
      receivedFromPeersBytes: this.#receivedFromPeersBytes,
      receivedFromOriginsBytes: this.#receivedFromOriginsBytes,
      wastedBytes: this.wastedBytes,
      sentBytes: this.sentBytes,
      wires,
      downloads,
      seeding: offered,
      loaded,
      turnedAway: this.turnedAway,
      banned: this.banned,
      processes: 0,
    };
  }
}
