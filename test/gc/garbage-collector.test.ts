import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import type { StorageDriver } from '../../src/driver/index.ts';
import { type GcConfig, GcConfigSchema, startGarbageCollector } from '../../src/gc/index.ts';
import { testLogger } from '../helpers/logger.ts';
import { memoryDriver } from '../registry/running-registry.ts';
import { wrapDriver } from '../registry/wrapped-driver.ts';
import { watchedDriver } from './counting-driver.ts';
import { Scene } from './scene.ts';

/** Milliseconds here where people would have hours; the schema is what keeps people from it. */
const config: GcConfig = {
  enabled: true,
  intervalMs: 20,
  graceMs: -1,
  quarantineMs: -1,
  untagged: false,
  maxOperationsPerSecond: 100_000,
};

async function start(driver: StorageDriver, more: Partial<GcConfig> = {}) {
  const metrics = new Registry();
  const collector = startGarbageCollector(
    { ...config, ...more },
    { driver, logger: testLogger(), metrics, random: () => 0 },
  );
  const value = async (name: string, labels: Record<string, string> = {}) => {
    const metric = await metrics.getSingleMetric(name)?.get();
    const match = metric?.values.find((entry) =>
      Object.entries(labels).every(([key, text]) => (entry.labels as Record<string, unknown>)[key] === text),
    );
    return match?.value ?? 0;
  };
  return { collector, value };
}

describe('a collector in the background', () => {
  it('collects again and again, and counts what it does', async () => {
    const scene = new Scene(await memoryDriver());
    const lost = await scene.blob('lost');
    const { collector, value } = await start(scene.driver);
    await expect.poll(() => value('shoal_gc_objects_total', { action: 'delete' })).toBe(1);
    await collector[Symbol.asyncDispose]();
    expect(await scene.hasBlob(lost)).toBe(false);
    expect(await value('shoal_gc_objects_total', { action: 'quarantine' })).toBe(1);
    expect(await value('shoal_gc_bytes_total', { action: 'delete' })).toBe(4);
    expect(await value('shoal_gc_runs_total', { result: 'done' })).toBeGreaterThanOrEqual(2);
    expect(await value('shoal_gc_last_done_timestamp_seconds')).toBeGreaterThan(1.6e9);
  });

  it('tells of problems', async () => {
    const scene = new Scene(await memoryDriver());
    await scene.manifest('a', { not: 'a manifest' });
    const { collector, value } = await start(scene.driver);
    await expect.poll(() => value('shoal_gc_problems')).toBe(1);
    await collector[Symbol.asyncDispose]();
  });

  it('tries again after a run that failed', async () => {
    const scene = new Scene(await memoryDriver());
    const lost = await scene.blob('lost');
    let failures = 2;
    const driver = watchedDriver(scene.driver, () => {
      if (failures-- > 0) throw new Error('the storage is away');
    });
    const { collector, value } = await start(driver);
    await expect.poll(() => scene.hasBlob(lost)).toBe(false);
    await collector[Symbol.asyncDispose]();
    expect(await value('shoal_gc_runs_total', { result: 'failed' })).toBe(2);
  });

  it('runs one collection at a time, and breaks it off when it is stopped', async () => {
    const scene = new Scene(await memoryDriver());
    await scene.blob('lost');
    let running = 0;
    let aborted = false;
    const driver = wrapDriver(scene.driver, {
      stat: (_path, context) =>
        new Promise((_resolve, reject) => {
          running += 1;
          context?.signal?.addEventListener('abort', () => {
            aborted = true;
            reject(context.signal?.reason as Error);
          });
        }),
    });
    const { collector, value } = await start(driver, { intervalMs: 1 });
    await expect.poll(() => running).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(running).toBe(1);
    await collector[Symbol.asyncDispose]();
    expect(aborted).toBe(true);
    expect(await value('shoal_gc_runs_total', { result: 'aborted' })).toBe(1);
  });

  it('ends at once while it waits for its next run', async () => {
    const scene = new Scene(await memoryDriver());
    const { collector, value } = await start(scene.driver, { intervalMs: 3_600_000 });
    await expect.poll(() => value('shoal_gc_runs_total', { result: 'done' })).toBe(1);
    await collector[Symbol.asyncDispose]();
    expect(await value('shoal_gc_runs_total', { result: 'done' })).toBe(1);
  });

  it('waits a random time before its first run', async () => {
    const scene = new Scene(await memoryDriver());
    const calls: string[] = [];
    const driver = watchedDriver(scene.driver, (call) => void calls.push(call));
    const collector = startGarbageCollector(
      { ...config, intervalMs: 10_000 },
      { driver, logger: testLogger(), random: () => 0.999 },
    );
    await new Promise((resolve) => setTimeout(resolve, 30));
    await collector[Symbol.asyncDispose]();
    expect(calls).toEqual([]);
  });

  it('does nothing unless it is enabled', async () => {
    const scene = new Scene(await memoryDriver());
    const calls: string[] = [];
    const driver = watchedDriver(scene.driver, (call) => void calls.push(call));
    const { collector } = await start(driver, { enabled: false });
    await new Promise((resolve) => setTimeout(resolve, 30));
    await collector[Symbol.asyncDispose]();
    expect(calls).toEqual([]);
  });

  it('refuses a driver that knows only the layout of a registry', async () => {
    const driver = await memoryDriver();
    const layout = wrapDriver(driver, { capabilities: { ...driver.capabilities, anyPath: false } });
    await expect(start(layout)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});

describe('the settings', () => {
  it('are off, and a day each, unless somebody says otherwise', () => {
    const defaults = Object.fromEntries(
      Object.entries(GcConfigSchema.properties).map(([key, schema]) => [
        key,
        (schema as unknown as { default: unknown }).default,
      ]),
    );
    expect(defaults).toEqual({
      enabled: false,
      intervalMs: 86_400_000,
      graceMs: 86_400_000,
      quarantineMs: 86_400_000,
      untagged: false,
      maxOperationsPerSecond: 500,
    });
  });
});
