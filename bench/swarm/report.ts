import type { ResultHead } from '../lib/result-file.ts';
import { formatRate, formatSize } from '../lib/units.ts';
import { type Goal, isMet } from './cases.ts';
import { type PlannedCase, type SwarmPlan, settingsKey } from './plan.ts';
import type { SwarmRun } from './run.ts';
import { killedHosts, type SwarmSettings } from './settings.ts';
import { mediansOf, type RunSummary, summarize } from './summary.ts';

/** One goal of a case with what was measured. */
export interface JudgedGoal extends Goal {
  readonly measured?: number;
  /** Missing when there is no figure. */
  readonly met?: boolean;
}

/** One case on one engine: medians over its rounds. */
export interface CaseResult {
  readonly case: string;
  readonly title: string;
  readonly engine: string;
  readonly rounds: readonly RunSummary[];
  readonly medians: RunSummary;
  /** Some round used more than 90 % of the machine. */
  readonly cpuBound: boolean;
  /** For Shoal only. */
  readonly goals: readonly JudgedGoal[];
  /** Time of the slowest host on this engine ÷ that on the first engine, round by round, and the median. */
  readonly timeToFirstEngine?: number;
}

/** The whole result of a bench, as it is written. */
export interface SwarmResult extends ResultHead {
  readonly cases: readonly CaseResult[];
  readonly runs: readonly SwarmRun[];
}

/** Figures by case and engine. */
export function casesOf(plan: SwarmPlan, runs: readonly SwarmRun[]): CaseResult[] {
  const engines = [...new Set(runs.map(({ engine }) => engine))];
  return plan.cases.flatMap((planned) => {
    const first = engines[0] === undefined ? [] : summariesOf(planned, engines[0], runs);
    return engines.map((engine) => caseResult(planned, engine, runs, first));
  });
}

function caseResult(
  planned: PlannedCase,
  engine: string,
  runs: readonly SwarmRun[],
  first: readonly RunSummary[],
): CaseResult {
  const rounds = summariesOf(planned, engine, runs);
  const medians = mediansOf(rounds);
  const goals = engine.startsWith('shoal') ? planned.goals : [];
  const ratios = rounds.map((round, index) => ({ lastByteMs: ratio(round.lastByteMs, first[index]?.lastByteMs) }));
  const timeToFirstEngine = mediansOf(ratios.map(({ lastByteMs }) => (lastByteMs === undefined ? {} : { lastByteMs })));
  return {
    case: planned.name,
    title: planned.title,
    engine,
    rounds,
    medians,
    cpuBound: runsOf(planned, engine, runs).some(({ cpuBound }) => cpuBound),
    goals: goals.map((goal) => judge(goal, medians[goal.metric])),
    ...(timeToFirstEngine.lastByteMs === undefined ? {} : { timeToFirstEngine: timeToFirstEngine.lastByteMs }),
  };
}

function judge(goal: Goal, measured: number | undefined): JudgedGoal {
  const met = isMet(goal, measured);
  return { ...goal, ...(measured === undefined ? {} : { measured }), ...(met === undefined ? {} : { met }) };
}

function summariesOf(planned: PlannedCase, engine: string, runs: readonly SwarmRun[]): RunSummary[] {
  return runsOf(planned, engine, runs).map((run) => {
    if (planned.baseline === undefined) return summarize(run);
    const key = settingsKey(planned.baseline);
    const isBaseline = (other: SwarmRun) =>
      other.engine === engine && other.round === run.round && settingsKey(other.settings) === key;
    return summarize(run, runs.find(isBaseline));
  });
}

function runsOf(planned: PlannedCase, engine: string, runs: readonly SwarmRun[]): SwarmRun[] {
  const key = settingsKey(planned.settings);
  return runs.filter((run) => run.engine === engine && settingsKey(run.settings) === key);
}

function ratio(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a / b;
}

