import type { Logger } from 'pino';
import { type Clock, type Digest, encodeMetainfo, type Metainfo } from '../core/index.ts';
import type { BlobSwarm } from './blob-swarm.ts';
import type { LoadedBlobs } from './loaded-blobs.ts';
import type { Offers } from './offers.ts';
import type { SwarmPartial, SwarmStore } from './store.ts';
import type { Download } from './swarm.ts';
import type { SwarmCounters } from './swarm-counters.ts';
import { SwarmDownload } from './swarm-download.ts';
import { Turns } from './turns.ts';

/** What {@link BlobFetches} needs of the host. */
export interface BlobFetchesDeps {
  readonly castore: SwarmStore;
  readonly logger: Logger;
  readonly peerId: string;
  readonly clock: Clock;
  readonly random: () => number;
  /** Downloads that are open at the same time at most. */
  readonly maxDownloads: number;
  readonly offers: Offers;
  readonly loaded: LoadedBlobs;
  readonly counters: SwarmCounters;
  readonly closing: AbortSignal;
  /** Makes the swarm of a blob whose download is about to be opened, and puts it among those that are loaded. */
  readonly load: (metainfo: Metainfo) => BlobSwarm;
  /** Tells the tracker at once how this host stands. */
  readonly announce: () => void;
  /** A download has become a blob that is offered. */
  readonly onWhole: () => void;
}

/** The blobs that a host fetches: each waits for its turn, is opened, followed to its end, and then offered or forgotten. */
export class BlobFetches {
  readonly #deps: BlobFetchesDeps;
  readonly #turns: Turns;
  /** Those that have had their turn, by swarm id. */
  readonly #blobs = new Map<string, BlobSwarm>();
  readonly #fetching = new Map<Digest, Promise<Download>>();

  constructor(deps: BlobFetchesDeps) {
    this.#deps = deps;
    this.#turns = new Turns(deps.maxDownloads);
  }

  /** Whether a blob is being fetched, or waits for it. */
  has(digest: Digest): boolean {
    return this.#fetching.has(digest);
  }

  /** The blob that peers know by a swarm id, if it is being fetched. */
  find(swarmId: string): BlobSwarm | undefined {
    return this.#blobs.get(swarmId);
  }

  /** Blobs that are being fetched, without those that wait. */
  all(): IterableIterator<BlobSwarm> {
    return this.#blobs.values();
  }

  /** Joins a fetch that is under way, or begins one. @throws what opening the download throws; the reason of closing */
  fetch(metainfo: Metainfo): Promise<Download> {
    const running = this.#fetching.get(metainfo.digest);
    if (running !== undefined) return running;
    const started = this.#fetchInTurn(metainfo);
    this.#fetching.set(metainfo.digest, started);
    started.catch(() => this.#fetching.delete(metainfo.digest));
    return started;
  }

  /** Resolves when no download is being opened any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#fetching.values());
  }

  async #fetchInTurn(metainfo: Metainfo): Promise<Download> {
    const { offers, loaded, closing, load } = this.#deps;
    const done = await this.#turns.take(closing);
    let blob: BlobSwarm | undefined;
    try {
      // What was offered before may be gone from the store: whoever fetches knows better.
      await offers.remove(metainfo.digest)?.source?.pieces.close();
      await loaded.unload(metainfo.digest);
      closing.throwIfAborted();
      blob = load(metainfo);
      return await this.#start(blob, done);
    } catch (error) {
      if (blob !== undefined) await this.#forget(blob);
      done();
      throw error;
    }
  }

  /** The tracker is asked for peers while the download is being opened on disk. */
  async #start(blob: BlobSwarm, done: () => void): Promise<Download> {
    const { castore, loaded, closing, announce } = this.#deps;
    this.#blobs.set(blob.swarmId, blob);
    announce();
    const opening = castore.downloads.open(blob.metainfo);
    const [partial, point] = await Promise.allSettled([opening, loaded.openPoint(blob, blob.swarmId)]);
    if (partial.status === 'rejected') throw partial.reason;
    if (point.status === 'rejected' || closing.aborted) {
      await partial.value.close();
      throw point.status === 'rejected' ? point.reason : closing.reason;
    }
    const download = this.#makeDownload(blob, partial.value);
    blob.startDownload(download);
    void this.#follow(blob, download).finally(done);
    return download;
  }

  #makeDownload(blob: BlobSwarm, partial: SwarmPartial): SwarmDownload {
    const { peerId, clock, random, counters, logger } = this.#deps;
    const { digest } = blob.metainfo;
    return new SwarmDownload({
      partial,
      peerId,
      clock,
      random,
      announceHave: (piece) => blob.announceHave(piece),
      ban: (session) => {
        logger.warn({ digest, peer: session.link.address }, 'peer sent bytes that do not match: banned');
        counters.banned++;
        blob.ban(session);
      },
      onReceived: (session, bytes) => counters.received(session.origin, bytes),
      onWasted: (bytes) => {
        counters.wastedBytes += bytes;
      },
    });
  }

  /** Waits for the end of a download, and turns the blob into a seed or forgets it. */
  async #follow(blob: BlobSwarm, download: SwarmDownload): Promise<void> {
    const { castore, offers, clock, logger, onWhole } = this.#deps;
    const { metainfo } = download;
    try {
      await download.finished;
      await castore.blobs.putMetainfo(metainfo.digest, encodeMetainfo(metainfo));
      blob.endDownload();
      this.#blobs.delete(blob.swarmId);
      // The tracker knows this host as one that has part of it, and neighbours hear of every piece: no hurry.
      offers.add(metainfo, { nowMs: clock.monotonicMs() });
      onWhole();
      this.#fetching.delete(metainfo.digest);
    } catch (error) {
      // Before anything is waited for: whoever hears of the end may fetch it anew at once.
      this.#fetching.delete(metainfo.digest);
      logger.info({ err: error, digest: metainfo.digest }, 'download ended before it was whole');
      await this.#forget(blob);
    }
  }

  async #forget(blob: BlobSwarm): Promise<void> {
    this.#blobs.delete(blob.swarmId);
    await this.#deps.loaded.unload(blob.metainfo.digest);
    this.#deps.announce();
  }
}
