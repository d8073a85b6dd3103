import { constants, PerformanceObserver } from 'node:perf_hooks';
import { expect, it, onTestFinished } from 'vitest';
import { countShortLivedBytes } from '../../src/core/index.ts';

const MIB = 1024 * 1024;

it('collects the young generation after each 4 MiB, and not before', async () => {
  let collections = 0;
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { kind } = (entry as unknown as { detail: { kind: number } }).detail;
      if (kind === constants.NODE_PERFORMANCE_GC_MINOR) collections++;
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  onTestFinished(() => observer.disconnect());
  countShortLivedBytes(4 * MIB);
  await expect.poll(() => collections).toBeGreaterThan(0);
  collections = 0;
  countShortLivedBytes(3 * MIB);
  for (let time = 0; time < 20; time++) countShortLivedBytes(4 * MIB);
  await expect.poll(() => collections).toBeGreaterThanOrEqual(20);
});
