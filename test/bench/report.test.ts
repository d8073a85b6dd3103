import { describe, expect, it } from 'vitest';
import { BenchUsageError } from '../../bench/lib/errors.ts';
import { parsePairOptions } from '../../bench/pair/options.ts';
import type { PairRun } from '../../bench/pair/pair-run.ts';
import { pairMedians } from '../../bench/pair/report.ts';
import { isMet } from '../../bench/swarm/cases.ts';
import { parseSwarmOptions } from '../../bench/swarm/options.ts';
import { planOf } from '../../bench/swarm/plan.ts';
import { casesOf, describeCases } from '../../bench/swarm/report.ts';
import type { HostResult, SwarmRun } from '../../bench/swarm/run.ts';
import type { SwarmSettings } from '../../bench/swarm/settings.ts';
import { mediansOf, summarize } from '../../bench/swarm/summary.ts';

const link = { sentBytes: 0, receivedBytes: 0 };

function hostResult(host: number, changes: Partial<HostResult> = {}): HostResult {
  return {
    host,
    status: 'finished',
    judged: true,
    startMs: 0,
    firstByteMs: 100 + host,
    lastByteMs: 1000 + host,
    lineShare: 0.9 - host / 100,
    prefixRatio: 0.8 + host / 100,
    bytes: { peers: 90, origins: 10, http: 0, wasted: host },
    link,
    ...changes,
  };
}

function swarmRun(changes: Partial<SwarmRun> & { settings: SwarmSettings }): SwarmRun {
  return {
    engine: 'shoal',
    round: 0,
    sizeBytes: 100,
    hosts: [hostResult(0), hostResult(1)],
    processes: [
      { name: 'host0', kind: 'agent', cpuSeconds: 1, peakMemoryBytes: 10 },
      { name: 'host1', kind: 'agent', cpuSeconds: 3, peakMemoryBytes: 30 },
      { name: 'origin0', kind: 'origin', cpuSeconds: 4, peakMemoryBytes: 99 },
    ],
    copies: 1.01,
    linkCopies: 1.06,
    wallSeconds: 1,
    machineCpu: 0.5,
    ownCpu: 0.4,
    cpuBound: false,
    ...changes,
  };
}

const plan = planOf(parseSwarmOptions(['--case', 'eight,slow'])!);
const [eight, slow] = plan.settings as [SwarmSettings, SwarmSettings];

describe('the summary of a run', () => {
  it('takes the slowest for speed, and the worst where one matters', () => {
    expect(summarize(swarmRun({ settings: eight }))).toEqual({
      slowestShare: 0.89,
      medianShare: expect.closeTo(0.895, 9),
      firstByteMs: 101,
      lastByteMs: 1001,
      prefixRatio: expect.closeTo(0.805, 9),
      worstPrefixRatio: 0.8,
      copies: 1.01,
      wastedShare: 0.01,
      agentCpuSeconds: 2,
      originCpuSeconds: 4,
      peakMemoryBytes: 30,
      machineCpu: 0.5,
      ownCpu: 0.4,
    });
  });

  it('does not know the slowest when one did not finish', () => {
    const hosts = [hostResult(0), hostResult(1, { status: 'unfinished' })];
    const summary = summarize(swarmRun({ settings: eight, hosts }));
    expect(summary).not.toHaveProperty('slowestShare');
    expect(summary).not.toHaveProperty('lastByteMs');
  });

  it('leaves out hosts that are not judged', () => {
    const hosts = [hostResult(0), hostResult(1, { judged: false, status: 'killed' })];
    expect(summarize(swarmRun({ settings: eight, hosts })).slowestShare).toBe(0.9);
  });

  it('has no median of a figure that one round did not reach', () => {
    expect(mediansOf([{ copies: 1, lastByteMs: 5 }, { copies: 3 }, { copies: 2, lastByteMs: 6 }])).toEqual({
      copies: 2,
    });
  });
});

