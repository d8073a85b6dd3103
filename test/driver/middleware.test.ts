import { buffer } from 'node:stream/consumers';
import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../src/core/index.ts';
import {
  DelegatingDriver,
  defaultDriverFactory,
  PathNotFoundError,
  RedirectingDriver,
  RegulatedDriver,
  RetryingDriver,
  type StorageDriver,
  StorageFullError,
  StorageMetrics,
  StorageUnavailableError,
  storageDriverConformance,
  TimedDriver,
} from '../../src/driver/index.ts';
import { wrapDriver } from '../registry/wrapped-driver.ts';

const quick = { attempts: 3, firstWaitMs: 1, longestWaitMs: 2 };
const memory = () => defaultDriverFactory().create('inmemory', {});

storageDriverConformance({
  name: 'inmemory behind retries, a regulator and timings',
  describe,
  it,
  expect,
  create: async () => {
    const regulated = new RegulatedDriver(await memory(), 3);
    const driver = new TimedDriver(new RetryingDriver(regulated, quick), new StorageMetrics(new Registry()));
    return { driver, cleanup: () => driver.close() };
  },
});

/** A driver whose calls of one name fail so many times, before they reach the driver behind it or after that. */
async function failing(
  name: keyof StorageDriver,
  times: number,
  { after = false, error = unavailable() as Error } = {},
) {
  const inner = await memory();
  let calls = 0;
  const call = async (...args: unknown[]) => {
    calls += 1;
    const really = inner[name] as (...all: unknown[]) => Promise<unknown>;
    if (calls > times) return really.apply(inner, args);
    if (after) await really.apply(inner, args);
    throw error;
  };
  return { inner, driver: wrapDriver(inner, { [name]: call }), calls: () => calls };
}

const unavailable = () => new StorageUnavailableError('inmemory', '/a', 'not now');

describe('RetryingDriver', () => {
  it.each<[keyof StorageDriver, (driver: StorageDriver) => Promise<unknown>]>([
    ['getContent', (driver) => driver.getContent('/there')],
    ['putContent', (driver) => driver.putContent('/new', Buffer.from('new'))],
    ['reader', async (driver) => buffer(await driver.reader('/there', { offset: 0 }))],
    ['writer', async (driver) => (await driver.writer('/new', { append: false })).close()],
    ['stat', (driver) => driver.stat('/there')],
    ['delete', (driver) => driver.delete('/there')],
  ])('tries %s again, and gives up after so many tries', async (name, call) => {
    const passing = await failing(name, 2);
    await passing.inner.putContent('/there', Buffer.from('there'));
    await call(new RetryingDriver(passing.driver, quick));
    expect(passing.calls()).toBe(3);
    const lasting = await failing(name, 3);
    await expect(call(new RetryingDriver(lasting.driver, quick))).rejects.toThrow('not now');
    expect(lasting.calls()).toBe(3);
  });

  it('takes a delete for done whose answer was lost, but not one of what never was there', async () => {
    const { inner, driver } = await failing('delete', 1, { after: true });
    await inner.putContent('/a', Buffer.from('a'));
    const retrying = new RetryingDriver(driver, quick);
    await retrying.delete('/a');
    await expect(inner.stat('/a')).rejects.toThrow(PathNotFoundError);
    await expect(retrying.delete('/a')).rejects.toThrow(PathNotFoundError);
  });

  it.each<[keyof StorageDriver, (driver: StorageDriver) => Promise<unknown>]>([
    ['move', (driver) => driver.move('/there', '/new')],
    ['putContentIf', (driver) => driver.putContentIf('/new', Buffer.from('new'), { ifAbsent: true })],
  ])('does not try %s again, which may have happened', async (name, call) => {
    const { driver, calls } = await failing(name, 1);
    await expect(call(new RetryingDriver(driver, quick))).rejects.toThrow('not now');
    expect(calls()).toBe(1);
  });

  it('does not try again what will fail again', async () => {
    const { driver, calls } = await failing('putContent', 1, { error: new StorageFullError('inmemory', '/a') });
    await expect(new RetryingDriver(driver, quick).putContent('/a', Buffer.from('a'))).rejects.toThrow(
      StorageFullError,
    );
    expect(calls()).toBe(1);
  });

  it('goes on with listings where they broke off, and gives nothing twice', async () => {
    const inner = await memory();
    const names = Array.from({ length: 20 }, (_, index) => `/d/${String(index).padStart(2, '0')}`);
    for (const name of names) await inner.putContent(name, Buffer.from('x'));
    // Each listing breaks off after three items.
    class Breaking extends DelegatingDriver {
      override async *list(...args: Parameters<StorageDriver['list']>) {
        let count = 0;
        for await (const item of super.list(...args)) {
          if (++count > 3) throw unavailable();
          yield item;
        }
      }
      override async *walk(...args: Parameters<StorageDriver['walk']>) {
        let count = 0;
        for await (const item of super.walk(...args)) {
          if (++count > 3) throw unavailable();
          yield item;
        }
      }
    }
    const driver = new RetryingDriver(new Breaking(inner), quick);
    expect(await Array.fromAsync(driver.list('/d'))).toEqual(names);
    expect(await Array.fromAsync(driver.list('/d', { after: '/d/04', limit: 7 }))).toEqual(names.slice(5, 12));
    expect((await Array.fromAsync(driver.walk('/d'))).map(({ path }) => path)).toEqual(names);
  });

  it('ends its waiting with the reason of the signal', async () => {
    const { driver } = await failing('stat', 100);
    const retrying = new RetryingDriver(driver, { attempts: 100, firstWaitMs: 60_000, longestWaitMs: 60_000 });
    const controller = new AbortController();
    const waiting = retrying.stat('/a', { signal: controller.signal });
    const reason = new Error('the client has left');
    setImmediate(() => controller.abort(reason));
    await expect(waiting).rejects.toBe(reason);
  });
});