/** One line about one run, while others are still to come. */
export function describeRun(run: SwarmRun): string {
  const summary = summarize(run);
  const what = `${run.engine}, ${describeSettings(run.settings)}, round ${run.round + 1}`;
  const faults = run.hosts.filter(({ status }) => status === 'failed' || status === 'unfinished');
  const said = faults.map(({ host, status, error, judged }) => {
    return `\n  host${host} ${status}${judged ? '' : ' (not judged)'}${error === undefined ? '' : `: ${error}`}`;
  });
  return `${what}: ${figures(summary)}${run.cpuBound ? ' [CPU-bound]' : ''}${said.join('')}`;
}

function describeSettings(settings: SwarmSettings): string {
  const { hosts, rate, sizeBytes, origins, originRate, degree, slow, kill, arrivalsSeconds, warm } = settings;
  return [
    `${hosts} hosts`,
    formatRate(rate),
    formatSize(sizeBytes),
    ...(origins > 1 ? [`${origins} origins`] : []),
    ...(originRate === undefined ? [] : [`origins at ${formatRate(originRate)}`]),
    ...(degree === undefined ? [] : [`degree ${degree}`]),
    ...(slow === undefined ? [] : [`host${slow.host} at ${formatRate(slow.rate)}`]),
    ...(kill === undefined ? [] : [`${killedHosts(settings).length} killed`]),
    ...(arrivalsSeconds === undefined ? [] : [`arriving over ${arrivalsSeconds.toFixed(1)} s`]),
    ...(warm > 0 ? [`${warm} warm`] : []),
  ].join(', ');
}

/** The result for people. */
export function describeCases(cases: readonly CaseResult[]): string {
  const lines = cases.flatMap((result) => {
    const rounds = result.rounds.length > 1 ? `, median of ${result.rounds.length}` : '';
    const compared = result.timeToFirstEngine;
    return [
      '',
      `${result.case} on ${result.engine}${rounds}${result.cpuBound ? ' [CPU-bound]' : ''}: ${result.title}`,
      `  ${figures(result.medians)}`,
      ...(compared === undefined || compared === 1
        ? []
        : [`  time ÷ time of the first engine: ${compared.toFixed(2)}`]),
      ...result.goals.map((goal) => `  ${describeGoal(goal)}`),
    ];
  });
  return lines.join('\n').trimStart();
}

function describeGoal({ metric, atLeast, atMost, measured, met }: JudgedGoal): string {
  const wanted = atLeast === undefined ? `at most ${atMost}` : `at least ${atLeast}`;
  const verdict = met === undefined ? 'not measured' : met ? 'met' : 'MISSED';
  return `goal: ${metric} ${wanted}: ${measured === undefined ? '–' : Number(measured.toPrecision(4))} ${verdict}`;
}

const SHOWN: readonly [keyof RunSummary, string, (value: number) => string][] = [
  ['slowestShare', 'slowest', (value) => `${value.toFixed(3)} of line rate`],
  ['medianShare', 'median', (value) => value.toFixed(3)],
  ['firstByteMs', 'first byte', (value) => `${value.toFixed(0)} ms`],
  ['lastByteMs', 'last byte', (value) => `${(value / 1000).toFixed(3)} s`],
  ['prefixRatio', 'prefix ÷ downloaded', (value) => value.toFixed(2)],
  ['worstPrefixRatio', 'worst', (value) => value.toFixed(2)],
  ['copies', 'origin copies', (value) => value.toFixed(3)],
  ['wastedShare', 'wasted', (value) => `${(value * 100).toFixed(2)} %`],
  ['agentCpuSeconds', 'CPU an agent', (value) => `${value.toFixed(1)} s`],
  ['peakMemoryBytes', 'peak memory', formatSize],
  ['machineCpu', 'machine CPU', (value) => `${(value * 100).toFixed(0)} %`],
  ['ownCpu', 'own', (value) => `${(value * 100).toFixed(0)} %`],
  ['timeToBaseline', 'time ÷ undisturbed', (value) => value.toFixed(3)],
];

function figures(summary: RunSummary): string {
  const parts = SHOWN.flatMap(([name, label, format]) => {
    const value = summary[name];
    return value === undefined ? [] : [`${label} ${format(value)}`];
  });
  return summary.slowestShare === undefined && summary.lastByteMs === undefined
    ? ['not all finished', ...parts].join(', ')
    : parts.join(', ');
}
