import type { FastifyInstance } from 'fastify';
import { openAccess } from '../access/index.ts';
import { readyWhenAnswered } from '../health/index.ts';
import { createService } from '../http/index.ts';
import { notificationsOf } from '../notifications/index.ts';
import { purgeOptionsOf, registerRegistry, registryOptionsOf, startUploadPurge } from '../registry/index.ts';
import type { ProxyConfig } from './config.ts';
import { openProxyDriver, type ProxyDriverDeps } from './open-driver.ts';
import { storeUploads } from './store-uploads.ts';
import { UploadForwarding } from './upload-forwarding.ts';

/** What a proxy is handed by whoever starts it. */
export interface ProxyDeps extends ProxyDriverDeps {
  /** Of Shoal. */
  readonly version: string;
  /** Asks to be told the configuration when it has been read again. */
  readonly onReload?: (apply: (config: ProxyConfig) => void) => void;
}

/** Builds everything that a proxy is made of. What has to be closed is deferred on `parts`, in order. */
export async function composeProxy(
  config: ProxyConfig,
  deps: ProxyDeps,
  parts: AsyncDisposableStack,
): Promise<FastifyInstance> {
  const { logger, metrics, clusterToken, clock } = deps;
  const { driver, castore } = await openProxyDriver(config, deps, parts);
  const access = config.access && parts.use(await openAccess(config.access, { logger, clock, fetch }));
  const events = await notificationsOf(parts, config, deps);
  const app = createService({
    role: 'proxy',
    clusterToken,
    logger,
    metrics,
    // A proxy can work when it can hand on blobs, and tags.
    ready: readyWhenAnswered(parts, [
      { role: 'build-index', baseUrls: [config.buildIndex], clusterToken },
      { role: 'origin', baseUrls: config.origins, clusterToken },
    ]),
    tls: config.listen.tls,
  });
  deps.onReload?.(() => void app.reloadTls());
  const forwarding = UploadForwarding.open(config, { clusterToken, logger, clock });
  parts.defer(() => forwarding?.close());
  const options = registryOptionsOf(config.registry);
  await registerRegistry(app, {
    driver,
    logger,
    metrics,
    ...options,
    uploads: { ...options.uploads, forwarder: forwarding, newUploadId: forwarding?.newUploadId },
    events,
    access: forwarding?.admitting(access) ?? access,
  });
  parts.use(
    startUploadPurge({
      uploads: storeUploads(castore.uploads),
      logger,
      metrics,
      clock,
      ...purgeOptionsOf(config.registry),
    }),
  );
  return app;
}
