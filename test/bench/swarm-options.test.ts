import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BenchUsageError } from '../../bench/lib/errors.ts';
import { swarmCases } from '../../bench/swarm/cases.ts';
import { parseEngine, parseKill, parseSlow, parseSwarmOptions, parseWarmUp } from '../../bench/swarm/options.ts';
import { planOf } from '../../bench/swarm/plan.ts';
import { dialPlan } from '../../bench/swarm/random-graph.ts';
import {
  checkSettings,
  defaultSettings,
  killedHosts,
  measuredHosts,
  sampleIntervalMs,
  startOffsetMs,
  warmHosts,
} from '../../bench/swarm/settings.ts';
import { overridden, parseOverride } from '../../bench/swarm/shoal-config.ts';

const parse = (line: string) => parseSwarmOptions(line.split(' ').filter((word) => word !== ''))!;

describe('the command line of bench:swarm', () => {
  it('takes every part of the swarm', () => {
    const line =
      '--hosts 6 --rate none --size 1MiB --origins 2 --origin-rate 1gbit --degree 4 --slow 1:5mbit --arrivals 3 --warm 1';
    expect(parse(line).settings).toEqual({
      hosts: 6,
      rate: undefined,
      sizeBytes: 2 ** 20,
      origins: 2,
      originRate: 1e9,
      degree: 4,
      slow: { host: 1, rate: 5e6 },
      arrivalsSeconds: 3,
      warm: 1,
    });
  });

  it('says nothing of what is not asked for', () => {
    expect(parse('')).toEqual({
      cases: [],
      settings: {},
      engines: [{ kind: 'shoal' }],
      runs: 1,
      overrides: [],
      json: false,
      cleanup: false,
    });
  });

  it('collects settings of roles and engines', () => {
    const options = parse(
      '--config agent.swarm.wantedPeers=12 --config tracker.host=a=b --engine shoal,libtorrent,shoal:../x',
    );
    expect(options.overrides).toEqual([
      { role: 'agent', path: ['swarm', 'wantedPeers'], value: 12 },
      { role: 'tracker', path: ['host'], value: 'a=b' },
    ]);
    expect(options.engines).toEqual([{ kind: 'shoal' }, { kind: 'libtorrent' }, { kind: 'shoal', checkout: '../x' }]);
  });

  it.each([
    '--hosts 0',
    '--hosts x',
    '--rate 50',
    '--size big',
    '--case nine',
    '--case eight,nine',
    '--engine aria2',
    '--engine shoal:',
    '--kill 0.5',
    '--kill 2@0.5',
    '--kill 1@0.5',
    '--kill 1/3@0.5 --rate none',
    '--slow 9:5mbit',
    '--slow 5mbit',
    '--warm 8',
    '--hosts 1 --slow 0:5mbit',
    '--runs 0',
    '--config wantedPeers=1',
    '--config agent.swarm',
    '--no-such-option',
    'surplus',
  ])('refuses %s', (line) => {
    expect(() => parse(line)).toThrow(BenchUsageError);
  });

  it.each(['9:', ':5mbit', '1:2:3', '1'])('takes %j for no slow host', (text) => {
    expect(() => parseSlow(text)).toThrow(BenchUsageError);
  });

  it.each(['@', '1/3', '1/3@0.5@1', 'x@y'])('takes %j for nothing to kill', (text) => {
    expect(() => parseKill(text)).toThrow(BenchUsageError);
  });

  it.each(['', 'Shoal', 'shoal/', 'torrent'])('takes %j for no engine', (text) => {
    expect(() => parseEngine(text)).toThrow(BenchUsageError);
  });
});

describe('the plan', () => {
  it('reads how many blobs are pulled before the clock starts', () => {
    expect(parseWarmUp('32MiB')).toEqual({ blobs: 1, bytes: 32 * 2 ** 20 });
    expect(parseWarmUp('8x1kB')).toEqual({ blobs: 8, bytes: 1000 });
    expect(parseWarmUp('none').blobs).toBe(0);
    for (const wrong of ['0x1MiB', '2x', 'x1MiB', '2x3x1MiB', 'some']) expect(() => parseWarmUp(wrong)).toThrow();
  });

  it('asks an agent how far it is some forty times, and never more often than every 250 ms', () => {
    expect(sampleIntervalMs(defaultSettings)).toBeCloseTo(268, 0);
    expect(sampleIntervalMs({ ...defaultSettings, rate: 20e6 })).toBeCloseTo(671, 0);
    expect(sampleIntervalMs({ ...defaultSettings, rate: undefined })).toBe(250);
  });

  it('has every named case, and each different swarm once', () => {
    const plan = planOf(parse('--case all'));
    expect(plan.cases.map(({ name }) => name)).toEqual(Object.keys(swarmCases));
    // `eight` and `streaming` are one swarm, which is the baseline of `slow` and `kill` too.
    expect(plan.settings).toHaveLength(plan.cases.length - 1);
  });

  it('puts the command line over the cases and their baselines', () => {
    const plan = planOf(parse('--case slow --size 1MiB'));
    expect(plan.settings.map(({ sizeBytes }) => sizeBytes)).toEqual([2 ** 20, 2 ** 20]);
    expect(plan.cases[0]!.baseline).toEqual({ ...defaultSettings, sizeBytes: 2 ** 20 });
  });

  it('refuses a case that the command line makes impossible', () => {
    expect(() => planOf(parse('--case slow --hosts 2'))).toThrow(BenchUsageError);
  });
});

