import type { Clock, Digest } from '../core/index.ts';
import type { Download } from '../swarm/index.ts';

/** Where the bytes of all reads since the start came from, and the downloads that ended last. */
export interface TransferStatistics {
  /** Served from the local store. */
  readonly cacheBytes: number;
  /** Received in swarms from agents and foreign peers. */
  readonly fromPeersBytes: number;
  /** Received in swarms from origins. */
  readonly fromOriginsBytes: number;
  /** Received from origins over HTTP: pieces that the swarm did not bring in time, and blobs that came with their metainfo. */
  readonly suppliedBytes: number;
  /** Received twice, or dropped because it did not match. */
  readonly wastedBytes: number;
  /** Verified and stored by downloads, those pieces included that an earlier process of this host had brought. */
  readonly verifiedBytes: number;
  /** Downloads that are on their way. */
  readonly running: number;
  /** The last downloads that ended well, oldest first; {@link RECENT_DOWNLOADS} at most. */
  readonly recent: readonly FinishedDownload[];
}

/** One blob that the swarm has brought. Byte counts as in {@link TransferStatistics}. */
export interface FinishedDownload {
  readonly digest: Digest;
  readonly lengthBytes: number;
  readonly fromPeersBytes: number;
  readonly fromOriginsBytes: number;
  readonly suppliedBytes: number;
  readonly wastedBytes: number;
  readonly seconds: number;
}

/** How many ended downloads are remembered. */
export const RECENT_DOWNLOADS = 100;

/** Counts bytes by where they came from. */
export class TransferLedger {
  readonly #clock: Clock;
  readonly #running = new Set<Download>();
  /** Whatever was ever counted: a download that has ended may be handed out once more while it turns into a blob. */
  readonly #followed = new WeakSet<Download>();
  readonly #recent: FinishedDownload[] = [];
  #cacheBytes = 0;
  #httpBytes = 0;
  #ended = { fromPeersBytes: 0, fromOriginsBytes: 0, suppliedBytes: 0, wastedBytes: 0, verifiedBytes: 0 };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Bytes served from the local store. */
  addCache(bytes: number): void {
    this.#cacheBytes += bytes;
  }

  /** Bytes that came over HTTP and through no download. */
  addHttp(bytes: number): void {
    this.#httpBytes += bytes;
  }

  /** Counts a download until its digest has matched or it failed; a second call for the same one changes nothing. */
  follow(download: Download): void {
    if (this.#followed.has(download)) return;
    this.#followed.add(download);
    this.#running.add(download);
    const startedMs = this.#clock.monotonicMs();
    download.verified.then(
      () => this.#end(download, (this.#clock.monotonicMs() - startedMs) / 1000),
      // Readers tell of the failure; here its bytes count as received.
      () => this.#end(download, undefined),
    );
  }

  statistics(): TransferStatistics {
    const sums = { ...this.#ended };
    for (const download of this.#running) {
      const progress = download.progress();
      sums.fromPeersBytes += progress.fromPeersBytes;
      sums.fromOriginsBytes += progress.fromOriginsBytes;
      sums.suppliedBytes += progress.suppliedBytes;
      sums.wastedBytes += progress.wastedBytes;
      sums.verifiedBytes += progress.verifiedBytes;
    }
    return {
      cacheBytes: this.#cacheBytes,
      fromPeersBytes: sums.fromPeersBytes,
      fromOriginsBytes: sums.fromOriginsBytes,
      suppliedBytes: sums.suppliedBytes + this.#httpBytes,
      wastedBytes: sums.wastedBytes,
      verifiedBytes: sums.verifiedBytes,
      running: this.#running.size,
      recent: [...this.#recent],
    };
  }

  #end(download: Download, seconds: number | undefined): void {
    if (!this.#running.delete(download)) return;
    const { fromPeersBytes, fromOriginsBytes, suppliedBytes, wastedBytes, verifiedBytes } = download.progress();
    this.#ended.fromPeersBytes += fromPeersBytes;
    this.#ended.fromOriginsBytes += fromOriginsBytes;
    this.#ended.suppliedBytes += suppliedBytes;
    this.#ended.wastedBytes += wastedBytes;
    this.#ended.verifiedBytes += verifiedBytes;
    if (seconds === undefined) return;
    const { digest, length: lengthBytes } = download.metainfo;
    this.#recent.push({
      digest,
      lengthBytes,
      fromPeersBytes,
      fromOriginsBytes,
      suppliedBytes,
      wastedBytes,
      seconds,
    });
    if (this.#recent.length > RECENT_DOWNLOADS) this.#recent.shift();
  }
}
