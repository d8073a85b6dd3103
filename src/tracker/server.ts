import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Clock } from '../core/index.ts';
import { createService, listen } from '../http/index.ts';
import type { OriginCluster } from '../origin/client.ts';
import { ClusterAnnouncer } from './cluster-announce.ts';
import type { TrackerConfig } from './config.ts';
import { ForeignAnnouncer } from './foreign-announce.ts';
import { MetainfoCache } from './metainfo-cache.ts';
import type { PeerStore } from './peer-store.ts';
import type { Random } from './random-sample.ts';
import { addTrackerRoutes } from './routes.ts';
import { createTrackerMetrics } from './tracker-metrics.ts';

/** What a {@link TrackerServer} is made of. Whoever made these closes them, after the server. */
export interface TrackerServerDeps {
  readonly logger: Logger;
  /** The program's own; two trackers cannot share one. */
  readonly metrics: Registry;
  readonly clusterToken: string;
  /** What swarm ids and announce keys are made with. */
  readonly swarmSecret: string;
  readonly origins: OriginCluster;
  readonly peerStore: PeerStore;
  readonly clock: Clock;
  readonly random: Random;
}

/** The tracker: who has which blob, and metainfo. Routes are those of protocol.ts. */
export class TrackerServer implements AsyncDisposable {
  /** The port that it listens on. */
  readonly port: number;
  readonly #app: FastifyInstance;

  /** Starts to listen; the caller closes the server. @throws ConfigError when the port is taken */
  static async start(config: TrackerConfig, deps: TrackerServerDeps): Promise<TrackerServer> {
    const app = compose(config, deps);
    try {
      return new TrackerServer(app, await listen(app, 'tracker', config.listen));
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

function compose(config: TrackerConfig, deps: TrackerServerDeps): FastifyInstance {
  const { peerStore, random, clock, logger, swarmSecret, clusterToken } = deps;
  const intervals = { activeMs: config.announceIntervalMs, idleMs: config.idleAnnounceIntervalMs };
  const policy = { zoneShare: config.zoneShare, originWires: config.originWires };
  const metrics = createTrackerMetrics({ registry: deps.metrics, peerStore, logger });
  const app = createService({
    role: 'tracker',
    clusterToken,
    logger,
    metrics: deps.metrics,
    ready: () => peerStore.ready(),
  });
  addTrackerRoutes(app, {
    cluster: new ClusterAnnouncer({ peerStore, random, intervals, policy }),
    foreign: new ForeignAnnouncer({ peerStore, random, intervals, policy, swarmSecret }),
    metainfo: new MetainfoCache({
      source: deps.origins,
      clock,
      onResult: metrics.metainfoRequested,
      maxBytes: config.metainfoCacheBytes,
      maxAgeMs: config.metainfoMaxAgeMs,
    }),
    metrics,
    clock,
    swarmSecret,
    publicUrl: config.publicUrl,
  });
  return app;
}
