import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { RegistryListenConfig } from '../config/index.ts';
import type { EventSink } from '../registry/index.ts';
import type { NotificationsConfig } from './config.ts';
import { type NotificationsDeps, openNotifications } from './notifications.ts';

/** What a program hands over besides its configuration. */
export type ProgramNotificationsDeps = Pick<NotificationsDeps, 'logger' | 'metrics' | 'clock' | 'version'>;

/**
 * The notifications of a program that serves the registry API, under the name of this machine and the port that it is set up
 * with; they are disposed of with its other parts. Nothing when the configuration has none.
 * @throws ConfigError as {@link openNotifications} does
 */
export async function notificationsOf(
  parts: AsyncDisposableStack,
  config: { readonly listen: RegistryListenConfig; readonly notifications?: NotificationsConfig | undefined },
  deps: ProgramNotificationsDeps,
): Promise<EventSink | undefined> {
  const { listen, notifications } = config;
  if (notifications === undefined) return undefined;
  return parts.use(
    await openNotifications(notifications, {
      ...deps,
      instanceId: randomUUID(),
      address: `${hostname()}:${listen.port}`,
      scheme: listen.tls === undefined ? 'http' : 'https',
    }),
  );
}
