import { Readable } from 'node:stream';
import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import type { CaStore } from '../castore/index.ts';
import {
  BlobNotFoundError,
  type ByteRange,
  type Clock,
  type Digest,
  DigestMismatchError,
  encodeMetainfo,
} from '../core/index.ts';
import type { OriginCluster } from '../origin/client.ts';
import type { Download, Swarm } from '../swarm/index.ts';
import type { ReadOnlyTransferConfig } from './config.ts';
import { downloadStream } from './download-stream.ts';
import { fileStream } from './file-stream.ts';
import type { KnownBlob, MetainfoSource } from './metainfo-source.ts';
import type { ReadResult, TransferMetrics } from './metrics.ts';
import { openFromOrigins } from './origin-stream.ts';
import type { TransferLedger } from './transfer-ledger.ts';

/** What a blob fetcher works with. It owns none of it. */
export interface BlobFetcherDeps {
  readonly castore: CaStore;
  readonly swarm: Pick<Swarm, 'fetch' | 'find' | 'used'>;
  readonly origins: Pick<OriginCluster, 'open'>;
  readonly metainfo: MetainfoSource;
  readonly ledger: TransferLedger;
  readonly metrics: TransferMetrics;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** One read of one blob. */
export interface BlobRead {
  readonly digest: Digest;
  /** Of the whole blob. */
  readonly sizeBytes: number;
  /** Lies inside of the blob and is not empty; without it the whole blob, which has a byte at least. */
  readonly range: ByteRange | undefined;
}

/** A blob whose metainfo gave the wrong bytes is read over HTTP for this long: the tracker may hold that metainfo still. */
const DISTRUST_MS = 60_000;
const DISTRUSTED_MAX = 1_000;

/**
 * Opens blobs wherever they are: in the local store, with their metainfo, in the swarm, and when none of these works, at
 * the origins over HTTP. Whoever calls has checked that the blob is linked.
 */
export class BlobFetcher {
  readonly #deps: BlobFetcherDeps;
  readonly #config: ReadOnlyTransferConfig;
  readonly #readers = new Map<Download, number>();
  readonly #distrustedUntilMs = new LRUCache<Digest, number>({ max: DISTRUSTED_MAX });
  readonly #watched = new WeakSet<Download>();
  /** Small blobs on their way into the store, and what is cleaned up after readers. */
  readonly #background = new Set<Promise<unknown>>();

  constructor(deps: BlobFetcherDeps, config: ReadOnlyTransferConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** The caller ends or destroys the stream. @throws BlobNotFoundError, UnavailableError, DigestMismatchError */
  async open(read: BlobRead, signal?: AbortSignal): Promise<Readable> {
    const { metrics } = this.#deps;
    const startedMs = this.#deps.clock.monotonicMs();
    try {
      const { result, stream } = await this.#openSomewhere(read, startedMs, signal);
      metrics.countRead(result);
      return stream;
    } catch (error) {
      metrics.countRead(error instanceof BlobNotFoundError ? 'not-found' : 'failed');
      throw error;
    }
  }

  /** Waits for what goes on behind the readers' backs. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#background);
  }

  async #openSomewhere(
    read: BlobRead,
    startedMs: number,
    signal: AbortSignal | undefined,
  ): Promise<{ result: ReadResult; stream: Readable }> {
    const { clock, metrics } = this.#deps;
    const onFirstByte = () => metrics.observeFirstByte((clock.monotonicMs() - startedMs) / 1000);
    const cached = await this.#openCached(read, signal);
    if (cached !== undefined) {
      onFirstByte();
      return { result: 'cache', stream: cached };
    }
    const isDistrusted = (this.#distrustedUntilMs.get(read.digest) ?? 0) > clock.monotonicMs();
    const found = isDistrusted ? undefined : await this.#findDownload(read, signal);
    if (Buffer.isBuffer(found)) {
      onFirstByte();
      return { result: 'origin-http', stream: Readable.from([slice(found, read.range)], { objectMode: false }) };
    }
    if (found === undefined) {
      const stream = await this.#openDirect(read, signal);
      onFirstByte();
      return { result: 'origin-http', stream };
    }
    return { result: 'swarm', stream: this.#openDownload(found, read, onFirstByte, signal) };
  }

  async #openCached(
    { digest, sizeBytes, range }: BlobRead,
    signal: AbortSignal | undefined,
  ): Promise<Readable | undefined> {
    try {
      const file = await this.#deps.castore.blobs.openFile(digest);
      this.#deps.ledger.addCache(range?.length ?? sizeBytes);
      this.#deps.swarm.used(digest);
      return fileStream(file, range ?? { offset: 0, length: file.sizeBytes }, signal);
    } catch (error) {
      if (error instanceof BlobNotFoundError) return undefined;
      throw error;
    }
  }

  /** The download of a blob, or the blob itself when it came with its metainfo; `undefined` when the swarm cannot take it. */
  async #findDownload(read: BlobRead, signal: AbortSignal | undefined): Promise<Download | Buffer | undefined> {
    const { swarm, metainfo, logger, ledger } = this.#deps;
    const { digest, sizeBytes } = read;
    let download = swarm.find(digest);
    if (download === undefined) {
      const known = await metainfo.get(digest, sizeBytes, signal);
      if (known.blob !== undefined) {
        this.#keep(known, known.blob);
        return known.blob;
      }
      try {
        download = await swarm.fetch(known.metainfo);
      } catch (error) {
        // Such as a full disk. The client still gets its blob.
        logger.warn({ digest, err: error }, 'the swarm cannot fetch a blob; reading it from the origins');
        return undefined;
      }
    }
    ledger.follow(download);
    this.#watch(download);
    return download;
  }

