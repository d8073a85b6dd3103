import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { type Clock, systemClock } from '../core/index.ts';
import type { StorageDriver } from '../driver/index.ts';
import { createService, listen } from '../http/index.ts';
import { healingDriver } from '../registry/index.ts';
import { BackendFiles } from './backend-files.ts';
import type { BuildIndexConfig } from './config.ts';
import { KeyedLock } from './keyed-lock.ts';
import { Links } from './links.ts';
import type { BlobSource } from './manifests.ts';
import { createBuildIndexMetrics } from './metrics.ts';
import { Referrers } from './referrers.ts';
import { Repositories } from './repositories.ts';
import { addBuildIndexRoutes } from './routes.ts';
import { Tags } from './tags.ts';

/** What a {@link BuildIndexServer} is made of. Whoever made these closes them, after the server. */
export interface BuildIndexServerDeps {
  readonly logger: Logger;
  /** The program's own; two build-indexes cannot share one. */
  readonly metrics: Registry;
  readonly clusterToken: string;
  /** Where tags and links are kept, in distribution's layout. */
  readonly backend: StorageDriver;
  /** Where manifests and lengths come from. */
  readonly origins: BlobSource;
  /** The machine's own unless told. */
  readonly clock?: Clock;
}

/**
 * The build-index: tags, links and referrers in the backend. Routes are those of protocol.ts.
 * It is the only writer of the names in its backend: what it promises of order and checks holds inside one process.
 */
export class BuildIndexServer implements AsyncDisposable {
  /** The port that it listens on. */
  readonly port: number;
  readonly #app: FastifyInstance;

  /** Starts to listen; the caller closes the server. @throws ConfigError when the port is taken */
  static async start(config: BuildIndexConfig, deps: BuildIndexServerDeps): Promise<BuildIndexServer> {
    const app = compose(config, deps);
    try {
      return new BuildIndexServer(app, await listen(app, 'build-index', config.listen));
    } catch (error) {
      await app.close();
      throw error;
    }
  }

  private constructor(app: FastifyInstance, port: number) {
    this.#app = app;
    this.port = port;
  }

  /** Stops to listen and closes all connections. */
  async close(): Promise<void> {
    await this.#app.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function compose({ indexes }: BuildIndexConfig, deps: BuildIndexServerDeps): FastifyInstance {
  const { logger, clusterToken, origins, clock = systemClock } = deps;
  const files = new BackendFiles({ driver: healingDriver(deps.backend) });
  const locks = new KeyedLock();
  const tags = new Tags({ files, origins, locks, tagLocks: new KeyedLock(), indexes, logger });
  const referrers = new Referrers({ files, locks });
  const app = createService({
    role: 'build-index',
    clusterToken,
    logger,
    metrics: deps.metrics,
    ready: (signal) => files.probe(signal),
  });
  addBuildIndexRoutes(app, {
    tags,
    referrers,
    links: new Links({ files, origins, tags, referrers, locks, logger }),
    repositories: new Repositories({ files, locks }),
    metrics: createBuildIndexMetrics(deps.metrics),
    clock,
  });
  return app;
}
