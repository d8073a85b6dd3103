import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../src/core/index.ts';
import type { StorageDriver } from '../../src/driver/index.ts';
import { formatPath } from '../../src/pathparser/index.ts';
import {
  driverUploads,
  purgeOptionsOf,
  purgeUploads,
  registryOptionsOf,
  startUploadPurge,
  type UnfinishedUpload,
} from '../../src/registry/index.ts';
import { testLogger } from '../helpers/logger.ts';
import { bytesOf } from './client.ts';
import { registryConfig } from './registry-config.ts';
import { folderDriver, memoryDriver, serveRegistry } from './running-registry.ts';
import { wrapDriver } from './wrapped-driver.ts';

/** Other tests may have the machine busy. */
const soon = { timeout: 10_000 };

const HOUR_MS = 60 * 60 * 1000;
const maxAgeMs = 6.5 * 24 * HOUR_MS;

/** A clock that a test moves on. Files keep the time of the machine. */
class MovedClock implements Clock {
  laterMs = 0;
  monotonicMs = () => systemClock.monotonicMs() + this.laterMs;
  nowMs = () => systemClock.nowMs() + this.laterMs;
}

const drivers: [string, () => Promise<StorageDriver>][] = [
  ['in memory', memoryDriver],
  ['on a folder', () => folderDriver()],
];

