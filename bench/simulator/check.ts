/** Compares results of `bench:swarm` with simulations of the same topologies. See docs/simulator.md. */
import { readFile } from 'node:fs/promises';
import { BenchUsageError } from '../lib/errors.ts';
import { progress, runBench } from '../lib/run-bench.ts';
import { known, median, quantile } from '../lib/statistics.ts';
import type { SwarmRun } from '../swarm/run.ts';
import type { SwarmSettings } from '../swarm/settings.ts';
import { parseOptions, type SimulationOptions } from './options.ts';
import { reportOf } from './report.ts';
import { Simulation } from './simulation.ts';

/** How far a simulation may be from what was measured. */
const LIMIT = 0.1;
/** Single simulations differ as single runs do: the median of so many is compared. */
const SEEDS = 5;

/** What is compared of one topology. */
export interface CheckedFigures {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly copies: number;
}

/** Of one topology both, and by how much the simulation differs, as a share of what was measured. */
export interface Check {
  readonly settings: SwarmSettings;
  readonly measured: CheckedFigures;
  readonly simulated: CheckedFigures;
  readonly difference: CheckedFigures;
}

/** The command line that simulates what the bench measured; its links are shaped on the wire. @throws BenchUsageError */
export function optionsFor(settings: SwarmSettings, extra: readonly string[] = []): SimulationOptions {
  if (settings.rate === undefined) throw new BenchUsageError('links without a rate cannot be simulated');
  const { hosts, origins, sizeBytes, warm, rate, originRate, degree, slow, kill, arrivalsSeconds } = settings;
  const flags: Record<string, string | undefined> = {
    hosts: String(hosts),
    origins: String(origins),
    blobs: `${sizeBytes}B`,
    warm: String(warm),
    rate: `${rate}bit`,
    'header-share': '0.044',
    latency: '0.1',
    arrivals: arrivalsSeconds === undefined ? 'jitter:5ms' : `even:${arrivalsSeconds}s`,
    'origin-rate': originRate === undefined ? undefined : `${originRate}bit`,
    degree: degree === undefined ? undefined : String(degree),
    slow: slow === undefined ? undefined : `1:${slow.rate}bit`,
    kill: kill === undefined ? undefined : `${kill.share}@${kill.at}`,
  };
  const given = Object.entries(flags).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, value]));
  return parseOptions([...given, ...extra]).simulation;
}

/** Simulates a topology several times and compares the medians with those of the runs. */
export function checkOf(settings: SwarmSettings, runs: readonly SwarmRun[], extra: readonly string[] = []): Check {
  const measured = mediansOf(
    runs.map(({ hosts, copies }) => {
      const times = known(hosts.filter(({ judged }) => judged).map(({ lastByteMs }) => lastByteMs));
      return { p50Ms: quantile(times, 0.5)!, p99Ms: quantile(times, 0.99)!, copies };
    }),
  );
  const simulated = mediansOf(
    Array.from({ length: SEEDS }, (_, index) => {
      const simulation = new Simulation({ ...optionsFor(settings, extra), seed: index + 1 });
      simulation.run();
      const { completionMs, originCopies } = reportOf(simulation, {
        wallSeconds: 0,
        cpuSeconds: 0,
        peakMemoryBytes: 0,
      });
      return { p50Ms: completionMs?.p50 ?? Number.NaN, p99Ms: completionMs?.p99 ?? Number.NaN, copies: originCopies };
    }),
  );
  const difference = {
    p50Ms: simulated.p50Ms / measured.p50Ms - 1,
    p99Ms: simulated.p99Ms / measured.p99Ms - 1,
    copies: simulated.copies / measured.copies - 1,
  };
  return { settings, measured, simulated, difference };
}

/** Whether every figure is within the limit. */
export function isWithinLimit({ difference }: Check): boolean {
  return Object.values(difference).every((value: number) => Math.abs(value) <= LIMIT);
}

function mediansOf(figures: readonly CheckedFigures[]): CheckedFigures {
  const of = (name: keyof CheckedFigures) => median(figures.map((figure) => figure[name])) ?? Number.NaN;
  return { p50Ms: of('p50Ms'), p99Ms: of('p99Ms'), copies: of('copies') };
}

async function main(): Promise<number> {
  const words = process.argv.slice(2);
  const split = words.indexOf('--');
  const files = split < 0 ? words : words.slice(0, split);
  const extra = split < 0 ? [] : words.slice(split + 1);
  if (files.length === 0 || files.includes('--help')) {
    progress('node bench/simulator/check.ts RESULT.json… [-- options of the simulator]');
    return 2;
  }
  let within = true;
  for (const [settings, runs] of await topologiesOf(files)) {
    const check = checkOf(settings, runs, extra);
    console.log(describeCheck(check));
    within &&= isWithinLimit(check);
  }
  return within ? 0 : 1;
}

/** Runs of our own engine, by topology; unshaped ones are left out. */
async function topologiesOf(files: readonly string[]): Promise<[SwarmSettings, SwarmRun[]][]> {
  const topologies = new Map<string, [SwarmSettings, SwarmRun[]]>();
  for (const file of files) {
    const { runs } = JSON.parse(await readFile(file, 'utf8')) as { runs?: SwarmRun[] };
    if (runs === undefined) throw new BenchUsageError(`${file} holds no runs: expected a result of bench:swarm`);
    for (const run of runs) {
      if (!run.engine.startsWith('shoal') || run.settings.rate === undefined) continue;
      const key = JSON.stringify(run.settings);
      const known = topologies.get(key);
      if (known === undefined) topologies.set(key, [run.settings, [run]]);
      else known[1].push(run);
    }
  }
  return [...topologies.values()];
}

function describeCheck(check: Check): string {
  const { measured, simulated, difference } = check;
  const row = (name: string, figure: keyof CheckedFigures, format: (value: number) => string) => {
    const percent = `${difference[figure] >= 0 ? '+' : ''}${(100 * difference[figure]).toFixed(1)} %`;
    return `  ${name.padEnd(8)} ${format(measured[figure]).padStart(10)} ${format(simulated[figure]).padStart(10)} ${percent.padStart(9)}`;
  };
  const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;
  return [
    `${JSON.stringify(check.settings)}: ${isWithinLimit(check) ? 'within 10 %' : 'NOT within 10 %'}`,
    `  ${''.padEnd(8)} ${'measured'.padStart(10)} ${'simulated'.padStart(10)}`,
    row('p50', 'p50Ms', seconds),
    row('p99', 'p99Ms', seconds),
    row('copies', 'copies', (value) => value.toFixed(3)),
  ].join('\n');
}

if (import.meta.main) process.exitCode = await runBench(main);
