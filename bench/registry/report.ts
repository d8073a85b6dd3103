import type { ResultHead } from '../lib/result-file.ts';
import { known, median } from '../lib/statistics.ts';
import { formatSize } from '../lib/units.ts';
import { type CaseName, type Goal, type Metric, registryCases } from './cases.ts';
import type { Figures } from './measurement.ts';

/** One run of one variant on one engine. */
export interface RegistryRun extends Figures {
  readonly case: CaseName;
  readonly variant: string;
  readonly engine: string;
  readonly round: number;
}

/** The figures of one variant on one engine: medians of the rounds. */
export interface RegistryRow {
  readonly case: CaseName;
  readonly variant: string;
  readonly engine: string;
  readonly rounds: number;
  readonly metric: Metric;
  readonly value: number;
  readonly p99Ms?: number;
  readonly steadyMemoryBytes?: number;
  readonly cpuMicrosecondsPerRequest?: number;
  readonly cpuSecondsPerGib?: number;
  readonly serverCpuSeconds: number;
  readonly loadCpuSeconds: number;
  /** Rounds in which other programs took more than a tenth of the machine. */
  readonly busyRounds: number;
  /** To distribution's figure of the same round, the median. Missing without distribution, and of distribution itself. */
  readonly ratio?: number;
  /** For Shoal only. */
  readonly goal?: Goal;
  /** Missing when there is nothing to judge. */
  readonly met?: boolean;
}

/** The whole result of a bench, as it is written. */
export interface RegistryResult extends ResultHead {
  /** Of the programs that were measured, or made the load. */
  readonly versions: Readonly<Record<string, string>>;
  readonly sizeBytes: number;
  readonly rows: readonly RegistryRow[];
  readonly runs: readonly RegistryRun[];
}

const BASELINE = 'distribution';

/** Medians by case, variant and engine, judged. */
export function rowsOf(runs: readonly RegistryRun[]): RegistryRow[] {
  const keys = new Map(runs.map((run) => [`${run.case}\n${run.variant}\n${run.engine}`, run]));
  return [...keys.values()].map((like) => rowOf(like, runs));
}

function rowOf(like: RegistryRun, runs: readonly RegistryRun[]): RegistryRow {
  const { case: name, variant, engine } = like;
  const { metric, goal } = registryCases[name];
  const of = (which: string) =>
    runs.filter((run) => run.case === name && run.variant === variant && run.engine === which);
  const own = of(engine);
  const others = new Map(of(BASELINE).map((run) => [run.round, run[metric]]));
  const ratios = own.map((run) => quotient(run[metric], others.get(run.round)));
  const value = median(known(own.map((run) => run[metric]))) ?? 0;
  const ratio = engine === BASELINE ? undefined : median(known(ratios));
  const medianOf = (figure: (run: RegistryRun) => number | undefined) => median(known(own.map(figure)));
  const judged = engine === BASELINE ? {} : judge(goal, { value, ratio });
  return {
    case: name,
    variant,
    engine,
    rounds: own.length,
    metric,
    value,
    ...defined(
      'p99Ms',
      medianOf(({ p99Ms }) => p99Ms),
    ),
    ...defined(
      'steadyMemoryBytes',
      medianOf(({ steadyMemoryBytes }) => steadyMemoryBytes),
    ),
    ...defined(
      'cpuMicrosecondsPerRequest',
      medianOf(({ cpuMicrosecondsPerRequest }) => cpuMicrosecondsPerRequest),
    ),
    ...defined(
      'cpuSecondsPerGib',
      medianOf(({ cpuSecondsPerGib }) => cpuSecondsPerGib),
    ),
    serverCpuSeconds: medianOf(({ meter }) => meter.serverCpuSeconds) ?? 0,
    loadCpuSeconds: medianOf(({ meter }) => meter.loadCpuSeconds) ?? 0,
    busyRounds: own.filter(({ meter }) => meter.machineBusy).length,
    ...defined('ratio', ratio),
    ...judged,
  };
}

