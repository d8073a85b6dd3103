/**
 * A program with notifications that is killed by its test: `node crash-child.ts <directory> <receiver url> <first>`.
 * Publishes events without end, numbered from `first`, and prints how many of them are on disk so far.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { loadConfig } from '../../src/config/index.ts';
import { systemClock } from '../../src/core/index.ts';
import { NotificationsConfigSchema, openNotifications } from '../../src/notifications/index.ts';
import { eventOf, metricOf } from './sample-events.ts';

const [directory, url, first] = process.argv.slice(2) as [string, string, string];
const endpoints = [{ name: 'a', url, batchSize: 7, initialBackoffMs: 5, maxBackoffMs: 20 }];
const overrides = Object.entries({ directory, endpoints }).map(([path, value]) => ({ path, value, option: path }));
const metrics = new Registry();
const sink = await openNotifications(await loadConfig(NotificationsConfigSchema, { overrides }), {
  logger: pino({ level: 'silent' }),
  metrics,
  clock: systemClock,
  instanceId: 'child',
  version: '0',
  address: 'child:1',
  scheme: 'http',
});
for (let id = Number(first); ; ) {
  for (const end = id + 5; id < end; id += 1) sink.publish(eventOf(String(id)));
  await delay(2);
  process.stdout.write(`${await metricOf(metrics, 'events_total', { result: 'queued' })}\n`);
}
