import { mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Logger, pino } from 'pino';
import { Registry } from 'prom-client';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ConfigError, systemClock, UnavailableError } from '../../src/core/index.ts';
import { EventIntake } from '../../src/notifications/event-intake.ts';
import type { EventQueueOptions } from '../../src/notifications/event-queue.ts';
import { Losses } from '../../src/notifications/losses.ts';
import { NotificationMetrics } from '../../src/notifications/metrics.ts';
import { QueueKeeper } from '../../src/notifications/queue-keeper.ts';
import { testLogger } from '../helpers/logger.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { folderDriver, serveRegistry } from '../registry/running-registry.ts';
import { startReceiver } from './receiver.ts';
import { configOf, quick, runNotifications } from './running-notifications.ts';
import { eventOf, metricOf, numbers, requestIds } from './sample-events.ts';

describe('a queue of notifications that is damaged', () => {
  it.each([
    ['is no database', (file: string) => writeFile(file, 'x'.repeat(10_000))],
    ['has pages of something else', (file: string) => overwrite(file, 4_096, Buffer.alloc(8_192, 0x5a))],
    ['is cut off', cutInHalf],
    ['lacks its tables', (file: string) => overwrite(file, 100, Buffer.alloc(8))],
  ])('is set aside when it %s, and a new one works', async (_what, damage) => {
    const directory = await makeTempDir();
    const receiver = await startReceiver({ answer: () => 503 });
    const endpoints = [{ name: 'a', url: receiver.url, ...quick }];
    const first = await runNotifications({ directory, endpoints });
    for (const id of numbers(0, 200)) first.sink.publish(eventOf(id));
    await first.stop();
    const file = join(directory, 'queue.sqlite');
    await damage(file);

    const { lines, logger } = recordingLogger();
    receiver.answer = () => 200;
    const second = await runNotifications({ directory, endpoints }, { logger });
    second.sink.publish(eventOf('after'));
    await expect.poll(() => requestIds(receiver.taken)).toEqual(['after']);
    expect(await second.metric('damaged_queues_total')).toBe(1);
    expect(lines.filter(({ level }) => level === 50).map(({ msg }) => msg)).toEqual([
      expect.stringContaining('the notification queue is damaged: it is set aside'),
    ]);
    const aside = (await readdir(directory)).filter((name) => name.startsWith('queue.sqlite.damaged-'));
    expect(aside).toHaveLength(1);
    expect((await readFile(join(directory, aside[0]!))).length).toBeGreaterThan(0);
  });

  it('is replaced while it is open, and what was in it is counted', async () => {
    const { keeper, metrics, directory } = await openParts();
    // More than SQLite keeps in memory, so that it has to read from the file again.
    for (let round = 0; round < 5; round += 1) {
      const events = numbers(0, 1_000).map((text) => ({ endpoint: 'a', createdAtMs: 1, text: text.padEnd(900) }));
      keeper.use((queue) => queue.add(events));
    }
    // Closing brings everything into the file itself; the next use opens it.
    keeper[Symbol.dispose]();
    expect(keeper.use((queue) => queue.figures('a').events)).toBe(5_000);
    await overwrite(join(directory, 'queue.sqlite'), 5 * 4_096, Buffer.alloc(200 * 4_096, 0x5a));
    const read = () => keeper.use((queue) => queue.read('a', { maxEvents: 1_000, maxBytes: 10_000_000 }));
    expect(read).toThrow(UnavailableError);
    expect(read()).toEqual([]);
    expect(await metricOf(metrics, 'damaged_queues_total')).toBe(1);
    expect(await metricOf(metrics, 'dropped_total', { endpoint: 'a', reason: 'damaged' })).toBe(5_000);
  });

  it('keeps three damaged files at most', async () => {
    const directory = await makeTempDir();
    for (let round = 0; round < 5; round += 1) {
      await writeFile(join(directory, 'queue.sqlite'), `no database ${round}`.repeat(100));
      let nowMs = Date.UTC(2026, 0, 1 + round);
      const clock = { monotonicMs: () => 0, nowMs: () => nowMs++ };
      const { stop } = await runNotifications({ directory, endpoints: [] }, { clock });
      await stop();
    }
    const aside = (await readdir(directory)).filter((name) => name.includes('.damaged-'));
    expect(aside.toSorted().map((name) => name.slice(0, 33))).toEqual([
      'queue.sqlite.damaged-2026-01-03T0',
      'queue.sqlite.damaged-2026-01-04T0',
      'queue.sqlite.damaged-2026-01-05T0',
    ]);
  });
});

