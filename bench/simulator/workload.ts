import type { SimulationOptions } from './options.ts';

/** Agents on slow links: the first of those that download. */
export function slowHosts({ slow, warm, hosts }: SimulationOptions): number[] {
  return Array.from({ length: Math.min(slow?.count ?? 0, hosts - warm) }, (_, index) => warm + index);
}

/** Agents that are killed: the last ones, but no slow one. */
export function killedHosts(options: SimulationOptions): number[] {
  const { kill, hosts, warm, slow } = options;
  const first = warm + (slow?.count ?? 0);
  const count = Math.min(hosts - first, Math.floor((hosts - first) * (kill?.share ?? 0)));
  return Array.from({ length: count }, (_, index) => hosts - count + index);
}

/** When each agent that downloads is asked by its client, in ms, agent by agent. */
export function arrivalTimes(options: SimulationOptions, random: () => number): number[] {
  const { kind, overMs } = options.arrivals;
  const count = options.hosts - options.warm;
  if (kind === 'even') return Array.from({ length: count }, (_, index) => (index * overMs) / Math.max(1, count - 1));
  if (kind !== 'poisson') return Array.from({ length: count }, () => random() * overMs);
  let atMs = 0;
  return Array.from({ length: count }, () => (atMs -= (Math.log(1 - random()) * overMs) / count));
}