function judge(
  goal: Goal,
  { value, ratio }: { readonly value: number; readonly ratio: number | undefined },
): Pick<RegistryRow, 'goal' | 'met'> {
  if (goal.kind === 'bytes') return { goal, met: value <= goal.atMost };
  return ratio === undefined ? { goal } : { goal, met: ratio >= goal.atLeast };
}

function quotient(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined || b === 0 ? undefined : a / b;
}

function defined<Name extends string>(name: Name, value: number | undefined): { [N in Name]?: number } {
  return (value === undefined ? {} : { [name]: value }) as { [N in Name]?: number };
}

/** One line about one run, while others are still to come. */
export function describeRegistryRun(run: RegistryRun): string {
  const { metric } = registryCases[run.case];
  const { serverCpuSeconds, loadCpuSeconds, otherCpu, machineBusy } = run.meter;
  const cpu = `server ${serverCpuSeconds.toFixed(2)} CPU s, load ${loadCpuSeconds.toFixed(2)}, others ${percent(otherCpu)}`;
  const what = `${run.case}, ${run.variant}, ${run.engine}, round ${run.round + 1}`;
  return `${what}: ${formatFigure(metric, run[metric] ?? 0)}, ${cpu}${machineBusy ? ' [MACHINE BUSY]' : ''}`;
}

/** The result for people. */
export function describeRegistryResult({ machine, rows, sizeBytes }: RegistryResult): string {
  const names = [...new Set(rows.map((row) => row.case))];
  const lines = names.flatMap((name) => {
    const { title, goal } = registryCases[name];
    return [
      '',
      `${name}: ${title}; goal ${formatGoal(goal)}`,
      ...rows.filter((row) => row.case === name).map(describeRow),
    ];
  });
  return [
    `${machine.cpu}, ${machine.cores} cores, Node ${machine.node}; large blob ${formatSize(sizeBytes)}`,
    `servers and load share the ${machine.cores} cores: a server that uses several slows the load down, and itself`,
    ...lines,
  ].join('\n');
}

function describeRow(row: RegistryRow): string {
  const { variant, engine, metric, value, ratio, met, rounds, busyRounds } = row;
  const details = [
    formatFigure(metric, value),
    ...(ratio === undefined ? [] : [`${ratio.toFixed(2)} × ${BASELINE}`]),
    ...(met === undefined ? [] : [met ? 'met' : 'MISSED']),
    ...(row.p99Ms === undefined ? [] : [`p99 ${row.p99Ms.toFixed(1)} ms`]),
    ...(row.steadyMemoryBytes === undefined ? [] : [`steady ${megabytes(row.steadyMemoryBytes)}`]),
    ...(row.cpuMicrosecondsPerRequest === undefined
      ? []
      : [`${row.cpuMicrosecondsPerRequest.toFixed(0)} µs of CPU a request`]),
    ...(row.cpuSecondsPerGib === undefined ? [] : [`${row.cpuSecondsPerGib.toFixed(2)} CPU s/GiB`]),
    `CPU s of server ${row.serverCpuSeconds.toFixed(2)}, of load ${row.loadCpuSeconds.toFixed(2)}`,
    ...(busyRounds === 0 ? [] : [`MACHINE BUSY in ${busyRounds} of ${rounds} rounds`]),
  ];
  return `  ${variant}, ${engine}: ${details.join(', ')}`;
}

function formatFigure(metric: Metric, value: number): string {
  if (metric === 'requestsPerSecond') return `${value.toFixed(0)} requests/s`;
  if (metric === 'megabytesPerSecond') return `${value.toFixed(0)} MB/s`;
  return `peak ${megabytes(value)}`;
}

function formatGoal(goal: Goal): string {
  return goal.kind === 'ratio' ? `${goal.atLeast} × ${BASELINE}` : `${megabytes(goal.atMost)} at most`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}
