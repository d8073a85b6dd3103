import { onTestFinished } from 'vitest';
import type { CaStore } from '../../src/castore/index.ts';
import { type Clock, systemClock } from '../../src/core/index.ts';
import type { StorageDriver } from '../../src/driver/index.ts';
import { newReadWriteStorageDriver } from '../../src/driver/p2p/index.ts';
import { createService, listen } from '../../src/http/index.ts';
import { createMetrics } from '../../src/metrics/index.ts';
import { UploadForwarding } from '../../src/proxy/upload-forwarding.ts';
import { type AccessControl, type RegistryEvent, registerRegistry } from '../../src/registry/index.ts';
import { ReadWriteTransferer } from '../../src/transfer/index.ts';
import { freePorts } from '../cluster/test-cluster.ts';
import { testLogger } from '../helpers/logger.ts';
import { TestClient } from '../registry/client.ts';
import { openStore, startCluster } from '../transfer/stand-in-cluster.ts';

/** The shared secret of the proxies of a test. */
export const clusterToken = 'the token of a test, 32 characters or more';

/** One proxy of a test. */
export interface TestProxy {
  readonly url: string;
  readonly client: TestClient;
  readonly castore: CaStore;
  /** Method and path of every request that reached it. */
  readonly requests: string[];
  /** What its registry told of. */
  readonly events: RegistryEvent[];
  /** Stops to listen, as if its host were gone. */
  stop(): Promise<void>;
}

/** What differs from one test to another. */
export interface TwoProxiesOptions {
  readonly access?: AccessControl;
  readonly clock?: Clock;
  /** The clock of the second proxy. Default: `clock`. */
  readonly secondClock?: Clock;
  readonly idleTimeoutMs?: number;
  /** Changes the driver of the first proxy. */
  readonly wrapFirst?: (driver: StorageDriver) => StorageDriver;
}

/** Two proxies over one cluster of stand-ins, each with a store of its own; both end with the test. */
export async function startTwoProxies(options: TwoProxiesOptions = {}): Promise<readonly [TestProxy, TestProxy]> {
  const cluster = await startCluster();
  const ports = await freePorts(2);
  const urls = ports.map((port) => `http://127.0.0.1:${port}`);
  const start = async (index: 0 | 1): Promise<TestProxy> => {
    const castore = index === 0 ? cluster.castore : await openStore();
    const logger = testLogger();
    const transferer = await ReadWriteTransferer.open(
      { ...cluster, castore, logger },
      // A deletion at one proxy is seen at the other at once.
      { linkCacheMs: 0 },
    );
    const metrics = createMetrics({ role: 'proxy', version: 'test' });
    const app = createService({ role: 'proxy', clusterToken, logger, metrics, ready: async () => undefined });
    const clock = (index === 1 ? options.secondClock : undefined) ?? options.clock ?? systemClock;
    const members = { proxies: urls, selfUrl: urls[index]! };
    const forwarding = UploadForwarding.open(members, { clusterToken, logger, clock });
    const requests: string[] = [];
    app.addHook('onRequest', async ({ method, url }) => void requests.push(`${method} ${url}`));
    const driver = newReadWriteStorageDriver({ transferer, castore });
    const events: RegistryEvent[] = [];
    const { idleTimeoutMs } = options;
    await registerRegistry(app, {
      driver: index === 0 ? (options.wrapFirst?.(driver) ?? driver) : driver,
      logger,
      access: forwarding?.admitting(options.access) ?? options.access,
      events: { publish: (event) => events.push(event) },
      uploads: { forwarder: forwarding, newUploadId: forwarding?.newUploadId, idleTimeoutMs },
    });
    await listen(app, 'proxy', { host: '127.0.0.1', port: ports[index]! });
    const stop = async () => {
      await app.close();
      await forwarding?.close();
    };
    onTestFinished(stop);
    return { url: urls[index]!, client: new TestClient(urls[index]!), castore, requests, events, stop };
  };
  return [await start(0), await start(1)];
}