describe('RegulatedDriver', () => {
  it('lets so many through at once, in the order in which they came', async () => {
    const inner = await memory();
    await inner.putContent('/a', Buffer.from('a'));
    const gates: (() => void)[] = [];
    const begun: string[] = [];
    const getContent = async (path: string) => {
      begun.push(path);
      await new Promise<void>((resolve) => gates.push(resolve));
      return Buffer.alloc(0);
    };
    const driver = new RegulatedDriver(wrapDriver(inner, { getContent }), 2);
    const controller = new AbortController();
    const calls = ['/1', '/2', '/3', '/4'].map((path) => driver.getContent(path, { signal: controller.signal }));
    await expect.poll(() => begun).toEqual(['/1', '/2']);
    gates.shift()!();
    await calls[0];
    await expect.poll(() => begun).toEqual(['/1', '/2', '/3']);
    controller.abort(new Error('enough'));
    await expect(calls[3]).rejects.toThrow('enough');
    for (const open of gates) open();
    await Promise.all(calls.slice(0, 3));
    expect(begun).toEqual(['/1', '/2', '/3']);
  });
});

describe('TimedDriver', () => {
  it('times every operation with its outcome, readers and writers to their end', async () => {
    const registry = new Registry();
    const driver = new TimedDriver(await memory(), new StorageMetrics(registry));
    const writer = await driver.writer('/a', { append: false });
    await writer.write(Buffer.from('bytes'));
    await writer.commit();
    await writer.close();
    await buffer(await driver.reader('/a', { offset: 0 }));
    const left = await driver.reader('/a', { offset: 0 });
    left.destroy();
    await driver.getContent('/none').catch(() => undefined);
    await Array.fromAsync(driver.list('/'));
    for await (const _ of driver.walk('/')) break;
    const counts = async () => {
      const { values } = (await registry.getSingleMetric('shoal_storage_operation_duration_seconds')!.get()) as {
        values: { metricName?: string; labels: Record<string, string>; value: number }[];
      };
      const ended = values.filter(({ metricName }) => metricName?.endsWith('_count') === true);
      return Object.fromEntries(
        ended.map(({ labels, value }) => [`${labels['operation']} ${labels['outcome']}`, value]),
      );
    };
    await expect.poll(counts).toEqual({
      'writer ok': 1,
      'write ok': 1,
      'reader ok': 2,
      'read ok': 2,
      'getContent PATH_NOT_FOUND': 1,
      'list ok': 1,
      'walk ok': 1,
    });
  });
});

describe('RedirectingDriver', () => {
  it('sends to the web server what is there, and nothing else', async () => {
    const inner = await memory();
    await inner.putContent('/docker/blob', Buffer.from('x'));
    const driver = new RedirectingDriver(inner, 'https://cdn.example/registry/');
    expect(driver.capabilities).toEqual({ ...inner.capabilities, redirect: true });
    const url = await driver.redirectURL('/docker/blob', { method: 'GET' });
    expect(url).toBe('https://cdn.example/registry/docker/blob');
    await expect(driver.redirectURL('/none', { method: 'GET' })).rejects.toThrow(PathNotFoundError);
  });

  it.each(['', 'cdn.example', 'ftp://cdn.example/', 'https://cdn.example/?key=1'])(
    'refuses %j as base',
    async (url) => {
      const inner = await memory();
      expect(() => new RedirectingDriver(inner, url)).toThrow(ConfigError);
    },
  );
});
