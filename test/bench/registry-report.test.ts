import { describe, expect, it } from 'vitest';
import {
  describeRegistryResult,
  describeRegistryRun,
  type RegistryResult,
  type RegistryRun,
  rowsOf,
} from '../../bench/registry/report.ts';

function runOf(changes: Partial<RegistryRun> & Pick<RegistryRun, 'case' | 'engine'>): RegistryRun {
  return {
    variant: '64 connections',
    round: 0,
    meter: {
      wallSeconds: 1,
      serverCpuSeconds: 2,
      loadCpuSeconds: 1,
      machineCpu: 0.9,
      otherCpu: 0.05,
      machineBusy: false,
    },
    ...changes,
  };
}

const rounds = [
  { shoal: 500, distribution: 100 },
  { shoal: 900, distribution: 300 },
  { shoal: 700, distribution: 100 },
];
const requests = rounds.flatMap((figures, round) => {
  return (['shoal', 'distribution'] as const).map((engine) =>
    runOf({ case: 'blob2k', engine, round, requestsPerSecond: figures[engine], p99Ms: round + 1 }),
  );
});

describe('the report of bench:registry', () => {
  it('compares with distribution round by round, and takes the median', () => {
    const [shoal, distribution] = rowsOf(requests);
    expect(shoal).toMatchObject({ engine: 'shoal', rounds: 3, value: 700, p99Ms: 2, ratio: 5, met: true });
    expect(distribution).toMatchObject({ engine: 'distribution', value: 100, busyRounds: 0 });
    expect(distribution).not.toHaveProperty('ratio');
    expect(distribution).not.toHaveProperty('met');
  });

  it('misses a goal by a hair, and judges nothing without distribution', () => {
    const slower = requests.map((run) => (run.engine === 'shoal' ? { ...run, requestsPerSecond: 499 } : run));
    expect(rowsOf(slower)[0]).toMatchObject({ ratio: 4.99, met: false });
    const alone = rowsOf(requests.filter(({ engine }) => engine === 'shoal'))[0]!;
    expect(alone).not.toHaveProperty('ratio');
    expect(alone).not.toHaveProperty('met');
  });

  it('judges memory by itself', () => {
    const slow = (peakMemoryBytes: number) => rowsOf([runOf({ case: 'slow', engine: 'shoal', peakMemoryBytes })])[0];
    expect(slow(300e6)).toMatchObject({ met: true, value: 300e6 });
    expect(slow(301e6)).toMatchObject({ met: false });
  });

  it('keeps variants and cases apart', () => {
    const one = runOf({ case: 'download', engine: 'shoal', variant: '1 client', megabytesPerSecond: 1 });
    const rows = rowsOf([one, { ...one, variant: '8 clients' }, { ...one, case: 'offload' }]);
    expect(rows.map(({ case: name, variant }) => [name, variant])).toEqual([
      ['download', '1 client'],
      ['download', '8 clients'],
      ['offload', '1 client'],
    ]);
  });

  it('says when other programs took the machine', () => {
    const [first, ...others] = requests;
    const busy = { ...first!, meter: { ...first!.meter, otherCpu: 0.4, machineBusy: true } };
    expect(describeRegistryRun(busy)).toContain('others 40 % [MACHINE BUSY]');
    const machine = { cpu: 'a CPU', cores: 2, memoryBytes: 1, kernel: '6', node: 'v24', shoal: '0' };
    const rows = rowsOf([busy, ...others]);
    const result: RegistryResult = {
      ...{ bench: 'registry', startedAt: '', command: '', machine, versions: {} },
      ...{ sizeBytes: 2 ** 20, rows, runs: [] },
    };
    const text = describeRegistryResult(result);
    expect(text).toContain('blob2k: GET of blobs of 2 kB; goal 5 × distribution');
    expect(text).toMatch(/64 connections, shoal: 700 requests\/s, 5\.00 × distribution, met,.*BUSY in 1 of 3 rounds/);
    expect(text).toContain('servers and load share the 2 cores');
  });
});
