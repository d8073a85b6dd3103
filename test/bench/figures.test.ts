import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { busyShare, machineUsage, parseMachineStat, parseProcessStat, usageOf } from '../../bench/lib/process-usage.ts';
import { greatest, known, least, mean, median, quantile } from '../../bench/lib/statistics.ts';
import { sumOfMetric } from '../../bench/swarm/prometheus.ts';

describe('statistics', () => {
  it.each([
    [[5], 5],
    [[3, 1, 2], 2],
    [[4, 1, 3, 2], 2.5],
  ])('the median of %j is %d', (values, middle) => {
    expect(median(values)).toBe(middle);
  });

  it('know nothing of nothing', () => {
    expect([mean([]), median([]), least([]), greatest([]), quantile([], 0.9)]).toEqual(Array(5).fill(undefined));
    expect(known([1, undefined, 0])).toEqual([1, 0]);
  });

  it('put a quantile between least and greatest, growing with its share', () => {
    const values = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1 });
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(values, share, share, (list, a, b) => {
        const [low, high] = [quantile(list, Math.min(a, b))!, quantile(list, Math.max(a, b))!];
        expect(low).toBeLessThanOrEqual(high + 1e-9);
        expect(quantile(list, 0)).toBeCloseTo(least(list)!, 6);
        expect(quantile(list, 1)).toBeCloseTo(greatest(list)!, 6);
      }),
    );
  });
});

describe('process accounting', () => {
  it('finds its way past a program name with spaces and brackets', () => {
    const line = '42 (a) b (c)) S 7 42 42 0 -1 4194304 1 2 3 4 150 50 8 9 20 0 11 0 5 6 7';
    expect(parseProcessStat(line)).toEqual({ parent: 7, cpuSeconds: 2 });
  });

  it('counts waiting for the disk as idle', () => {
    const before = parseMachineStat('cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n');
    const after = parseMachineStat('cpu  150 0 150 750 150 0 0 0 0 0\ncpu0 1 2 3\n');
    expect(busyShare(before, after)).toBeCloseTo(0.5, 9);
    expect(busyShare(before, before)).toBe(0);
  });

  it('reads this very process and this machine', async () => {
    const usage = (await usageOf([process.pid])).get(process.pid)!;
    expect(usage.cpuSeconds).toBeGreaterThan(0);
    expect(usage.peakMemoryBytes).toBeGreaterThanOrEqual(10 * 2 ** 20);
    expect((await machineUsage()).totalSeconds).toBeGreaterThan(0);
  });

  it('leaves out a process that is gone', async () => {
    const highest = Number(await readFile('/proc/sys/kernel/pid_max', 'utf8'));
    expect((await usageOf([highest])).size).toBe(0);
  });
});

describe('metrics', () => {
  const text = [
    '# HELP shoal_sent_bytes_total Bytes.',
    'shoal_sent_bytes_total{role="origin",via="http"} 5',
    'shoal_sent_bytes_total{role="origin",via="a } b"} 7',
    'shoal_sent_bytes_total_other 100',
    'shoal_wires 1e3',
  ].join('\n');

  it.each([
    ['shoal_sent_bytes_total', 12],
    ['shoal_wires', 1000],
    ['shoal_sent_bytes', 0],
  ])('%s sums up to %d', (name, sum) => {
    expect(sumOfMetric(text, name)).toBe(sum);
  });
});
