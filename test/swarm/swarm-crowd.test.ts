import { describe, expect, it } from 'vitest';
import { VirtualCrowd } from './virtual-crowd.ts';
import { seededRandom } from './virtual-swarm.ts';

describe('a crowd of a thousand hosts that arrive within a second', () => {
  const crowd = new VirtualCrowd(5);
  const random = seededRandom(11);
  for (let origin = 0; origin < 3; origin++) crowd.join(0, { origin: true, eighths: 8, limits: { maxWires: 60 } });
  for (let host = 0; host < 1_000; host++) crowd.join(10 + 1_000 * random());
  const agents = crowd.hosts.filter((host) => !host.origin);
  crowd.run(4_000);

  it('becomes a connected graph of bounded degree, about ten', () => {
    const degrees = crowd.degrees(agents);
    expect(crowd.reachable()).toBe(1_000);
    expect(Math.min(...degrees)).toBeGreaterThanOrEqual(4);
    expect(Math.max(...degrees)).toBeLessThanOrEqual(16);
    const mean = degrees.reduce((sum, degree) => sum + degree, 0) / degrees.length;
    expect(mean).toBeGreaterThan(9);
    expect(mean).toBeLessThan(12.5);
    expect(Math.max(...crowd.degrees(crowd.hosts.slice(0, 3)))).toBeLessThanOrEqual(60);
  });

  it('asks the tracker little: two announces a host', () => {
    expect(crowd.announces).toBeLessThanOrEqual(2 * crowd.hosts.length);
  });

  it('finds room for one that comes late, when the others have settled and are further', () => {
    for (const host of agents) {
      host.eighths = 4;
      host.neighbourhood.became(4);
      host.wires.forEach((wire, slot) => {
        if (wire !== undefined) host.neighbourhood.wireHas(slot, crowd.hosts[wire.other]!.eighths);
      });
    }
    crowd.run(20_000);
    const late = crowd.join(20_000);
    crowd.run(20_500);
    expect(crowd.degrees([late])[0]).toBeGreaterThanOrEqual(4);
  });

  it('closes ranks when a third of it is killed', () => {
    for (const host of agents.filter((_, index) => index % 3 === 0)) crowd.kill(host);
    const living = agents.filter((host) => !host.dead);
    crowd.run(26_000);
    expect(crowd.reachable()).toBe(living.length + 1);
    expect(Math.min(...crowd.degrees(living))).toBeGreaterThanOrEqual(4);
    expect(Math.max(...crowd.degrees(living))).toBeLessThanOrEqual(16);
  });
});
