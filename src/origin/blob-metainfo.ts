import { buffer } from 'node:stream/consumers';
import { LRUCache } from 'lru-cache';
import PQueue from 'p-queue';
import type { Logger } from 'pino';
import type { BlobInfo, CaStore } from '../castore/index.ts';
import {
  algorithmOf,
  type Digest,
  DigestMismatchError,
  decodeMetainfo,
  encodeMetainfo,
  hashBytes,
  InvalidMetainfoError,
  type Metainfo,
  MIN_PIECE_LENGTH,
  NoSpaceError,
} from '../core/index.ts';
import { StorageDriverError } from '../driver/index.ts';
import { generateMetainfo, type PieceSource, type SeedShare, type Swarm } from '../swarm/index.ts';
import { encodeMetainfoAnswer } from '../tracker/protocol.ts';
import type { BackendBlobs } from './backend-blobs.ts';
import type { OriginBlobs } from './origin-blobs.ts';
import { ColdPieceSource } from './piece-source.ts';
import { SingleFlight } from './single-flight.ts';

/** What {@link BlobMetainfo} needs. */
export interface BlobMetainfoDeps {
  readonly castore: CaStore;
  readonly backend: BackendBlobs;
  readonly blobs: OriginBlobs;
  readonly swarm: Swarm;
  /** Which of a blob's owners this origin is. */
  readonly share: (digest: Digest) => SeedShare;
  readonly logger: Logger;
  /** Ends what is under way. */
  readonly closing: AbortSignal;
}

/** Blobs up to this length come inside the metainfo answer: one request, no swarm. */
const INLINE_MAX_BYTES = MIN_PIECE_LENGTH;
/** Metainfo that no backend has confirmed yet, in memory. */
const PROVISIONAL_MAX_BYTES = 64 * 1024 * 1024;
/** Passes over new blobs at the same time; hashing has to leave room for uploads and wires. */
const OFFER_CONCURRENCY = 2;
/** New blobs that wait for that; what is beyond it gets its metainfo when somebody asks, or with its write-back. */
const MAX_WAITING_OFFERS = 10_000;

/**
 * The metainfo of blobs, and their place in the swarm: whoever has metainfo of a blob from this origin can fetch it here.
 *
 * What counts is the file beside the blob in the backend: the first writer wins, so that all origins agree for ever. The
 * castore keeps a copy of that. While the backend does not answer, metainfo is *provisional*: used, held in memory, and
 * stored nowhere, so that it can give way to what the backend turns out to have.
 */
