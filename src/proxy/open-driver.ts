import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { BuildIndexClient } from '../build-index/client.ts';
import { type CaStore, openCaStore } from '../castore/index.ts';
import type { Clock } from '../core/index.ts';
import type { StorageDriver } from '../driver/index.ts';
import { newReadWriteStorageDriver } from '../driver/p2p/index.ts';
import { closing } from '../http/index.ts';
import { addStoreMetrics } from '../metrics/index.ts';
import { OriginCluster } from '../origin/client.ts';
import { ReadWriteTransferer } from '../transfer/index.ts';
import type { ProxyConfig } from './config.ts';

/** What a proxy's storage needs from whoever opens it. */
export interface ProxyDriverDeps {
  readonly logger: Logger;
  /** The program's own. */
  readonly metrics: Registry;
  readonly clusterToken: string;
  readonly clock: Clock;
}

/**
 * Opens the read-write storage driver of a proxy, and the store below it. What has to be closed is deferred on `parts`.
 * @throws ConfigError when the store's directory cannot be used, or another program uses it
 */
export async function openProxyDriver(
  config: Pick<ProxyConfig, 'castore' | 'origins' | 'buildIndex' | 'transfer'>,
  deps: ProxyDriverDeps,
  parts: AsyncDisposableStack,
): Promise<{ readonly driver: StorageDriver; readonly castore: CaStore }> {
  const { logger, metrics, clusterToken, clock } = deps;
  const castore = await openCaStore(config.castore);
  parts.defer(() => castore.close());
  addStoreMetrics(metrics, castore);
  const origins = closing(parts, new OriginCluster({ baseUrls: config.origins, clusterToken }));
  const buildIndex = closing(parts, new BuildIndexClient({ baseUrl: config.buildIndex, clusterToken }));
  const transferDeps = { castore, origins, buildIndex, logger, metrics, clock };
  const transferer = await ReadWriteTransferer.open(transferDeps, config.transfer);
  parts.defer(() => transferer.close());
  const driver = newReadWriteStorageDriver({ transferer, castore });
  parts.defer(() => driver.close());
  return { driver, castore };
}
