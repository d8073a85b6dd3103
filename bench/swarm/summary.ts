import { greatest, known, least, mean, median } from '../lib/statistics.ts';
import type { SwarmRun } from './run.ts';

/** The figures of one run that are compared, or their medians over several runs. Missing: not measured, or not reached. */
export interface RunSummary {
  /** Share of its line rate that the slowest of the measured hosts reached. */
  readonly slowestShare?: number;
  readonly medianShare?: number;
  /** Of the host that waited longest. */
  readonly firstByteMs?: number;
  /** Of the host that took longest. */
  readonly lastByteMs?: number;
  /** Bytes read by the client ÷ bytes that its agent had, mean over the run: mean over hosts, and of the worst host. */
  readonly prefixRatio?: number;
  readonly worstPrefixRatio?: number;
  /** Copies of the blob that the origins sent. */
  readonly copies?: number;
  /** Bytes received for nothing ÷ size, of the worst host. */
  readonly wastedShare?: number;
  /** CPU seconds of an agent, mean. */
  readonly agentCpuSeconds?: number;
  /** CPU seconds of all origins. */
  readonly originCpuSeconds?: number;
  /** Of the agent that needed most. */
  readonly peakMemoryBytes?: number;
  /** The machine's cores in use, 0 to 1, whoever used them, and the part of the programs and clients of this run. */
  readonly machineCpu?: number;
  readonly ownCpu?: number;
  /** Time of the slowest measured host ÷ that of the baseline's run in the same round. */
  readonly timeToBaseline?: number;
}

/** The figures of one run. */
export function summarize(run: SwarmRun, baseline?: SwarmRun): RunSummary {
  const hosts = run.hosts.filter((host) => host.judged);
  // One that did not finish makes "the slowest" unknown, not better.
  const whole = hosts.every((host) => host.status === 'finished');
  const slowestMs = (of: SwarmRun) => greatest(known(of.hosts.filter((host) => host.judged).map((h) => h.lastByteMs)));
  const lastByteMs = whole ? slowestMs(run) : undefined;
  const baselineMs = baseline === undefined ? undefined : slowestMs(baseline);
  const shares = known(hosts.map((host) => host.lineShare));
  const ratios = known(hosts.map((host) => host.prefixRatio));
  const agents = run.processes.filter(({ kind }) => kind === 'agent');
  const originCpu = run.processes.filter(({ kind }) => kind === 'origin').map(({ cpuSeconds }) => cpuSeconds);
  return withoutUndefined({
    slowestShare: whole ? least(shares) : undefined,
    medianShare: median(shares),
    firstByteMs: greatest(known(hosts.map((host) => host.firstByteMs))),
    lastByteMs,
    prefixRatio: mean(ratios),
    worstPrefixRatio: least(ratios),
    copies: run.copies,
    wastedShare: greatest(known(hosts.map((host) => host.bytes.wasted)).map((bytes) => bytes / run.sizeBytes)),
    agentCpuSeconds: mean(agents.map(({ cpuSeconds }) => cpuSeconds)),
    originCpuSeconds: originCpu.reduce((sum, seconds) => sum + seconds, 0),
    peakMemoryBytes: greatest(agents.map(({ peakMemoryBytes }) => peakMemoryBytes)),
    machineCpu: run.machineCpu,
    ownCpu: run.ownCpu,
    timeToBaseline: lastByteMs === undefined || baselineMs === undefined ? undefined : lastByteMs / baselineMs,
  });
}

/** Figure by figure the median; a figure that some run did not reach has none. */
export function mediansOf(summaries: readonly RunSummary[]): RunSummary {
  const names = new Set(summaries.flatMap((summary) => Object.keys(summary) as (keyof RunSummary)[]));
  const medianOf = (name: keyof RunSummary) => {
    const values = summaries.map((summary) => summary[name]);
    return values.includes(undefined) ? undefined : median(known(values));
  };
  return withoutUndefined(Object.fromEntries([...names].map((name) => [name, medianOf(name)])));
}

function withoutUndefined(summary: { [name in keyof RunSummary]: number | undefined }): RunSummary {
  return Object.fromEntries(Object.entries(summary).filter(([, value]) => value !== undefined));
}
