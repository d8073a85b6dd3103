import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { openAccess } from '../access/index.ts';
import { BuildIndexClient } from '../build-index/client.ts';
import { openCaStore } from '../castore/index.ts';
import { swarmSecretOf } from '../config/index.ts';
import type { Clock } from '../core/index.ts';
import { newReadOnlyStorageDriver } from '../driver/p2p/index.ts';
import { readyWhenAnswered } from '../health/index.ts';
import { closing, createService } from '../http/index.ts';
import { addStoreMetrics } from '../metrics/index.ts';
import { OriginCluster } from '../origin/client.ts';
import { registerRegistry } from '../registry/index.ts';
import { addSwarmMetrics, openSwarm } from '../swarm/index.ts';
import { TrackerClient } from '../tracker/client.ts';
import { ReadOnlyTransferer } from '../transfer/index.ts';
import type { AgentConfig } from './config.ts';
import { addStatisticsRoute } from './statistics-route.ts';

/** What an agent is handed by whoever starts it. */
export interface AgentDeps {
  readonly logger: Logger;
  /** The program's own. */
  readonly metrics: Registry;
  readonly clusterToken: string;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Asks to be told the configuration when it has been read again. */
  readonly onReload?: (apply: (config: AgentConfig) => void) => void;
}

/** Builds everything that an agent is made of. What has to be closed is deferred on `parts`, in order. */
export async function composeAgent(
  config: AgentConfig,
  deps: AgentDeps,
  parts: AsyncDisposableStack,
): Promise<FastifyInstance> {
  const { logger, metrics, clusterToken, clock } = deps;
  const castore = await openCaStore(config.castore);
  parts.defer(() => castore.close());
  addStoreMetrics(metrics, castore);
  const tracker = closing(parts, new TrackerClient({ baseUrls: config.trackers, clusterToken }));
  const origins = closing(parts, new OriginCluster({ baseUrls: config.origins, clusterToken }));
  const buildIndex = closing(parts, new BuildIndexClient({ baseUrl: config.buildIndex, clusterToken }));
  const swarm = await openSwarm({
    ...deps,
    config: config.swarm,
    castore,
    announcer: tracker,
    secret: swarmSecretOf(clusterToken),
    origin: false,
  });
  parts.defer(() => swarm.close());
  addSwarmMetrics(metrics, swarm);
  deps.onReload?.((changed) => swarm.setLimits(changed.swarm));
  const transferer = new ReadOnlyTransferer(
    { castore, swarm, tracker, origins, buildIndex, logger, metrics, clock },
    { ...config.transfer, proxyHint: config.proxyUrl },
  );
  parts.defer(() => transferer.close());
  const driver = newReadOnlyStorageDriver({ transferer, castore, proxyHint: config.proxyUrl });
  parts.defer(() => driver.close());
  const access = config.access && parts.use(await openAccess(config.access, { logger, clock, fetch }));
  const app = createService({
    role: 'agent',
    clusterToken,
    logger,
    metrics,
    // An agent can work when it can learn tags, and meet peers.
    ready: readyWhenAnswered(parts, [
      { role: 'build-index', baseUrls: [config.buildIndex], clusterToken },
      { role: 'tracker', baseUrls: config.trackers, clusterToken },
    ]),
    tls: config.listen.tls,
  });
  deps.onReload?.(() => void app.reloadTls());
  const message = `this agent is read-only: push to ${config.proxyUrl}`;
  await registerRegistry(app, { driver, logger, metrics, access, readOnly: { message } });
  addStatisticsRoute(app, { swarm, transferer });
  return app;
}
