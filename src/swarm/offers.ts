import { LRUCache } from 'lru-cache';
import {
  type Digest,
  decodeMetainfo,
  type InfoHash,
  infoHashOf,
  type Metainfo,
  type SwarmId,
  swarmIdOf,
} from '../core/index.ts';
import type { SwarmStore } from './store.ts';
import type { PieceSource, SeedShare } from './swarm.ts';

/** A whole blob that this host offers: what a blob costs in memory while nobody asks for it. */
export interface Offer {
  readonly digest: Digest;
  readonly pieceLength: number;
  readonly swarmId: SwarmId;
  readonly infoHash: InfoHash;
  /** Where its pieces are read; without one, from the store. */
  readonly source: { readonly metainfo: Metainfo; readonly pieces: PieceSource } | undefined;
  /** Which of the blob's origins this host is. */
  share: SeedShare;
  /** When it last had wires; of one that has none, since when it is idle. */
  idleSinceMs: number;
  /** When a peer last asked for it, or this host read it. */
  askedAtMs: number;
}

/** How a blob is offered. */
interface OfferOptions {
  /** Where its pieces are read; without one, from the store. */
  readonly source?: PieceSource | undefined;
  /** Without one, the one before stays. */
  readonly share?: SeedShare | undefined;
  readonly nowMs: number;
}

/** For whoever is not one of several origins. */
const WHOLE_SHARE: SeedShare = { index: 0, of: 1 };

/** Metainfo that was offered last, so that a blob that is asked for again and again is not decoded each time. */
const METAINFO_CACHE_BYTES = 32 * 1024 * 1024;

/**
 * The blobs that a host offers, by digest and by the ids under which peers ask. Metainfo takes 52 bytes a piece, so that of
 * blobs in the store is kept in a bounded cache and read from the store again when it is needed.
 */
export class Offers {
  readonly #secret: string;
  readonly #blobs: SwarmStore['blobs'];
  readonly #offers = new Map<Digest, Offer>();
  readonly #digests = new Map<string, Digest>();
  readonly #metainfo = new LRUCache<Digest, Metainfo>({
    maxSize: METAINFO_CACHE_BYTES,
    sizeCalculation: ({ sha1, sha256 }) => 500 + sha1.length + sha256.length,
  });

  constructor(secret: string, blobs: SwarmStore['blobs']) {
    this.#secret = secret;
    this.#blobs = blobs;
  }

  get size(): number {
    return this.#offers.size;
  }

  /** Offers a blob, or offers it in another way. @returns whether peers have to be told of it */
  add(metainfo: Metainfo, options: OfferOptions): boolean {
    const { digest, pieceLength } = metainfo;
    const { source: pieces, share, nowMs } = options;
    const before = this.#offers.get(digest);
    if (before !== undefined && before.pieceLength === pieceLength && before.source?.pieces === pieces) {
      before.share = share ?? before.share;
      before.askedAtMs = nowMs;
      return false;
    }
    this.remove(digest);
    const swarmId = swarmIdOf(metainfo, this.#secret);
    const infoHash = infoHashOf(metainfo);
    this.#offers.set(digest, {
      digest,
      pieceLength,
      swarmId,
      infoHash,
      source: pieces === undefined ? undefined : { metainfo, pieces },
      share: share ?? before?.share ?? WHOLE_SHARE,
      idleSinceMs: nowMs,
      askedAtMs: nowMs,
    });
    this.#digests.set(swarmId, digest).set(infoHash, digest);
    if (pieces === undefined) this.#metainfo.set(digest, metainfo);
    return before?.swarmId !== swarmId;
  }

  /** @returns what was offered, so that the caller can close its source */
  remove(digest: Digest): Offer | undefined {
    const offer = this.#offers.get(digest);
    if (offer === undefined) return undefined;
    this.#offers.delete(digest);
    this.#digests.delete(offer.swarmId);
    this.#digests.delete(offer.infoHash);
    this.#metainfo.delete(digest);
    return offer;
  }

  get(digest: Digest): Offer | undefined {
    return this.#offers.get(digest);
  }

  /** The offer that peers ask for under a swarm id or an info hash. */
  find(id: string): Offer | undefined {
    const digest = this.#digests.get(id);
    return digest === undefined ? undefined : this.#offers.get(digest);
  }

  all(): IterableIterator<Offer> {
    return this.#offers.values();
  }

  /** The metainfo of an offer; `undefined` when the store has evicted the blob. */
  async metainfoOf(offer: Offer): Promise<Metainfo | undefined> {
    if (offer.source !== undefined) return offer.source.metainfo;
    if ((await this.#blobs.find(offer.digest)) === undefined) return undefined;
    const known = this.#metainfo.get(offer.digest);
    if (known !== undefined) return known;
    const encoded = await this.#blobs.findMetainfo(offer.digest);
    if (encoded === undefined) return undefined;
    const metainfo = decodeMetainfo(encoded);
    this.#metainfo.set(offer.digest, metainfo);
    return metainfo;
  }
}