export class BlobMetainfo {
  readonly #deps: BlobMetainfoDeps;
  readonly #gets = new SingleFlight<Metainfo>();
  readonly #settles = new SingleFlight<Metainfo>();
  readonly #offers = new PQueue({ concurrency: OFFER_CONCURRENCY });
  readonly #provisional = new LRUCache<Digest, Metainfo>({
    maxSize: PROVISIONAL_MAX_BYTES,
    sizeCalculation: (metainfo) => metainfo.sha1.length + metainfo.sha256.length + 256,
  });

  constructor(deps: BlobMetainfoDeps) {
    this.#deps = deps;
  }

  /**
   * The metainfo of a blob, found or made; the blob is seeded when this resolves.
   * @throws BlobNotFoundError, DigestMismatchError, UnavailableError, and the backend's errors
   */
  async get(digest: Digest, signal?: AbortSignal): Promise<Metainfo> {
    return this.#gets.run(digest, () => this.#findOrMake(digest), signal);
  }

  /** A metainfo answer (tracker/protocol.ts): the blob comes along when it is small. @throws as {@link get} does */
  async getInline(digest: Digest, signal?: AbortSignal): Promise<Buffer> {
    const metainfo = await this.get(digest, signal);
    const encoded = encodeMetainfo(metainfo);
    if (metainfo.length > INLINE_MAX_BYTES) return encodeMetainfoAnswer({ metainfo: encoded, blob: undefined });
    const { stream } = await this.#deps.blobs.open(digest, () => undefined, signal === undefined ? {} : { signal });
    const blob = await buffer(stream);
    const found = hashBytes(blob, algorithmOf(digest));
    if (found === digest) return encodeMetainfoAnswer({ metainfo: encoded, blob });
    throw new DigestMismatchError(`blob ${digest} has bytes of ${found} on this origin`, { digest, found });
  }

  /** Makes the metainfo of a new blob and seeds it, some time soon. Failures are logged: it is made on demand then. */
  offer(digest: Digest): void {
    const { closing, logger } = this.#deps;
    if (closing.aborted || this.#offers.size >= MAX_WAITING_OFFERS) return;
    this.#offers
      .add(() => this.get(digest), { signal: closing })
      .catch((error: unknown) => {
        if (!closing.aborted) logger.warn({ err: error, digest }, 'a new blob is not seeded yet');
      });
  }

  /** Seeds every blob on this disk whose metainfo is there too. */
  async seedAll(signal: AbortSignal): Promise<number> {
    let seeded = 0;
    for await (const info of this.#deps.castore.blobs.list()) {
      signal.throwIfAborted();
      const metainfo = await this.#findInCastore(info);
      if (metainfo === undefined) continue;
      this.#seed(metainfo);
      seeded += 1;
    }
    return seeded;
  }

  /** Sees to it that the backend has the metainfo of a blob on this disk. @throws the backend's errors */
  async store(digest: Digest, signal?: AbortSignal): Promise<void> {
    const { castore, backend } = this.#deps;
    const info = await castore.blobs.find(digest);
    if (info === undefined || !backend.writable) return;
    const stored = await this.#findInCastore(info);
    if (stored === undefined) await this.#settle(info, signal);
    else if ((await this.#findInBackend(info)) === undefined) await backend.putMetainfo(stored, this.#context());
  }

  /** Drops what is known of a blob whose bytes are no longer good, and seeds it no longer. */
  forget(digest: Digest): void {
    this.#provisional.delete(digest);
    this.#deps.swarm.unseed(digest);
  }

  /** Resolves when what is under way has ended; the closing signal ends it early. */
  async settled(): Promise<void> {
    await this.#offers.onIdle();
    await this.#gets.settled();
    await this.#settles.settled();
  }

  async #findOrMake(digest: Digest): Promise<Metainfo> {
    const info = await this.#deps.castore.blobs.find(digest);
    return info === undefined ? this.#ofCold(digest) : this.#ofLocal(info);
  }

  async #ofLocal(info: BlobInfo): Promise<Metainfo> {
    const { logger } = this.#deps;
    const metainfo = (await this.#findInCastore(info)) ?? this.#provisional.get(info.digest);
    if (metainfo !== undefined) {
      this.#seed(metainfo);
      return metainfo;
    }
    try {
      return await this.#settle(info);
    } catch (error) {
      if (!(error instanceof StorageDriverError)) throw error;
      logger.warn(
        { err: error, digest: info.digest },
        'the backend does not tell of metainfo; using our own until it does',
      );
      const provisional = await this.#generate(info);
      this.#seed(provisional);
      return provisional;
    }
  }

  /** Agrees with the backend on a blob's metainfo, and keeps and seeds that. */
  async #settle(info: BlobInfo, signal?: AbortSignal): Promise<Metainfo> {
    return this.#settles.run(info.digest, () => this.#settleNow(info), signal);
  }

  async #settleNow(info: BlobInfo): Promise<Metainfo> {
    const { castore, backend, swarm } = this.#deps;
    const { digest } = info;
    let metainfo = await this.#findInBackend(info);
    if (metainfo === undefined) {
      metainfo = await this.#generate(info);
      if (backend.writable) metainfo = await backend.putMetainfo(metainfo, this.#context());
    }
    const kept = decodeMetainfo(await castore.blobs.putMetainfo(digest, encodeMetainfo(metainfo)));
    const before = this.#provisional.get(digest);
    this.#provisional.delete(digest);
    // Another piece length means another swarm: the provisional one is left.
    if (before !== undefined && before.pieceLength !== kept.pieceLength) swarm.unseed(digest);
    this.#seed(kept);
    return kept;
  }

  /** Not on this disk: seeded from where it is, while it is brought here. */
  async #ofCold(digest: Digest): Promise<Metainfo> {
    const { blobs, closing } = this.#deps;
    const located = await blobs.locate(digest, { signal: closing });
    const { sizeBytes } = located;
    const stored = located.where === 'origin' ? undefined : await this.#findInBackend({ digest, sizeBytes });
    if (stored !== undefined) {
      this.#seedCold(stored);
      blobs.fillInBackground(digest, sizeBytes);
      return stored;
    }
    const info = await this.#tryFill(digest, sizeBytes);
    if (info !== undefined) return this.#ofLocal(info);
    return this.#ofLarge(digest, sizeBytes);
  }

  /** `undefined` when there is no room. */
  async #tryFill(digest: Digest, sizeBytes: number): Promise<BlobInfo | undefined> {
    const { blobs } = this.#deps;
    if (!blobs.fits(sizeBytes)) return undefined;
    try {
      return await blobs.fill(digest);
    } catch (error) {
      if (error instanceof NoSpaceError) return undefined;
      throw error;
    }
  }

  /** No room for it here: hashed, and verified, in one pass where it is. */
  async #ofLarge(digest: Digest, sizeBytes: number): Promise<Metainfo> {
    const { blobs, backend, closing } = this.#deps;
    const { stream } = await blobs.open(digest, () => undefined, { signal: closing });
    let metainfo = await generateMetainfo(digest, sizeBytes, stream);
    if (backend.writable) metainfo = await backend.putMetainfo(metainfo, this.#context());
    this.#seedCold(metainfo);
    return metainfo;
  }

  #seedCold(metainfo: Metainfo): void {
    const { blobs, castore } = this.#deps;
    this.#seed(metainfo, new ColdPieceSource({ digest: metainfo.digest, blobs, castore }));
  }

  #seed(metainfo: Metainfo, source?: PieceSource): void {
    this.#deps.swarm.seed(metainfo, source, this.#deps.share(metainfo.digest));
  }

  async #generate({ digest, sizeBytes }: BlobInfo): Promise<Metainfo> {
    const before = this.#provisional.get(digest);
    if (before !== undefined) return before;
    const metainfo = await generateMetainfo(digest, sizeBytes, await this.#deps.castore.blobs.open(digest));
    this.#provisional.set(digest, metainfo);
    return metainfo;
  }

  async #findInCastore(info: BlobInfo): Promise<Metainfo | undefined> {
    return this.#readable(info, async () => {
      const encoded = await this.#deps.castore.blobs.findMetainfo(info.digest);
      return encoded === undefined ? undefined : decodeMetainfo(encoded);
    });
  }

  async #findInBackend(info: Pick<BlobInfo, 'digest' | 'sizeBytes'>): Promise<Metainfo | undefined> {
    return this.#readable(info, () => this.#deps.backend.findMetainfo(info.digest, this.#context()));
  }

  /** Metainfo that cannot be read, or is of other bytes, counts as absent: the next that is made takes its place. */
  async #readable(
    { digest, sizeBytes }: Pick<BlobInfo, 'digest' | 'sizeBytes'>,
    find: () => Promise<Metainfo | undefined>,
  ): Promise<Metainfo | undefined> {
    try {
      const metainfo = await find();
      if (metainfo === undefined || (metainfo.digest === digest && metainfo.length === sizeBytes)) return metainfo;
      this.#deps.logger.warn({ digest, sizeBytes, found: metainfo.length }, 'stored metainfo is of another blob');
    } catch (error) {
      if (!(error instanceof InvalidMetainfoError)) throw error;
      this.#deps.logger.warn({ err: error, digest }, 'stored metainfo cannot be read');
    }
    return undefined;
  }

  #context(): { readonly signal: AbortSignal } {
    return { signal: this.#deps.closing };
  }
}
