import type { Readable } from 'node:stream';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { BuildIndexClient } from '../build-index/client.ts';
import type { CaStore } from '../castore/index.ts';
import {
  type ByteRange,
  type Clock,
  type Digest,
  ReadOnlyError,
  type Repository,
  systemClock,
  type Tag,
} from '../core/index.ts';
import type { OriginCluster } from '../origin/client.ts';
import type { Swarm } from '../swarm/index.ts';
import type { TrackerClient } from '../tracker/client.ts';
import { BlobFetcher } from './blob-fetcher.ts';
import { defaultReadOnlyTransferConfig, type ReadOnlyTransferConfig } from './config.ts';
import type { ImageTransferer, LinkKind, TransferContext } from './image-transferer.ts';
import { LinkCache } from './link-cache.ts';
import { checkedRange, LinkedReads, openNothing } from './linked-reads.ts';
import { MetainfoSource } from './metainfo-source.ts';
import { TransferMetrics } from './metrics.ts';
import { TagCache } from './tag-cache.ts';
import { TransferLedger, type TransferStatistics } from './transfer-ledger.ts';

/** What a read-only transferer works with. It owns none of it: whoever made them closes them. */
export interface ReadOnlyTransfererDeps {
  readonly castore: CaStore;
  readonly swarm: Swarm;
  readonly tracker: TrackerClient;
  readonly origins: OriginCluster;
  readonly buildIndex: BuildIndexClient;
  readonly logger: Logger;
  readonly metrics?: Registry;
  readonly clock?: Clock;
}

/** The configuration, and where people are to write instead. */
export interface ReadOnlyTransfererOptions extends Partial<ReadOnlyTransferConfig> {
  /** The proxy's address, as errors name it. */
  readonly proxyHint: string;
}

/** An agent's transferer: blobs come from the local store or by the swarm, names from the build-index; writes are refused. */
export class ReadOnlyTransferer extends LinkedReads implements ImageTransferer {
  readonly #fetcher: BlobFetcher;
  readonly #tags: TagCache;
  readonly #ledger: TransferLedger;
  readonly #proxyHint: string;

  constructor(deps: ReadOnlyTransfererDeps, options: ReadOnlyTransfererOptions) {
    const { buildIndex, logger, clock = systemClock } = deps;
    const config = { ...defaultReadOnlyTransferConfig, ...options };
    const ledger = new TransferLedger(clock);
    const metrics = new TransferMetrics(ledger, deps.metrics);
    const links = new LinkCache(
      { source: buildIndex, clock, logger, onStale: () => metrics.countStale('link') },
      { linkCacheMs: config.linkCacheMs, staleMs: config.staleTagMs, maxEntries: config.cacheEntries },
    );
    super(buildIndex, links);
    this.#ledger = ledger;
    this.#proxyHint = options.proxyHint;
    this.#tags = new TagCache(
      {
        getTag: (repository, tag, signal) => buildIndex.getTag(repository, tag, signal),
        clock,
        logger,
        onStale: () => metrics.countStale('tag'),
      },
      { staleMs: config.staleTagMs, maxEntries: config.cacheEntries },
    );
    const metainfo = new MetainfoSource(deps, config);
    this.#fetcher = new BlobFetcher({ ...deps, clock, metainfo, ledger, metrics }, config);
  }

  async open(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    context?: TransferContext,
  ): Promise<Readable> {
    const { sizeBytes } = await this.stat(repository, digest, context);
    const checked = checkedRange(digest, sizeBytes, range);
    if (sizeBytes === 0 || checked?.length === 0) return openNothing(digest, checked);
    return this.#fetcher.open({ digest, sizeBytes, range: checked }, context?.signal);
  }

  getTag(repository: Repository, tag: Tag, context?: TransferContext): Promise<Digest> {
    return this.#tags.get(repository, tag, context?.signal);
  }

  /** Where the bytes of all reads came from, for the progress of `shoal up` and for metrics. */
  statistics(): TransferStatistics {
    return this.#ledger.statistics();
  }

  async close(): Promise<void> {
    await this.#fetcher.close();
  }

  async upload(repository: Repository, digest: Digest): Promise<never> {
    throw this.#readOnly(`upload ${digest} to ${repository}`);
  }

  async putTag(repository: Repository, tag: Tag): Promise<never> {
    throw this.#readOnly(`put tag ${repository}:${tag}`);
  }

  async deleteTag(repository: Repository, tag: Tag): Promise<never> {
    throw this.#readOnly(`delete tag ${repository}:${tag}`);
  }

  async locate(digest: Digest): Promise<never> {
    throw this.#readOnly(`look for ${digest} in all repositories`);
  }

  async link(repository: Repository, kind: LinkKind, digest: Digest): Promise<never> {
    throw this.#readOnly(`link ${kind} ${digest} in ${repository}`);
  }

  async unlink(repository: Repository, kind: LinkKind, digest: Digest): Promise<never> {
    throw this.#readOnly(`unlink ${kind} ${digest} in ${repository}`);
  }

  async deleteRepository(repository: Repository): Promise<never> {
    throw this.#readOnly(`delete repository ${repository}`);
  }

  async putReferrer(repository: Repository, subject: Digest, referrer: Digest): Promise<never> {
    throw this.#readOnly(`note ${referrer} as a referrer of ${subject} in ${repository}`);
  }

  async deleteReferrer(repository: Repository, subject: Digest, referrer: Digest): Promise<never> {
    throw this.#readOnly(`delete referrer ${referrer} of ${subject} in ${repository}`);
  }

  #readOnly(what: string): ReadOnlyError {
    return new ReadOnlyError(`cannot ${what}: this agent is read-only; write to the proxy at ${this.#proxyHint}`, {
      proxy: this.#proxyHint,
    });
  }
}