  #openDownload(
    download: Download,
    read: BlobRead,
    onFirstByte: () => void,
    signal: AbortSignal | undefined,
  ): Readable {
    const { origins, castore, logger } = this.#deps;
    this.#readers.set(download, (this.#readers.get(download) ?? 0) + 1);
    const onClose = () => this.#readerGone(download);
    return downloadStream(
      { download, origins, blobs: castore.blobs, logger, onFirstByte, onClose },
      read.range ?? { offset: 0, length: read.sizeBytes },
      this.#config,
      signal,
    );
  }

  #openDirect({ digest, sizeBytes, range }: BlobRead, signal: AbortSignal | undefined): Promise<Readable> {
    const { origins, logger, ledger } = this.#deps;
    return openFromOrigins(
      { origins, logger, onBytes: (bytes) => ledger.addHttp(bytes) },
      { digest, sizeBytes, range, maxResumes: this.#config.maxResumes },
      signal,
    );
  }

  /** Stores a small blob. Readers need not wait: its bytes are verified, and a failure only costs the next one a request. */
  #keep({ metainfo }: KnownBlob, blob: Buffer): void {
    const { castore, ledger, logger } = this.#deps;
    const { digest } = metainfo;
    ledger.addHttp(blob.length);
    this.#inBackground(async () => {
      try {
        await castore.blobs.put(digest, blob);
        await castore.blobs.putMetainfo(digest, encodeMetainfo(metainfo));
      } catch (error) {
        logger.warn({ digest, err: error }, 'a small blob was served but could not be stored');
      }
    });
  }

  #watch(download: Download): void {
    if (this.#watched.has(download)) return;
    this.#watched.add(download);
    const { digest } = download.metainfo;
    download.finished.catch((error: unknown) => {
      this.#deps.logger.warn({ digest, err: error }, 'a download failed');
      if (!(error instanceof DigestMismatchError)) return;
      this.#deps.metainfo.forget(digest);
      this.#distrustedUntilMs.set(digest, this.#deps.clock.monotonicMs() + DISTRUST_MS);
    });
  }

  #readerGone(download: Download): void {
    const left = (this.#readers.get(download) ?? 1) - 1;
    if (left > 0) {
      this.#readers.set(download, left);
      return;
    }
    this.#readers.delete(download);
    if (this.#config.finishAbandoned) return;
    const { verifiedBytes, lengthBytes } = download.progress();
    if (verifiedBytes === lengthBytes) return;
    this.#inBackground(() => download.cancel(new Error('every reader of the download has gone away')));
  }

  #inBackground(work: () => Promise<unknown>): void {
    const promise = work()
      .catch((error: unknown) => this.#deps.logger.warn({ err: error }, 'work behind a read failed'))
      .finally(() => this.#background.delete(promise));
    this.#background.add(promise);
  }
}

function slice(blob: Buffer, range: ByteRange | undefined): Buffer {
  return range === undefined ? blob : blob.subarray(range.offset, range.offset + range.length);
}
