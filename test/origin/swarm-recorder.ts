import { type Digest, type Metainfo, makePeerId } from '../../src/core/index.ts';
import type { Download, PieceSource, Swarm, SwarmStatistics } from '../../src/swarm/index.ts';

/** One call of {@link Swarm.seed}. */
export interface Seeded {
  readonly metainfo: Metainfo;
  readonly source: PieceSource | undefined;
}

/** A swarm without wires: it notes what an origin offers, as the real one would offer it to peers. */
export class SwarmRecorder implements Swarm {
  readonly peerId = makePeerId();
  readonly port = 0;
  /** What is offered now, by digest. */
  readonly offers = new Map<Digest, Seeded>();
  readonly unseeded: Digest[] = [];

  seed(metainfo: Metainfo, source?: PieceSource): void {
    this.offers.set(metainfo.digest, { metainfo, source });
  }

  unseed(digest: Digest): void {
    this.unseeded.push(digest);
    this.offers.delete(digest);
  }

  used(): void {}
  setLimits(): void {}

  fetch(): Promise<Download> {
    return Promise.reject(new Error('an origin fetches nothing from the swarm'));
  }

  find(): undefined {
    return undefined;
  }

  statistics(): SwarmStatistics {
    return {
      receivedFromPeersBytes: 0,
      receivedFromOriginsBytes: 0,
      wastedBytes: 0,
      sentBytes: 0,
      wires: 0,
      downloads: 0,
      seeding: this.offers.size,
      loaded: 0,
      turnedAway: 0,
      banned: 0,
      processes: 0,
    };
  }

  async close(): Promise<void> {
    await Promise.all([...this.offers.values()].map(({ source }) => source?.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
