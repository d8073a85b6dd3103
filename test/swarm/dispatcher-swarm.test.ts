import { describe, expect, it } from 'vitest';
import { type HostOptions, VirtualSwarm, type VirtualSwarmOptions } from './virtual-swarm.ts';

const origin: HostOptions = { origin: true, whole: true };

function leechers(count: number, options: HostOptions = {}): HostOptions[] {
  return Array.from({ length: count }, () => ({ ...options }));
}

/** 64 MiB in pieces of 64 KiB at 50 Mbit/s, unless told otherwise. */
function runSwarm(hosts: HostOptions[], options: Partial<VirtualSwarmOptions> = {}): VirtualSwarm {
  const swarm = new VirtualSwarm({ pieces: 1024, msPerPiece: 10.5, hosts, ...options });
  swarm.run(300_000);
  expect(swarm.leechers.map((host) => host.dispatcher.missing)).toEqual(swarm.leechers.map(() => 0));
  for (const host of swarm.leechers) {
    expect(host.duplicates / host.verified.length).toBeLessThan(0.01);
    expect(host.duplicatesOutsideEndgame).toBe(0);
  }
  return swarm;
}

function least(values: readonly number[]): number {
  return Math.min(...values);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

describe('a virtual swarm', () => {
  it.each([
    { what: 'for its own sake', streams: false },
    { what: 'while clients read', streams: true },
  ])(
    'of eight that begin at once comes in at line rate $what, in order, and the origin sends one copy',
    ({ streams }) => {
      const swarm = runSwarm([origin, ...leechers(8, { streams })]);
      expect(least(swarm.leechers.map((host) => host.lineShare))).toBeGreaterThan(0.95);
      expect(mean(swarm.leechers.map((host) => host.prefixShare))).toBeGreaterThan(0.9);
      expect(swarm.originCopies).toBeLessThan(1.03);
    },
  );

  it('comes in nearly as fast when the origin does not suggest pieces', () => {
    const swarm = runSwarm([origin, ...leechers(8)], { suggest: false });
    expect(least(swarm.leechers.map((host) => host.lineShare))).toBeGreaterThan(0.9);
    expect(swarm.originCopies).toBeLessThan(1.05);
  });

  it.each([1, 2, 3])('whose hosts arrive while others stream is fast for each, and in order (run %i)', (seed) => {
    const hosts = Array.from({ length: 8 }, (_, i) => ({ streams: true, joinsAtMs: i * 1_500 }));
    const swarm = runSwarm([origin, ...hosts], { seed });
    expect(least(swarm.leechers.map((host) => host.lineShare))).toBeGreaterThan(0.89);
    expect(least(swarm.leechers.map((host) => host.prefixShare))).toBeGreaterThan(0.7);
  });

  it('loses next to nothing when one host is ten times slower', () => {
    const usual = runSwarm([origin, ...leechers(8)]);
    const swarm = runSwarm([origin, ...leechers(7), { slower: 10 }]);
    const others = swarm.leechers.filter(({ options }) => options.slower === undefined);
    expect(Math.max(...others.map((host) => host.tookMs)) / usual.slowestMs).toBeLessThan(1.01);
  });

  it('goes on when a third of its hosts die at half time', () => {
    const usual = runSwarm([origin, ...leechers(9)]);
    const swarm = runSwarm([origin, ...leechers(6), ...leechers(3, { diesAtMs: usual.slowestMs / 2 })]);
    expect(swarm.slowestMs / usual.slowestMs).toBeLessThan(1.15);
  });

  it('of twenty-four with ten neighbours each comes in at line rate', () => {
    const swarm = runSwarm([origin, ...leechers(24, { streams: true })], { msPerPiece: 26, degree: 10 });
    expect(least(swarm.leechers.map((host) => host.lineShare))).toBeGreaterThan(0.9);
    expect(swarm.originCopies).toBeLessThan(1.05);
  });

  it('with two origins gets one copy from both together, in order', () => {
    const swarm = runSwarm([origin, { ...origin }, ...leechers(8, { streams: true })]);
    expect(least(swarm.leechers.map((host) => host.lineShare))).toBeGreaterThan(0.95);
    expect(mean(swarm.leechers.map((host) => host.prefixShare))).toBeGreaterThan(0.8);
    expect(swarm.originCopies).toBeLessThan(1.05);
    for (const host of swarm.origins) expect(host.sent / swarm.hosts[0]!.verified.length).toBeGreaterThan(0.4);
  });

  it('whose second origin dies gets the rest from the first', () => {
    const swarm = runSwarm([origin, { ...origin, diesAtMs: 3_000 }, ...leechers(4)]);
    expect(least(swarm.leechers.map((host) => host.lineShare))).toBeGreaterThan(0.8);
  });

  it.each([
    { from: 'an origin', seeder: origin },
    { from: 'an agent', seeder: { whole: true } },
  ])('of one host and $from 25 ms away fills the link', ({ seeder }) => {
    const swarm = runSwarm([seeder, {}], { pieces: 2_000, msPerPiece: 3, latencyMs: 25 });
    expect(swarm.leechers[0]!.lineShare).toBeGreaterThan(0.9);
    expect(swarm.hosts[0]!.sent).toBe(2_000);
  });
});