describe('a queue of notifications on a full disk', () => {
  it('does not disturb the registry, and writes what memory holds once there is room', async () => {
    const { keeper, intake, metrics, lines } = await openParts({ maxFileBytes: 120_000 });
    keeper.use((queue) =>
      queue.add(numbers(0, 90).map((text) => ({ endpoint: 'a', createdAtMs: 1, text: text.padEnd(900) }))),
    );
    const { client } = await serveRegistry(await folderDriver(), { events: intake });
    for (let round = 0; round < 10; round += 1) await client.putImage(`team/app${round}`, ['v1']);
    expect((await client.call('GET', '/v2/team/app9/manifests/v1')).status).toBe(200);
    await expect.poll(() => errorsOf(lines)).toEqual(['the notification queue cannot be used; the registry goes on']);
    expect(await metricOf(metrics, 'dropped_total')).toBe(0);

    keeper.use((queue) => queue.removeUpTo('a', 90));
    // Two blobs, and the manifest by its digest and by its tag, of each; and one pull.
    await expect.poll(() => keeper.use((queue) => queue.figures('a').events), { timeout: 3_000 }).toBe(41);
    expect(await metricOf(metrics, 'events_total', { endpoint: 'a', result: 'queued' })).toBe(41);
  });

  it('counts what memory does not hold, the oldest first', async () => {
    const { keeper, intake, losses, metrics, lines } = await openParts({ maxFileBytes: 60_000 });
    keeper.use((queue) =>
      queue.add(numbers(0, 40).map((text) => ({ endpoint: 'a', createdAtMs: 1, text: text.padEnd(900) }))),
    );
    for (const id of numbers(0, 10_100)) intake.publish(eventOf(id));
    expect(await metricOf(metrics, 'dropped_total', { endpoint: 'a', reason: 'disk' })).toBe(100);
    intake.close();
    losses.sayAll();
    // The last room on the disk is used, too.
    const queued = await metricOf(metrics, 'events_total', { result: 'queued' });
    const dropped = await metricOf(metrics, 'dropped_total', { reason: 'disk' });
    expect([queued < 50, queued + dropped]).toEqual([true, 10_100]);
    const said = lines.filter(({ msg }) => msg === 'notifications were dropped').map((line) => Number(line['events']));
    expect(said.reduce((sum, events) => sum + events, 0)).toBe(dropped);
    expect(said.length).toBeLessThan(4);
  });

  it('does not have events sent again and again that cannot be deleted', async () => {
    const directory = await makeTempDir();
    const receiver = await startReceiver();
    const endpoints = [{ name: 'a', url: receiver.url, batchSize: 7, ...quick }];
    await (await runNotifications({ directory, endpoints })).stop();
    // A full disk refuses deletions too, as this does.
    const database = new DatabaseSync(join(directory, 'queue.sqlite'));
    database.exec("CREATE TRIGGER full BEFORE DELETE ON events_1 BEGIN SELECT RAISE(ABORT, 'full'); END");
    database.close();

    const first = await runNotifications({ directory, endpoints });
    for (const id of numbers(0, 100)) first.sink.publish(eventOf(id));
    await expect.poll(() => requestIds(receiver.taken)).toEqual(numbers(0, 100));
    first.sink.publish(eventOf('100'));
    await expect.poll(() => requestIds(receiver.taken)).toEqual(numbers(0, 101));
    await first.stop();
    // Only the file can tell the next start.
    await runNotifications({ directory, endpoints });
    await expect.poll(() => requestIds(receiver.taken)).toEqual([...numbers(0, 101), ...numbers(0, 101)]);
  });

  it('takes no event after the end', async () => {
    const { intake, metrics } = await openParts();
    intake.close();
    intake.publish(eventOf('late'));
    expect(await metricOf(metrics, 'dropped_total', { endpoint: 'a' })).toBe(1);
  });
});

describe('a queue of notifications that cannot be opened', () => {
  it('is refused when another program has it', async () => {
    const directory = await makeTempDir();
    await runNotifications({ directory, endpoints: [] });
    const failure = runNotifications({ directory, endpoints: [] });
    await expect(failure).rejects.toThrow(
      /another process has it open; stop that one, or set notifications\.directory/,
    );
    await expect(failure).rejects.toBeInstanceOf(ConfigError);
  });

  it('is refused when its folder is a file, or its file a folder', async () => {
    const directory = join(await makeTempDir(), 'taken');
    await writeFile(directory, '');
    await expect(runNotifications({ directory, endpoints: [] })).rejects.toThrow(
      /set notifications\.directory to a folder/,
    );
    const other = await makeTempDir();
    await mkdir(join(other, 'queue.sqlite'));
    await expect(runNotifications({ directory: other, endpoints: [] })).rejects.toBeInstanceOf(ConfigError);
  });
});

type LogLine = { readonly level: number; readonly msg: string } & Record<string, unknown>;

function recordingLogger(): { readonly lines: LogLine[]; readonly logger: Logger } {
  const lines: LogLine[] = [];
  return { lines, logger: pino({ level: 'debug' }, { write: (text) => void lines.push(JSON.parse(text) as LogLine) }) };
}

function errorsOf(lines: readonly LogLine[]): string[] {
  return lines.filter(({ level }) => level === 50).map(({ msg }) => msg);
}

/** The parts between a registry and its queue, without deliveries. */
async function openParts(options: Partial<EventQueueOptions> = {}) {
  const directory = await makeTempDir();
  const registry = new Registry();
  const metrics = new NotificationMetrics(registry, () => Date.now());
  const { lines, logger } = recordingLogger();
  const losses = new Losses({ logger, metrics, clock: systemClock });
  const bounds = { endpoints: ['a'], maxEvents: 100_000, maxBytes: 100_000_000, ...options };
  const deps = { logger, metrics, losses, clock: systemClock };
  const keeper = await QueueKeeper.open(join(directory, 'queue.sqlite'), bounds, deps);
  onTestFinished(() => keeper[Symbol.dispose]());
  const { endpoints } = await configOf({ endpoints: [{ name: 'a', url: 'http://127.0.0.1:1' }] });
  const source = { address: 'a:1', instanceId: 'i', scheme: 'http', baseUrl: undefined } as const;
  const intakeDeps = { keeper, losses, metrics, logger: testLogger(), onQueued: () => undefined };
  const intake = new EventIntake(endpoints, source, intakeDeps);
  onTestFinished(() => intake.close());
  return { directory, keeper, intake, losses, lines, metrics: registry };
}

async function overwrite(file: string, offset: number, bytes: Buffer): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    await handle.write(bytes, 0, bytes.length, offset);
  } finally {
    await handle.close();
  }
}

async function cutInHalf(file: string): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    const { size } = await handle.stat();
    await handle.truncate(Math.floor(size / 2));
  } finally {
    await handle.close();
  }
}
