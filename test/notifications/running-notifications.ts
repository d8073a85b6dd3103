import { Registry } from 'prom-client';
import { onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/index.ts';
import { systemClock } from '../../src/core/index.ts';
import {
  type Notifications,
  type NotificationsConfig,
  NotificationsConfigSchema,
  type NotificationsDeps,
  openNotifications,
} from '../../src/notifications/index.ts';
import { testLogger } from '../helpers/logger.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { metricOf } from './sample-events.ts';

/** Settings as somebody writes them: what is left out has its default. */
export type GivenConfig = Partial<Omit<NotificationsConfig, 'endpoints'>> & {
  readonly endpoints: readonly ({ readonly name: string; readonly url: string } & Record<string, unknown>)[];
};

/** Waits of tests: failures are repeated at once. */
export const quick = { initialBackoffMs: 5, maxBackoffMs: 20 };

/** The settings as a program has them. */
export async function configOf(given: GivenConfig): Promise<NotificationsConfig> {
  const directory = given.directory ?? (await makeTempDir());
  const overrides = Object.entries({ ...given, directory }).map(([path, value]) => ({
    path,
    value,
    option: `--${path}`,
  }));
  return loadConfig(NotificationsConfigSchema, { overrides });
}

/** Notifications that run until the test is over, or until they are stopped. */
export interface RunningNotifications {
  readonly sink: Notifications;
  readonly config: NotificationsConfig;
  /** The value of a counter or gauge. */
  metric(name: string, labels?: Record<string, string>): Promise<number>;
  stop(): Promise<void>;
}

export async function runNotifications(
  given: GivenConfig,
  deps: Partial<NotificationsDeps> = {},
): Promise<RunningNotifications> {
  const config = await configOf(given);
  const metrics = new Registry();
  const sink = await openNotifications(config, {
    logger: testLogger(),
    metrics,
    clock: systemClock,
    instanceId: 'instance-1',
    version: '1.2.3',
    address: 'host.example:5000',
    scheme: 'http',
    random: () => 0.5,
    ...deps,
  });
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= Promise.resolve(sink[Symbol.asyncDispose]());
    return stopped;
  };
  onTestFinished(stop);
  return { sink, config, stop, metric: (name, labels) => metricOf(metrics, name, labels) };
}
