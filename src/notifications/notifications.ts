import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Clock } from '../core/index.ts';
import type { EventSink, RegistryEvent } from '../registry/index.ts';
import { checkEndpoints, type NotificationEndpointConfig, type NotificationsConfig } from './config.ts';
import { Delivery } from './delivery.ts';
import { EndpointClient } from './endpoint-client.ts';
import { EventIntake } from './event-intake.ts';
import { Losses } from './losses.ts';
import { NotificationMetrics } from './metrics.ts';
import { QueueKeeper } from './queue-keeper.ts';

/** What {@link openNotifications} is handed. */
export interface NotificationsDeps {
  readonly logger: Logger;
  /** The program's own; it must not have these metrics yet. */
  readonly metrics: Registry;
  readonly clock: Clock;
  /** Tells this run of the program from every other. */
  readonly instanceId: string;
  /** Of Shoal, for the `User-Agent`. */
  readonly version: string;
  /** Host and port of this registry, as `source.addr` of events shows them. */
  readonly address: string;
  /** `https` when the program has TLS itself. */
  readonly scheme: 'http' | 'https';
  /** In [0, 1), for the spread of waits. Default: `Math.random`. */
  readonly random?: (() => number) | undefined;
}

/** A request that runs may end within this when the program stops; the program itself has ten seconds. */
const STOP_GRACE_MS = 2_000;

/** Notifications of one registry. `publish` returns at once and never throws; whoever opened it disposes of it. */
export interface Notifications extends EventSink, AsyncDisposable {}

/**
 * Opens the queue on disk, and begins to send what is in it. Disposing writes what is still in memory, lets a running request
 * end for two seconds, and closes the queue.
 * @throws ConfigError when an endpoint is not set up right, or the queue is in use, out of reach, or of another version
 */
export async function openNotifications(config: NotificationsConfig, deps: NotificationsDeps): Promise<Notifications> {
  checkEndpoints(config.endpoints);
  const { logger, clock } = deps;
  const metrics = new NotificationMetrics(deps.metrics, () => clock.nowMs());
  const losses = new Losses({ logger, metrics, clock });
  await using parts = new AsyncDisposableStack();
  parts.defer(() => losses.sayAll());
  const active = config.endpoints.filter(({ disabled }) => !disabled);
  const clients = new Map<string, EndpointClient>();
  for (const endpoint of active) {
    const client = await EndpointClient.open(endpoint, deps);
    parts.defer(() => client.close());
    clients.set(endpoint.name, client);
    warnOfOpenSecrets(endpoint, logger);
  }
  const options = {
    endpoints: config.endpoints.map(({ name }) => name),
    maxEvents: config.maxQueuedEvents,
    maxBytes: config.maxQueuedBytes,
  };
  const keeperDeps = { logger, metrics, losses, clock };
  const keeper = parts.use(await QueueKeeper.open(join(config.directory, 'queue.sqlite'), options, keeperDeps));
  metrics.readPendingFrom(() => keeper.figures());
  const random = deps.random ?? Math.random;
  const deliveries = new Map(
    active.map((endpoint) => {
      const client = clients.get(endpoint.name) as EndpointClient;
      const deliveryDeps = { keeper, client, losses, metrics, logger, clock, random };
      return [endpoint.name, new Delivery(endpoint, { maxAgeMs: config.maxAgeMs }, deliveryDeps)] as const;
    }),
  );
  const { address, instanceId, scheme } = deps;
  const source = { address, instanceId, scheme, baseUrl: config.baseUrl };
  const onQueued = (endpoint: string) => deliveries.get(endpoint)?.wake();
  const intake = new EventIntake(active, source, { keeper, losses, metrics, logger, onQueued });
  parts.defer(async () => {
    // Written first: what a program was told in its last moment is not lost with it.
    intake.close();
    await Promise.all([...deliveries.values()].map((delivery) => delivery.stop(STOP_GRACE_MS)));
  });
  for (const delivery of deliveries.values()) delivery.start();
  const owned = parts.move();
  return {
    publish: (event: RegistryEvent) => intake.publish(event),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function warnOfOpenSecrets({ name, url, headerFiles }: NotificationEndpointConfig, logger: Logger): void {
  const { protocol, hostname } = new URL(url);
  const open = protocol === 'http:' && !/^(localhost|127\..*|\[::1\])$/.test(hostname);
  if (!open || Object.keys(headerFiles).length === 0) return;
  logger.warn(
    { endpoint: name },
    'the secret headers of this endpoint go over the network as they are: its url is http',
  );
}
