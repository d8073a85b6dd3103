import type { Digest } from '../core/index.ts';
import type { BlobSwarm } from './blob-swarm.ts';
import type { Offers } from './offers.ts';
import type { MeetingPoint, PeerLink } from './wire/transport.ts';

/** What {@link LoadedBlobs} needs. */
export interface LoadedBlobsDeps {
  /** Opens a meeting point of the host's transport. */
  readonly meet: (id: string, onLink: (link: PeerLink) => void) => Promise<MeetingPoint>;
  readonly offers: Offers;
  /** A whole blob without wires for this long is unloaded. */
  readonly idleMs: number;
}

/** Whole blobs without wires that stay loaded at most: somebody may ask for one after the other. */
const MAX_IDLE = 500;

/** The blobs of a host that are loaded: those on their way, and those that somebody has asked for. */
export class LoadedBlobs {
  readonly #deps: LoadedBlobsDeps;
  readonly #blobs = new Map<Digest, BlobSwarm>();
  /** By the ids under which peers ask: points that are open or being opened. */
  readonly #points = new Map<string, Promise<MeetingPoint>>();
  /** Blobs that are on their way, by info hash. */
  readonly #fetched = new Map<string, BlobSwarm>();

  constructor(deps: LoadedBlobsDeps) {
    this.#deps = deps;
  }

  get(digest: Digest): BlobSwarm | undefined {
    return this.#blobs.get(digest);
  }

  all(): IterableIterator<BlobSwarm> {
    return this.#blobs.values();
  }

  add(blob: BlobSwarm): void {
    this.#blobs.set(blob.metainfo.digest, blob);
    if (!blob.complete) this.#fetched.set(blob.infoHash, blob);
  }

  /** The blob on its way that foreign clients know by this info hash. */
  findFetched(infoHash: string): BlobSwarm | undefined {
    const blob = this.#fetched.get(infoHash);
    return blob?.complete === false ? blob : undefined;
  }

  /** The meeting point of one of a blob's ids, opened once. */
  openPoint(blob: BlobSwarm, id: string): Promise<MeetingPoint> {
    const opening = this.#points.get(id);
    if (opening !== undefined) return opening;
    const opened = this.#deps
      .meet(id, (link) => blob.onLink(link, id === blob.infoHash))
      .then((point) => {
        blob.addPoint(id, point);
        return point;
      });
    this.#points.set(id, opened);
    opened.catch(() => this.#points.delete(id)); // Whoever comes next tries again.
    return opened;
  }

  /** Closes a blob's wires and what it reads from. */
  async unload(digest: Digest): Promise<void> {
    const blob = this.#blobs.get(digest);
    if (blob === undefined) return;
    this.#blobs.delete(digest);
    this.#fetched.delete(blob.infoHash);
    this.#points.delete(blob.swarmId);
    this.#points.delete(blob.infoHash);
    await blob.close();
  }

  /** Lets go of whole blobs that nobody has asked for in a while, and of the idlest when there are many. */
  unloadIdle(nowMs: number): void {
    const idle: { digest: Digest; sinceMs: number }[] = [];
    for (const [digest, blob] of this.#blobs) {
      const offer = this.#deps.offers.get(digest);
      if (offer === undefined || !blob.complete) continue;
      if (blob.wires > 0) {
        offer.idleSinceMs = nowMs;
        offer.askedAtMs = nowMs;
      }
      // A source that the caller gave stays open with the blob: it could not be opened again.
      else if (offer.source === undefined) idle.push({ digest, sinceMs: Math.max(offer.idleSinceMs, offer.askedAtMs) });
    }
    idle.sort((a, b) => a.sinceMs - b.sinceMs);
    const tooMany = idle.length - MAX_IDLE;
    idle.forEach(({ digest, sinceMs }, index) => {
      if (index < tooMany || nowMs - sinceMs > this.#deps.idleMs) void this.unload(digest);
    });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#blobs.keys()].map((digest) => this.unload(digest)));
  }
}