describe.each(drivers)('a purge of uploads %s', (_name, makeDriver) => {
  const purge = (driver: StorageDriver, clock: Clock) =>
    purgeUploads(
      { uploads: driverUploads(driver), logger: testLogger(), maxAgeMs, clock },
      AbortSignal.timeout(20_000),
    );

  it('removes those that are too old, in every repository, with their bytes, and nothing else', async () => {
    const clock = new MovedClock();
    const driver = await makeDriver();
    const { client } = await serveRegistry(driver, { clock });
    const image = await client.putImage('team/app', ['v1']);
    const old = [];
    for (const repository of ['a', 'a/b', 'team/app', 'team/app/deep/down']) {
      const location = await client.begin(repository);
      await client.call('PATCH', location, { body: bytesOf(repository, 100) });
      old.push(location);
    }
    expect(await purge(driver, clock)).toEqual({ seen: 4, purged: 0, failed: 0, ageUnknown: 0 });
    clock.laterMs = maxAgeMs + HOUR_MS;
    const young = await client.begin('a');
    expect(await purge(driver, clock)).toEqual({ seen: 5, purged: 4, failed: 0, ageUnknown: 0 });
    for (const location of old) expect((await client.call('GET', location)).codes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
    expect((await client.call('GET', young)).status).toBe(204);
    expect((await client.call('GET', '/v2/team/app/manifests/v1')).body.equals(image.bytes)).toBe(true);
    const [, repository, uploadId] = /v2\/(.*)\/blobs\/uploads\/(.*)/.exec(old[0]!) ?? [];
    const data = formatPath({ kind: 'upload-data', repository: repository as never, uploadId: uploadId! });
    await expect(driver.writer(data, { append: true })).rejects.toThrow();
  });

  it('goes by the last write, where that was later than the begin', async () => {
    const clock = new MovedClock();
    const driver = await makeDriver();
    const { client } = await serveRegistry(driver, { clock });
    const location = await client.begin('a');
    // Begun long ago, as the file says; written to now, as the time of the file says.
    const startedAt = startedAtOf(location);
    await driver.putContent(startedAt, Buffer.from(new Date(clock.nowMs() - 2 * maxAgeMs).toISOString()));
    expect((await purge(driver, clock)).purged).toBe(0);
    clock.laterMs = maxAgeMs + HOUR_MS;
    expect((await purge(driver, clock)).purged).toBe(1);
  });

  it('keeps an upload without a readable begin for as long as its files are young', async () => {
    const clock = new MovedClock();
    const driver = await makeDriver();
    const { client } = await serveRegistry(driver, { clock });
    const unreadable = await client.begin('a');
    await driver.putContent(startedAtOf(unreadable), Buffer.from('last summer'));
    // As distribution leaves one: its bytes can be seen.
    const without = formatPath({ kind: 'upload-data', repository: 'a' as never, uploadId: 'without-begin' });
    await driver.putContent(without, Buffer.from('bytes'));
    expect(await purge(driver, clock)).toEqual({ seen: 2, purged: 0, failed: 0, ageUnknown: 0 });
    clock.laterMs = maxAgeMs + HOUR_MS;
    expect(await purge(driver, clock)).toEqual({ seen: 2, purged: 2, failed: 0, ageUnknown: 0 });
  });

  it('keeps an upload whose age nobody knows', async () => {
    const clock = new MovedClock();
    const driver = await makeDriver();
    const path = formatPath({ kind: 'upload', repository: 'a' as never, uploadId: 'nothing-known' });
    await driver.putContent(`${path}/other`, Buffer.from('x'));
    clock.laterMs = 100 * maxAgeMs;
    expect(await purge(driver, clock)).toEqual({ seen: 1, purged: 0, failed: 0, ageUnknown: 1 });
  });
});

describe('a purge of uploads', () => {
  it('keeps one to which bytes still come, however long ago it began', async () => {
    const clock = new MovedClock();
    const memory = await memoryDriver();
    const modTimes = new Map<string, number>();
    // The time of a file is what the moved clock says, as on a storage whose clock goes with that of the registry.
    const driver = wrapDriver(memory, {
      putContent: async (path, ...rest) => {
        await memory.putContent(path, ...rest);
        modTimes.set(path, clock.nowMs());
      },
      stat: async (path, ...rest) => {
        const info = await memory.stat(path, ...rest);
        return { ...info, modTime: new Date(modTimes.get(path) ?? info.modTime) };
      },
    });
    const { client } = await serveRegistry(driver, { clock });
    const [location, abandoned] = [await client.begin('a'), await client.begin('a')];
    const request = client.open('PATCH', location, { 'transfer-encoding': 'chunked' });
    request.on('error', () => undefined);
    const purge = () =>
      purgeUploads(
        { uploads: driverUploads(driver), logger: testLogger(), maxAgeMs, clock },
        AbortSignal.timeout(20_000),
      );
    for (let day = 1; day <= 9; day += 1) {
      clock.laterMs += 24 * HOUR_MS;
      request.write(bytesOf(`day ${day}`, 10));
      const written = async () => (await client.call('GET', location)).headers.get('range');
      await expect.poll(written, soon).toBe(`0-${day * 10 - 1}`);
      await expect.poll(() => clock.nowMs() - (modTimes.get(startedAtOf(location)) ?? 0), soon).toBeLessThan(HOUR_MS);
      expect((await purge()).purged).toBe(day === 7 ? 1 : 0);
    }
    expect((await client.call('GET', abandoned)).status).toBe(404);
    request.end();
    await expect.poll(async () => (await client.call('PATCH', location, { body: 'x' })).status, soon).toBe(202);
  });

  it('goes on when one upload cannot be removed, and counts what it did', async () => {
    const upload = (name: string, remove: () => Promise<boolean>): UnfinishedUpload => {
      return { name, lastActivityMs: 0, remove };
    };
    const all = [
      upload('one', () => Promise.resolve(true)),
      upload('two', () => Promise.reject(new Error('the disk says no'))),
      upload('three', () => Promise.resolve(false)),
      upload('four', () => Promise.resolve(true)),
    ];
    const options = { uploads: () => listOf(all), logger: testLogger(), maxAgeMs };
    const result = await purgeUploads(options, AbortSignal.timeout(1000));
    expect(result).toEqual({ seen: 4, purged: 2, failed: 1, ageUnknown: 0 });
  });

  it('runs in the background again and again, and is counted', async () => {
    const metrics = new Registry();
    let rounds = 0;
    const uploads = async function* () {
      rounds += 1;
      if (rounds === 2) throw new Error('the storage does not answer');
      yield { name: 'one', lastActivityMs: 0, remove: async () => true };
    };
    const options = { logger: testLogger(), maxAgeMs, purgeIntervalMs: 5, metrics, random: () => 0.5 };
    await using _purge = startUploadPurge({ uploads, ...options });
    await expect.poll(() => rounds, soon).toBeGreaterThanOrEqual(3);
    const purged = async () => Number(/purged_total (\d+)/.exec(await metrics.metrics())?.[1]);
    await expect.poll(purged, soon).toBeGreaterThanOrEqual(2);
  });

  it('ends at once in the middle of its work when it is disposed', async () => {
    const begun = Promise.withResolvers<void>();
    let ended = false;
    const uploads = async function* (signal: AbortSignal) {
      begun.resolve();
      try {
        await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      } finally {
        ended = true;
      }
      yield { name: 'never', lastActivityMs: 0, remove: async () => true };
    };
    const options = { uploads, logger: testLogger(), maxAgeMs, purgeIntervalMs: 1000, random: () => 0 };
    const purge = startUploadPurge(options);
    await begun.promise;
    await purge[Symbol.asyncDispose]();
    expect(ended).toBe(true);
  });

  it('never runs with an interval of 0, which is what a read-only registry has', async () => {
    const uploads = { idleTimeoutMs: 1000, maxAgeMs, purgeIntervalMs: 5 };
    const config = registryConfig({ readOnly: true, uploads });
    expect(purgeOptionsOf(config)).toEqual({ maxAgeMs, purgeIntervalMs: 0 });
    expect(purgeOptionsOf({ ...config, readOnly: false })).toEqual({ maxAgeMs, purgeIntervalMs: 5 });
    let listed = false;
    const purge = startUploadPurge({
      uploads: async function* () {
        listed = true;
        yield* listOf([]);
      },
      logger: testLogger(),
      ...purgeOptionsOf(config),
    });
    await purge[Symbol.asyncDispose]();
    expect(listed).toBe(false);
  });
});

describe('the settings of uploads', () => {
  const uploads = { idleTimeoutMs: 1000, maxAgeMs, purgeIntervalMs: 5, chunkMinLengthBytes: 5_000_000 };

  it('ask clients for chunks of a least length, and take shorter ones', async () => {
    const options = registryOptionsOf(registryConfig({ uploads }));
    const { client } = await serveRegistry(await memoryDriver(), options);
    const begun = await client.call('POST', '/v2/a/blobs/uploads/');
    expect(begun.headers.get('oci-chunk-min-length')).toBe('5000000');
    const headers = { 'content-range': '0-0' };
    const patched = await client.call('PATCH', begun.headers.get('location')!, { body: 'x', headers });
    expect([patched.status, patched.headers.get('oci-chunk-min-length')]).toEqual([202, null]);
  });

  it('ask nothing without one', async () => {
    const { client } = await serveRegistry(await memoryDriver());
    expect((await client.call('POST', '/v2/a/blobs/uploads/')).headers.has('oci-chunk-min-length')).toBe(false);
  });
});

function startedAtOf(location: string): string {
  const [, repository, uploadId] = /v2\/(.*)\/blobs\/uploads\/(.*)/.exec(location) ?? [];
  return formatPath({ kind: 'upload-started-at', repository: repository as never, uploadId: uploadId! });
}

async function* listOf(uploads: readonly UnfinishedUpload[]): AsyncIterable<UnfinishedUpload> {
  yield* uploads;
}
