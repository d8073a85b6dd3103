import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { BuildIndexClient } from '../build-index/client.ts';
import { openCaStore } from '../castore/index.ts';
import { swarmSecretOf } from '../config/index.ts';
import type { Clock } from '../core/index.ts';
import type { StorageDriver } from '../driver/index.ts';
import { newReadOnlyStorageDriver } from '../driver/p2p/index.ts';
import { closing } from '../http/index.ts';
import { addStoreMetrics } from '../metrics/index.ts';
import { OriginCluster } from '../origin/client.ts';
import { addSwarmMetrics, openSwarm } from '../swarm/index.ts';
import { TrackerClient } from '../tracker/client.ts';
import { ReadOnlyTransferer } from '../transfer/index.ts';
import type { AgentConfig } from './config.ts';

/** What an agent's storage needs from whoever opens it. */
export interface AgentDriverDeps {
  readonly logger: Logger;
  /** The program's own. */
  readonly metrics: Registry;
  readonly clusterToken: string;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

/**
 * Opens the read-only storage driver of an agent, and the swarm and the store below it. What has to be closed is deferred
 * on `parts`.
 * @throws ConfigError when the store's directory cannot be used, or another program uses it
 */
export async function openAgentDriver(
  config: Pick<AgentConfig, 'castore' | 'trackers' | 'origins' | 'buildIndex' | 'proxyUrl' | 'swarm' | 'transfer'>,
  deps: AgentDriverDeps,
  parts: AsyncDisposableStack,
) {
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
  const transferer = new ReadOnlyTransferer(
    { castore, swarm, tracker, origins, buildIndex, logger, metrics, clock },
    { ...config.transfer, proxyHint: config.proxyUrl },
  );
  parts.defer(() => transferer.close());
  const driver: StorageDriver = newReadOnlyStorageDriver({ transferer, castore, proxyHint: config.proxyUrl });
  parts.defer(() => driver.close());
  return { driver, swarm, transferer };
}
