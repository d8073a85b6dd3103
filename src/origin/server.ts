import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { CaStore } from '../castore/index.ts';
import { type Clock, ConfigError, type Digest, UnavailableError } from '../core/index.ts';
import type { StorageDriver } from '../driver/index.ts';
import { createService, listen } from '../http/index.ts';
import { healingDriver } from '../registry/index.ts';
import type { Swarm } from '../swarm/index.ts';
import { BackendBlobs } from './backend-blobs.ts';
import { BlobMetainfo } from './blob-metainfo.ts';
import { addBlobRoutes } from './blob-routes.ts';
import type { OriginConfig } from './config.ts';
import { SqliteJobStore } from './job-store.ts';
import { createOriginMetrics } from './metrics.ts';
import { OriginBlobs } from './origin-blobs.ts';
import { OtherOrigins } from './other-origins.ts';
import { seedShare } from './seed-share.ts';
import { Uploads } from './uploads.ts';
import { WriteBack } from './write-back.ts';
import { WriteBackQueue } from './write-back-queue.ts';

/** What an origin is made of. The caller closes castore, backend and swarm, after the origin. */
export interface OriginDeps {
  readonly logger: Logger;
  readonly metrics: Registry;
  readonly clusterToken: string;
  readonly castore: CaStore;
  /** Where blobs are kept for ever, in distribution's layout; the same for all origins. */
  readonly backend: StorageDriver;
  readonly swarm: Swarm;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

interface Parts {
  readonly app: FastifyInstance;
  readonly jobs: SqliteJobStore;
  readonly queue: WriteBackQueue;
  readonly writeBack: WriteBack;
  readonly blobs: OriginBlobs;
  readonly metainfo: BlobMetainfo;
  readonly others: OtherOrigins;
}

/** A running origin: takes blobs, keeps and seeds them, copies them to the backend, and serves them over HTTP. */
export class OriginServer implements AsyncDisposable {
  readonly #parts: Parts;
  readonly #closing: AbortController;
  readonly #logger: Logger;
  #port = 0;
  #recovery: Promise<void> = Promise.resolve();
  #closed: Promise<void> | undefined;

  private constructor(parts: Parts, closing: AbortController, logger: Logger) {
    this.#parts = parts;
    this.#closing = closing;
    this.#logger = logger;
  }

  /**
   * Opens the write-back queue, goes on with it, seeds what is on disk, and listens. The caller closes the origin.
   * @throws ConfigError when `selfUrl` is not among the members, the port is taken, or the queue cannot be opened
   */
  static async start(config: OriginConfig, deps: OriginDeps): Promise<OriginServer> {
    const members = checkMembers(config);
    const jobs = await SqliteJobStore.open(queueFile(config));
    const closing = new AbortController();
    let origin: OriginServer;
    try {
      const parts = buildParts(config, deps, { members, jobs, closing: closing.signal });
      origin = new OriginServer(parts, closing, deps.logger);
    } catch (error) {
      jobs.close();
      throw error;
    }
    try {
      origin.#port = await listen(origin.#parts.app, 'origin', config.listen);
    } catch (error) {
      await origin.close();
      throw error;
    }
    origin.#recovery = origin.#recover();
    origin.#parts.writeBack.start();
    return origin;
  }

  /** The port on which it listens. */
  get port(): number {
    return this.#port;
  }

  /** Stops to listen; what is queued stays queued. A second call waits for the first. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const reason = new UnavailableError('this origin is closing');
    this.#closing.abort(reason);
    const { app, writeBack, blobs, metainfo, others, jobs } = this.#parts;
    await app.close();
    await writeBack.stop(reason);
    await this.#recovery;
    // Whoever closes backend and castore next must not find them in use.
    await metainfo.settled();
    await blobs.settled();
    await others.close();
    jobs.close();
  }

  async #recover(): Promise<void> {
    const { signal } = this.#closing;
    try {
      const queued = await this.#parts.queue.recover(signal);
      const seeded = await this.#parts.metainfo.seedAll(signal);
      this.#logger.info({ queued, seeded }, 'blobs on disk are looked through');
    } catch (error) {
      if (!signal.aborted) this.#logger.error({ err: error }, 'the blobs on disk could not be looked through');
    }
  }
}

/** The members without trailing slashes. */
function checkMembers(config: OriginConfig): { readonly selfUrl: string; readonly members: readonly string[] } {
  const members = [...new Set(config.members.map(withoutSlash))];
  const selfUrl = withoutSlash(config.selfUrl ?? `http://${config.listen.host}:${config.listen.port}`);
  if (members.length === 0) return { selfUrl, members: [selfUrl] };
  if (members.includes(selfUrl)) return { selfUrl, members };
  throw new ConfigError(
    `origin: selfUrl ${selfUrl} is not among members (${members.join(', ')}); each origin lists all of them, itself too`,
    { selfUrl, members },
  );
}

function withoutSlash(url: string): string {
  return url.replace(/\/$/, '');
}

function queueFile(config: OriginConfig): string {
  return join(config.writeBack.directory ?? `${config.castore.directory}-queue`, 'write-back.sqlite');
}

/** Makes everything and starts nothing. */
function buildParts(
  config: OriginConfig,
  deps: OriginDeps,
  made: {
    readonly members: { readonly selfUrl: string; readonly members: readonly string[] };
    readonly jobs: SqliteJobStore;
    readonly closing: AbortSignal;
  },
): Parts {
  const { logger, castore, clock, swarm, random, clusterToken } = deps;
  const { jobs, closing } = made;
  const { replicaDelayMs } = config.writeBack;
  const metrics = createOriginMetrics(deps.metrics, () => queueFacts(jobs, clock));
  const backend = new BackendBlobs({
    driver: healingDriver(deps.backend),
    writerId: createHash('sha256').update(made.members.selfUrl).digest('hex').slice(0, 16),
    onRead: (kind) => metrics.backendReads.inc({ kind }),
  });
  const others = new OtherOrigins({ ...made.members, clusterToken, clock, logger });
  const queue = new WriteBackQueue({ castore, jobs, clock });
  const blobs = new OriginBlobs({ castore, backend, others, queue, metrics, logger, replicaDelayMs, closing });
  const share = (digest: Digest) => seedShare(made.members, digest);
  const metainfo = new BlobMetainfo({ castore, backend, blobs, swarm, share, logger, closing });
  blobs.onFilled((digest) => metainfo.offer(digest));
  const uploads = new Uploads({ castore, backend, blobs, metainfo, others, queue, metrics, replicaDelayMs, closing });
  const writeBack = new WriteBack(
    { jobs, queue, castore, blobs, metainfo, backend, metrics, clock, random, logger },
    config.writeBack,
  );
  const ready = async () => {
    closing.throwIfAborted();
    jobs.summary(); // Throws when the queue cannot be read: then nothing can be acknowledged.
  };
  const app = createService({ role: 'origin', clusterToken, logger, metrics: deps.metrics, ready });
  addBlobRoutes(app, { blobs, metainfo, uploads, metrics });
  return { app, jobs, queue, writeBack, blobs, metainfo, others };
}

function queueFacts(jobs: SqliteJobStore, clock: Clock): { readonly jobs: number; readonly oldestSeconds: number } {
  const { jobs: count, oldestCreatedAtMs } = jobs.summary();
  const oldestSeconds = oldestCreatedAtMs === undefined ? 0 : Math.max(0, (clock.nowMs() - oldestCreatedAtMs) / 1000);
  return { jobs: count, oldestSeconds };
}
