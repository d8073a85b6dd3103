import { describe, expect, it } from 'vitest';
import { gatherCrowd, type Member, reach } from './virtual-crowd.ts';

const isAgent = ({ peer }: Member) => !peer.origin;
const degrees = (agents: readonly Member[]) => agents.map(({ wires }) => wires.size);
const mean = (numbers: readonly number[]) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;

describe('the graph of a crowd that dials what it is handed', () => {
  it.each([
    {
      name: 'that arrives in five seconds, nobody with pieces',
      agents: 2_000,
      origins: 2,
      arrivalMs: 5_000,
      eighthMs: 1e9,
    },
    { name: 'that arrives at one moment', agents: 2_000, origins: 2, arrivalMs: 0, eighthMs: 2_000 },
    { name: 'with one origin', agents: 2_000, origins: 1, arrivalMs: 5_000, eighthMs: 2_000 },
    { name: 'that comes one after the other', agents: 2_000, origins: 3, arrivalMs: 40_000, eighthMs: 2_000 },
    { name: 'of 15,000', agents: 15_000, origins: 5, arrivalMs: 5_000, eighthMs: 1_500 },
  ])('is connected, of bounded degree and small, $name', { timeout: 60_000 }, (options) => {
    const { agents, origins } = gatherCrowd(options);
    // Agents alone hang together, whatever becomes of the origins.
    const { count, hops } = reach(agents[0]!, isAgent);
    expect(count).toBe(options.agents);
    expect(hops).toBeLessThanOrEqual(8);
    expect(Math.min(...degrees(agents))).toBeGreaterThanOrEqual(4);
    expect(Math.max(...degrees(agents))).toBeLessThanOrEqual(16);
    expect(mean(degrees(agents))).toBeGreaterThan(9);
    expect(mean(degrees(agents))).toBeLessThan(15);
    // Sixty are meant; those that came while the swarm was small have their wires too.
    for (const { wires } of origins) {
      expect(wires.size).toBeGreaterThan(30);
      expect(wires.size).toBeLessThan(250);
    }
  });

  it('gives everyone an origin while they are few', () => {
    const { agents } = gatherCrowd({ agents: 24, origins: 1, arrivalMs: 0, eighthMs: 1_000 });
    for (const { wires } of agents) expect([...wires].some(({ peer }) => peer.origin)).toBe(true);
  });

  it('does not send the crowd to the same few agents', () => {
    const { agents } = gatherCrowd({ agents: 2_000, origins: 2, arrivalMs: 5_000, eighthMs: 2_000 });
    const dialled = agents.map((agent) => agent.dialled);
    expect(Math.max(...dialled)).toBeLessThan(10 * mean(dialled));
  });

  it('keeps half of what is handed out within a zone, and no zone for itself', () => {
    const zones = ['a', 'b', 'c', 'd'];
    const { agents, handed } = gatherCrowd({ agents: 2_000, origins: 2, arrivalMs: 5_000, eighthMs: 2_000, zones });
    const toAgents = handed.filter(([, peer]) => !peer.origin);
    for (const zone of zones) {
      const own = toAgents.filter(([asker]) => asker.peer.zone === zone);
      const near = own.filter(([, peer]) => peer.zone === zone).length / own.length;
      expect(near).toBeGreaterThan(0.45);
      expect(near).toBeLessThan(0.55);
    }
    expect(reach(agents[0]!, isAgent).count).toBe(2_000);
    for (const { peer, wires } of agents) {
      expect([...wires].some((other) => isAgent(other) && other.peer.zone !== peer.zone)).toBe(true);
    }
  });

  it('cuts off neither a zone of ten among two thousand nor the others', () => {
    const zones = [...new Array<string>(199).fill('large'), 'small'];
    const { agents } = gatherCrowd({ agents: 2_000, origins: 2, arrivalMs: 5_000, eighthMs: 2_000, zones });
    expect(reach(agents[0]!, isAgent).count).toBe(2_000);
    expect(Math.min(...degrees(agents))).toBeGreaterThanOrEqual(4);
    const small = agents.filter(({ peer }) => peer.zone === 'small');
    for (const { wires } of small) expect([...wires].some(({ peer }) => peer.zone === 'large')).toBe(true);
    // They are not dialled more than the others: there are few of them, but few that prefer them, too.
    expect(mean(small.map(({ dialled }) => dialled))).toBeLessThan(3 * mean(agents.map(({ dialled }) => dialled)));
  });
});