describe('the hosts of a swarm', () => {
  const settings = fc.record({
    hosts: fc.integer({ min: 2, max: 40 }),
    warm: fc.integer({ min: 0, max: 3 }),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    slow: fc.option(fc.nat({ max: 39 }), { nil: undefined }),
  });

  it('are warm, killed, slow or measured, each one thing', () => {
    fc.assert(
      fc.property(settings, ({ hosts, warm, share, slow }) => {
        const asked = {
          ...defaultSettings,
          hosts,
          warm,
          kill: { share, at: 0.5 },
          ...(slow === undefined ? {} : { slow: { host: slow, rate: 1e6 } }),
        };
        try {
          checkSettings(asked);
        } catch {
          return; // What does not go together is not run.
        }
        const all = [
          ...warmHosts(asked),
          ...killedHosts(asked),
          ...measuredHosts(asked),
          ...(slow === undefined ? [] : [slow]),
        ];
        expect(all.toSorted((a, b) => a - b)).toEqual(Array.from({ length: hosts }, (_, host) => host));
      }),
    );
  });

  it('begin evenly spread, the last one at the end', () => {
    const late = { ...defaultSettings, hosts: 4, warm: 1, arrivalsSeconds: 10 };
    expect([1, 2, 3].map((host) => startOffsetMs(late, host))).toEqual([0, 5_000, 10_000]);
    expect(startOffsetMs(defaultSettings, 5)).toBe(0);
    expect(startOffsetMs({ ...late, hosts: 2 }, 1)).toBe(0);
  });

  it('lose a third of eight when two are killed', () => {
    expect(killedHosts({ ...defaultSettings, kill: { share: 1 / 3, at: 0.5 } })).toEqual([6, 7]);
  });
});

describe('who dials whom', () => {
  it('joins every two once in a full mesh', () => {
    const plan = dialPlan({ hosts: ['a', 'b', 'c'], seeders: ['s'], random: Math.random });
    expect(plan).toEqual([['s'], ['s', 'a'], ['s', 'a', 'b']]);
  });

  it('keeps to the degree, never joins two twice, never dials itself', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 30 }),
        fc.integer({ min: 1, max: 12 }),
        fc.infiniteStream(fc.nat({ max: 999 })),
        (count, degree, stream) => {
          const hosts = Array.from({ length: count }, (_, index) => `host${index}`);
          const random = () => (stream.next().value as number) / 1000;
          const plan = dialPlan({ hosts, seeders: ['seeder'], degree, random });
          const edges = plan.flatMap((peers, index) => peers.map((peer) => [hosts[index]!, peer].toSorted().join(' ')));
          expect(new Set(edges).size).toBe(edges.length);
          plan.forEach((peers, index) => {
            expect(peers).not.toContain(hosts[index]);
            expect(peers.filter((peer) => peer !== 'seeder').length).toBeLessThanOrEqual(Math.ceil(degree / 2));
          });
          expect(plan.filter((peers) => peers.includes('seeder'))).toHaveLength(Math.min(degree, count));
        },
      ),
    );
  });
});

describe('settings of roles', () => {
  it('go over the configuration of their role, and make sections that are missing', () => {
    const overrides = ['agent.swarm.wantedPeers=3', 'agent.transfer.maxResumes=1', 'origin.swarm.port=1'].map(
      parseOverride,
    );
    const config = { swarm: { host: 'a', wantedPeers: 9 } };
    expect(overridden('agent', config, overrides)).toEqual({
      swarm: { host: 'a', wantedPeers: 3 },
      transfer: { maxResumes: 1 },
    });
    expect(config.swarm.wantedPeers).toBe(9);
    expect(overridden('proxy', config, overrides)).toEqual(config);
  });

  it.each(['', 'agent', 'agent=1', 'agent.=1', 'client.swarm.port=1', 'agent.swarm.__proto__=1'])(
    'refuse %j',
    (text) => {
      expect(() => parseOverride(text)).toThrow(BenchUsageError);
    },
  );
});
