import type { ResultHead } from '../lib/result-file.ts';
import { mean, quantile } from '../lib/statistics.ts';
import { formatSize } from '../lib/units.ts';
import { floorMs, type SimulationOptions } from './options.ts';
import type { Simulation } from './simulation.ts';
import { killedHosts, slowHosts } from './workload.ts';

/** Quantiles of one measure over hosts. */
export interface Spread {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** What a run of the simulator showed. Times in ms, each host's from its own start. */
export interface SimulationReport {
  readonly options: SimulationOptions;
  /** Size ÷ rate: nobody can be faster. */
  readonly floorMs: number;
  /** Hosts whose link is the usual one and that were not killed. */
  readonly judged: number;
  readonly finished: number;
  readonly completionMs: Spread | undefined;
  /** Of the host at each quantile. */
  readonly lineShare: Spread | undefined;
  readonly slowCompletionMs: Spread | undefined;
  readonly firstByteMs: Spread | undefined;
  /** Prefix ÷ downloaded, mean over each host's samples: mean over hosts, and of the worst. */
  readonly prefix: { readonly mean: number; readonly worst: number } | undefined;
  /** Copies of all blobs that the origins sent. */
  readonly originCopies: number;
  /** Of all bytes that hosts received, those that they could not use. */
  readonly wastedShare: number;
  readonly announces: { readonly total: number; readonly peakPerSecond: number };
  /** Wires of a blob, at half of the floor. */
  readonly wires: { readonly agentMean: number; readonly agentLeast: number; readonly originMost: number } | undefined;
  readonly pieces: number;
  readonly haves: number;
  readonly events: number;
  readonly virtualSeconds: number;
  readonly cost: { readonly wallSeconds: number; readonly cpuSeconds: number; readonly peakMemoryBytes: number };
  /** Completion times in order, for the plot: all of them, or 2,000 evenly chosen. */
  readonly distributionMs: readonly number[];
}

/** The report with what every result begins with. */
export type SimulationResult = ResultHead & { readonly report: SimulationReport };

const MOST_POINTS = 2000;

/** Sums up a run that has ended. */
export function reportOf(simulation: Simulation, cost: SimulationReport['cost']): SimulationReport {
  const { fleet, options, links, exchange, trackers } = simulation;
  const slow = new Set(slowHosts(options));
  const killed = new Set(killedHosts(options));
  const agents = Array.from({ length: options.hosts - options.warm }, (_, index) => options.warm + index);
  const judged = agents.filter((host) => !slow.has(host) && !killed.has(host));
  const since = (times: Float64Array, hosts: readonly number[]) =>
    hosts.map((host) => times[host]! - fleet.startedAtMs[host]!).filter((time) => !Number.isNaN(time));
  const times = since(fleet.doneAtMs, judged).sort((a, b) => a - b);
  const completionMs = spreadOf(times);
  const floor = floorMs(options);
  const originBytes = links.sentBytes.subarray(fleet.agents).reduce((sum, bytes) => sum + bytes, 0);
  return {
    options,
    floorMs: floor,
    judged: judged.length,
    finished: times.length,
    completionMs,
    lineShare: completionMs === undefined ? undefined : inverse(completionMs, floor),
    slowCompletionMs: spreadOf(since(fleet.doneAtMs, [...slow])),
    firstByteMs: spreadOf(since(fleet.firstByteAtMs, judged)),
    prefix: options.stream ? prefixOf(simulation, judged) : undefined,
    originCopies: originBytes / (options.blobs * options.blobBytes),
    wastedShare: exchange.arrivedBytes === 0 ? 0 : exchange.wastedBytes / exchange.arrivedBytes,
    announces: {
      total: trackers.announces.reduce((sum, count) => sum + count, 0),
      peakPerSecond: trackers.announces.reduce((most, count) => Math.max(most, count), 0),
    },
    wires: wiresOf(simulation),
    pieces: fleet.pieces,
    haves: exchange.haves,
    events: simulation.events,
    virtualSeconds: simulation.nowMs / 1000,
    cost,
    distributionMs: thinned(times),
  };
}

/** The report for people. */
export function describeReport(report: SimulationReport): string {
  const { options, completionMs, lineShare, firstByteMs, prefix, announces, wires, cost } = report;
  const rate = `${Number((options.rate / 1e6).toPrecision(4))} MB/s of payload`;
  const coarse = options.piecesScale === 1 ? '' : `, COARSER THAN PRODUCTION by ${options.piecesScale}`;
  const rows: [string, string][] = [
    ['hosts', `${options.hosts} agents, ${options.origins} origins, ${rate}`],
    [
      'blobs',
      `${options.blobs} of ${options.blobBytes / 1e6} MB, ${report.pieces} pieces of ${formatSize(options.pieceLength)}${coarse}`,
    ],
    ['floor', seconds(report.floorMs)],
    ['finished', `${report.finished} of ${report.judged}`],
  ];
  if (completionMs !== undefined) rows.push(['completion', spreadText(completionMs, seconds)]);
  if (lineShare !== undefined) rows.push(['share of line rate', spreadText(lineShare, (share) => share.toFixed(3))]);
  if (report.slowCompletionMs !== undefined) rows.push(['slow hosts', spreadText(report.slowCompletionMs, seconds)]);
  if (firstByteMs !== undefined) rows.push(['first byte', spreadText(firstByteMs, (ms) => `${ms.toFixed(0)} ms`)]);
  if (prefix !== undefined) {
    rows.push(['prefix ÷ downloaded', `mean ${prefix.mean.toFixed(3)}  worst host ${prefix.worst.toFixed(3)}`]);
  }
  rows.push(['copies from origins', report.originCopies.toFixed(3)]);
  rows.push(['received in vain', `${(100 * report.wastedShare).toFixed(2)} %`]);
  rows.push(['announces', `${announces.total}, ${announces.peakPerSecond} in the busiest second`]);
  if (wires !== undefined) {
    const { agentMean, agentLeast, originMost } = wires;
    rows.push(['wires of a blob', `agents ${agentMean.toFixed(1)} (least ${agentLeast}), origins up to ${originMost}`]);
  }
  rows.push(['simulated', `${report.virtualSeconds.toFixed(1)} s, ${report.events} events, ${report.haves} HAVEs`]);
  const memory = `${(cost.peakMemoryBytes / 1e6).toFixed(0)} MB`;
  rows.push([
    'cost',
    `${cost.wallSeconds.toFixed(1)} s of wall time, ${cost.cpuSeconds.toFixed(1)} s of CPU, ${memory}`,
  ]);
  return rows.map(([name, value]) => `${name.padEnd(20)} ${value}`).join('\n');
}

function spreadOf(times: readonly number[]): Spread | undefined {
  if (times.length === 0) return undefined;
  const at = (share: number) => quantile(times, share)!;
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
}

function inverse(spread: Spread, floor: number): Spread {
  const { p50, p99, p999, max } = spread;
  return { p50: floor / p50, p99: floor / p99, p999: floor / p999, max: floor / max };
}

function prefixOf({ fleet }: Simulation, hosts: readonly number[]): SimulationReport['prefix'] {
  const ratios: number[] = [];
  for (const host of hosts) {
    for (let node = host * fleet.blobs; node < (host + 1) * fleet.blobs; node++) {
      const samples = fleet.prefixSamples[node]!;
      if (samples > 0) ratios.push(fleet.prefixSum[node]! / samples);
    }
  }
  if (ratios.length === 0) return undefined;
  return { mean: mean(ratios)!, worst: ratios.reduce((a, b) => Math.min(a, b)) };
}

function wiresOf({ degrees }: Simulation): SimulationReport['wires'] {
  if (degrees.agents.length === 0) return undefined;
  return {
    agentMean: mean(degrees.agents)!,
    agentLeast: degrees.agents.reduce((a, b) => Math.min(a, b)),
    originMost: degrees.origins.reduce((a, b) => Math.max(a, b), 0),
  };
}

function thinned(times: readonly number[]): number[] {
  const step = Math.max(1, (times.length - 1) / (MOST_POINTS - 1));
  const points: number[] = [];
  for (let at = 0; at < times.length - 0.5; at += step) points.push(Math.round(times[Math.round(at)]!));
  return points;
}

function spreadText({ p50, p99, p999, max }: Spread, format: (value: number) => string): string {
  return `p50 ${format(p50)}  p99 ${format(p99)}  p99.9 ${format(p999)}  max ${format(max)}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