describe('the result of cases', () => {
  const runs = [0, 1, 2].flatMap((round) => [
    swarmRun({ settings: eight, round }),
    swarmRun({ settings: slow, round, hosts: [hostResult(0, { lastByteMs: 1001 * (1 + round / 50) })] }),
    swarmRun({ engine: 'libtorrent', settings: eight, round, hosts: [hostResult(0, { lastByteMs: 2002 })] }),
  ]);
  const results = casesOf(plan, runs);

  it('compares with the baseline of the same round, and takes the median', () => {
    const result = results.find((candidate) => candidate.case === 'slow' && candidate.engine === 'shoal')!;
    expect(result.rounds.map(({ timeToBaseline }) => timeToBaseline)).toEqual(
      [1, 1.02, 1.04].map((v) => expect.closeTo(v, 9)),
    );
    expect(result.goals).toEqual([
      { metric: 'timeToBaseline', atMost: 1.03, measured: expect.closeTo(1.02, 9), met: true },
    ]);
  });

  it('compares engines round by round, and judges Shoal alone', () => {
    const [own, other] = results.filter((candidate) => candidate.case === 'eight');
    expect(own!.goals.map(({ metric, met }) => [metric, met])).toEqual([
      ['slowestShare', false],
      ['copies', true],
    ]);
    expect(other).toMatchObject({ engine: 'libtorrent', goals: [], timeToFirstEngine: 2 });
    expect(describeCases(results)).toContain('MISSED');
  });

  it.each([
    [{ metric: 'copies', atMost: 1.03 }, 1.03, true],
    [{ metric: 'copies', atMost: 1.03 }, 1.04, false],
    [{ metric: 'slowestShare', atLeast: 0.9 }, 0.9, true],
    [{ metric: 'slowestShare', atLeast: 0.9 }, 0.89, false],
    [{ metric: 'slowestShare', atLeast: 0.9 }, undefined, undefined],
  ] as const)('%j with %d: %s', (goal, measured, met) => {
    expect(isMet(goal, measured)).toBe(met);
  });
});

describe('bench:pair', () => {
  const end = (cpuSecondsPerGib: number) => ({ cpuSecondsPerGib, peakMemoryBytes: 1 });
  const pairRun = (engine: string, round: number, megabytesPerSecond: number): PairRun => {
    const parts = { link: 'loopback', pieceLength: 65_536, seconds: 1, machineCpu: 1 } as const;
    return { engine, round, megabytesPerSecond, receiver: end(round), sender: end(2), ...parts };
  };

  it('takes the median of the ratios, not the ratio of the medians', () => {
    const runs = [
      [100, 100],
      [300, 150],
      [200, 400],
    ].flatMap(([own, other], round) => [pairRun('shoal', round, own!), pairRun('libtorrent', round, other!)]);
    const [own, other] = pairMedians(runs);
    expect(own).toMatchObject({ engine: 'shoal', megabytesPerSecond: 200, speedToLastEngine: 1 });
    expect(own).toMatchObject({ receiverCpuSecondsPerGib: 1, senderCpuSecondsPerGib: 2 });
    expect(other).not.toHaveProperty('speedToLastEngine');
  });

  it('reads its command line', () => {
    expect(parsePairOptions([])).toMatchObject({ sizeBytes: 2 ** 30, links: ['loopback', 'veth'], runs: 5 });
    expect(parsePairOptions(['--piece-length', '64KiB', '--link', 'veth', '--engine', 'shoal:../x'])).toMatchObject({
      pieceLength: 65_536,
      links: ['veth'],
      engines: [{ kind: 'shoal', checkout: '../x' }],
    });
  });

  it.each([
    ['--link', 'wire'],
    ['--engine', 'webtorrent'],
    ['--piece-length', '100KiB'],
    ['--piece-length', '8MiB'],
    ['x'],
  ])('refuses %s %s', (...args) => {
    expect(() => parsePairOptions(args)).toThrow(BenchUsageError);
  });
});
