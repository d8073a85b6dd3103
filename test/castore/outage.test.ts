import { describe, expect, it } from 'vitest';
import { openCaStore } from '../../src/castore/index.ts';
import { MemoryDisk, type Outage, outages } from './memory-disk.ts';
import { CAPACITY_BYTES, checkPromises, play, useAgain } from './scenario.ts';

interface Moment {
  readonly disk: MemoryDisk;
  /** The change that was about to be made. */
  readonly change: string;
  /** Steps that had been acknowledged. */
  readonly steps: readonly string[];
}

/** Plays the scenario once, and keeps the disk as an outage would leave it, for each moment before a change. */
async function record(outage: Outage): Promise<Moment[]> {
  const disk = new MemoryDisk();
  const moments: Moment[] = [];
  const steps: string[] = [];
  const keep = (change: string) => moments.push({ disk: disk.after(outage), change, steps: [...steps] });
  disk.before = (operation, path) => keep(`${operation} ${path}`);
  const store = await openOn(disk);
  await play(store, (step) => steps.push(step));
  keep('end');
  disk.before = () => undefined;
  await store.close();
  return moments;
}

function openOn(files: MemoryDisk) {
  return openCaStore({ directory: '/store', capacityBytes: CAPACITY_BYTES, files });
}

describe('a store after an outage at any change to the disk', () => {
  it.each(outages)('keeps every promise and shows nothing half done (%s)', async (outage) => {
    const moments = await record(outage);
    expect(moments.length).toBeGreaterThan(150);
    for (const { disk, change, steps } of moments) {
      await using store = await openOn(disk);
      await checkPromises(store, steps, (what) => expect.fail(`before "${change}": not true that ${what}`));
      await useAgain(store);
    }
  });

  it.each(outages)('keeps every promise when the next start is cut off too (%s)', async (outage) => {
    const moments = (await record(outage)).filter((_, i) => i % 9 === 0);
    for (const { disk, change, steps } of moments) {
      const again: MemoryDisk[] = [];
      disk.before = () => again.push(disk.after(outage));
      await (await openOn(disk)).close();
      for (const second of again) {
        await using store = await openOn(second);
        await checkPromises(store, steps, (what) => expect.fail(`before "${change}", twice: not true that ${what}`));
      }
    }
  });
});
