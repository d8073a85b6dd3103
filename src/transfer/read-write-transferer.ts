import type { Readable } from 'node:stream';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { BuildIndexClient } from '../build-index/client.ts';
import type { CaStore } from '../castore/index.ts';
import {
  BlobNotFoundError,
  type ByteRange,
  type Clock,
  type Digest,
  type Repository,
  systemClock,
  type Tag,
} from '../core/index.ts';
import type { OriginCluster } from '../origin/client.ts';
import { defaultReadWriteTransferConfig, type ReadWriteTransferConfig } from './config.ts';
import type { ImageTransferer, LinkKind, TransferContext } from './image-transferer.ts';
import { LinkCache } from './link-cache.ts';
import { checkedRange, LinkedReads, openNothing } from './linked-reads.ts';
import { type ReadResult, TransferMetrics } from './metrics.ts';
import { openFromOrigins } from './origin-stream.ts';
import { PushPins } from './push-pins.ts';
import { TransferLedger, type TransferStatistics } from './transfer-ledger.ts';

/** What a read-write transferer works with. It owns none of it: whoever made them closes them. */
export interface ReadWriteTransfererDeps {
  readonly castore: CaStore;
  readonly origins: OriginCluster;
  readonly buildIndex: BuildIndexClient;
  readonly logger: Logger;
  readonly metrics?: Registry;
  readonly clock?: Clock;
}

/** A proxy's transferer: takes blobs to the origins and names to the build-index, reads from the origins, joins no swarm. */
export class ReadWriteTransferer extends LinkedReads implements ImageTransferer {
  readonly #deps: ReadWriteTransfererDeps;
  readonly #config: ReadWriteTransferConfig;
  readonly #pins: PushPins;
  readonly #clock: Clock;
  readonly #ledger: TransferLedger;
  readonly #metrics: TransferMetrics;

  constructor(deps: ReadWriteTransfererDeps, options: Partial<ReadWriteTransferConfig> = {}) {
    const { buildIndex, logger, clock = systemClock } = deps;
    const config = { ...defaultReadWriteTransferConfig, ...options };
    super(
      buildIndex,
      new LinkCache(
        { source: buildIndex, clock, logger },
        { linkCacheMs: config.linkCacheMs, staleMs: 0, maxEntries: config.cacheEntries },
      ),
    );
    this.#deps = deps;
    this.#config = config;
    this.#clock = clock;
    this.#ledger = new TransferLedger(clock);
    this.#metrics = new TransferMetrics(this.#ledger, deps.metrics);
    this.#pins = new PushPins(deps.castore.blobs);
  }

  /** Makes a transferer, and lets go of blobs that a process which ended in mid-push had kept from eviction. */
  static async open(
    deps: ReadWriteTransfererDeps,
    options: Partial<ReadWriteTransferConfig> = {},
  ): Promise<ReadWriteTransferer> {
    const transferer = new ReadWriteTransferer(deps, options);
    await transferer.#pins.clear();
    return transferer;
  }

  async open(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    context?: TransferContext,
  ): Promise<Readable> {
    const startedMs = this.#clock.monotonicMs();
    try {
      const { sizeBytes } = await this.stat(repository, digest, context);
      const checked = checkedRange(digest, sizeBytes, range);
      if (sizeBytes === 0 || checked?.length === 0) return openNothing(digest, checked);
      const { result, stream } = await this.#openSomewhere(digest, sizeBytes, checked, context?.signal);
      this.#metrics.countRead(result);
      this.#metrics.observeFirstByte((this.#clock.monotonicMs() - startedMs) / 1000);
      return stream;
    } catch (error) {
      this.#metrics.countRead(error instanceof BlobNotFoundError ? 'not-found' : 'failed');
      throw error;
    }
  }

  async locate(digest: Digest, context?: TransferContext): Promise<{ readonly sizeBytes: number }> {
    return { sizeBytes: await this.#deps.origins.keep(digest, context?.signal) };
  }

  async upload(repository: Repository, digest: Digest, context?: TransferContext): Promise<void> {
    const { castore, origins } = this.#deps;
    await this.#pins.during(digest, async ({ sizeBytes }) => {
      const source = { sizeBytes, open: () => castore.blobs.open(digest) };
      await origins.upload(digest, source, repository, context?.signal);
    });
  }

  getTag(repository: Repository, tag: Tag, context?: TransferContext): Promise<Digest> {
    return this.buildIndex.getTag(repository, tag, context?.signal);
  }

  putTag(repository: Repository, tag: Tag, digest: Digest, context?: TransferContext): Promise<void> {
    return this.buildIndex.putTag(repository, tag, digest, context?.signal);
  }

  deleteTag(repository: Repository, tag: Tag, context?: TransferContext): Promise<void> {
    return this.buildIndex.deleteTag(repository, tag, context?.signal);
  }

  async link(repository: Repository, kind: LinkKind, digest: Digest, context?: TransferContext): Promise<void> {
    await this.#changing(repository, digest, () => this.buildIndex.link(repository, kind, digest, context?.signal));
  }

  async unlink(repository: Repository, kind: LinkKind, digest: Digest, context?: TransferContext): Promise<void> {
    await this.#changing(repository, digest, () => this.buildIndex.unlink(repository, kind, digest, context?.signal));
  }

  async deleteRepository(repository: Repository, context?: TransferContext): Promise<void> {
    try {
      await this.buildIndex.deleteRepository(repository, context?.signal);
    } finally {
      this.links.invalidateRepository(repository);
    }
  }

  putReferrer(repository: Repository, subject: Digest, referrer: Digest, context?: TransferContext): Promise<void> {
    return this.buildIndex.putReferrer(repository, subject, referrer, context?.signal);
  }

  deleteReferrer(repository: Repository, subject: Digest, referrer: Digest, context?: TransferContext): Promise<void> {
    return this.buildIndex.deleteReferrer(repository, subject, referrer, context?.signal);
  }

  /** Where the bytes of all reads came from. */
  statistics(): TransferStatistics {
    return this.#ledger.statistics();
  }

  async close(): Promise<void> {}

  /** What was known of the links is forgotten after the change, failed or not: a change that timed out may have happened. */
  async #changing(repository: Repository, digest: Digest, change: () => Promise<void>): Promise<void> {
    try {
      await change();
    } finally {
      this.links.invalidate(repository, digest);
    }
  }

  async #openSomewhere(
    digest: Digest,
    sizeBytes: number,
    range: ByteRange | undefined,
    signal: AbortSignal | undefined,
  ): Promise<{ result: ReadResult; stream: Readable }> {
    const { castore, origins, logger } = this.#deps;
    try {
      const stream = await castore.blobs.open(digest, range);
      this.#ledger.addCache(range?.length ?? sizeBytes);
      return { result: 'cache', stream };
    } catch (error) {
      if (!(error instanceof BlobNotFoundError)) throw error;
    }
    const stream = await openFromOrigins(
      { origins, logger, onBytes: (bytes) => this.#ledger.addHttp(bytes) },
      { digest, sizeBytes, range, maxResumes: this.#config.maxResumes },
      signal,
    );
    return { result: 'origin-http', stream };
  }
}
