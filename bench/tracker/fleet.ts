import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { monotonicMs } from '../lib/monotonic.ts';
import { busyShare, machineUsage, usageOf } from '../lib/process-usage.ts';
import type { RemoteChild } from '../lib/remote-child.ts';
import { greatest, quantile } from '../lib/statistics.ts';
import type { Workbench } from '../lib/workbench.ts';
import type { LoadCalls, Phase, PhaseFigures } from './load-calls.ts';
import type { TrackerBenchOptions } from './options.ts';
import { makeToken, type RunningProgram, startTracker } from './programs.ts';

/** What one phase came to. Latencies are from the moment an announce was due, so a stall counts for all that it delays. */
export interface PhaseResult {
  readonly name: string;
  readonly announces: number;
  readonly failed: number;
  readonly askedForAll: number;
  /** From the first to the last answer. */
  readonly perSecond: number;
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
  readonly maxMs: number | undefined;
  /** From the moment an announce was handed to its socket: what is left when the load itself was late. */
  readonly p99FromSendMs: number | undefined;
  readonly megabytesPerSecond: number;
  readonly trackerCpuSeconds: number;
  /** Of one core. */
  readonly trackerCpuShare: number;
  readonly loadCpuSeconds: number;
  /** Of all cores, everything on the machine counted. */
  readonly machineBusy: number;
  readonly trackerMemoryBytes: number;
}

/** The fleet's part of the result. */
export interface FleetResult {
  readonly hosts: number;
  readonly swarmsPerHost: number;
  readonly blobs: number;
  readonly phases: readonly PhaseResult[];
  readonly peakMemoryBytes: number;
}

type Load = RemoteChild<LoadCalls>;

const LEAD_MS = 500;
const WARM_UP_HOSTS_PER_MS = 1.5;

/** A fleet arrives at one tracker, and goes on. */
export async function measureFleet(bench: Workbench, options: TrackerBenchOptions): Promise<FleetResult> {
  const { hosts, swarmsPerHost, blobs, changed } = options;
  const token = makeToken();
  const everyMs = options.everySeconds * 1_000;
  const tracker = await startTracker(bench, { token, announceIntervalMs: everyMs, profile: options.profile });
  const program = fileURLToPath(new URL('load-process.ts', import.meta.url));
  const loads = Array.from({ length: options.loadProcesses }, (_, index) => {
    return bench.startRemote<LoadCalls>(`load ${index}`, [process.execPath, program]);
  });
  const fleet = { name: 'bench', port: tracker.port, token, of: loads.length, hosts, swarmsPerHost, blobs };
  const prepare = (of: typeof fleet) => Promise.all(loads.map((load, part) => load.call('prepare', { ...of, part })));
  if (options.warmUpHosts > 0) {
    // A tracker that has run for a while is what a fleet meets; a new one spends its first second in the compiler.
    await prepare({ ...fleet, name: 'warm-up', hosts: options.warmUpHosts });
    const spreadMs = options.warmUpHosts / WARM_UP_HOSTS_PER_MS;
    await runPhase('warm up', { spreadMs, everyMs: 0, durationMs: spreadMs, kind: 'arrive', changed }, tracker, loads);
  }
  await prepare(fleet);
  const arrivalMs = options.arrivalSeconds * 1_000;
  const durationMs = options.steadySeconds * 1_000;
  const phases = [
    await runPhase(
      'arrive',
      { spreadMs: arrivalMs, everyMs: 0, durationMs: arrivalMs, kind: 'arrive', changed },
      tracker,
      loads,
    ),
    await runPhase('go on', { spreadMs: everyMs, everyMs, durationMs, kind: 'go-on', changed }, tracker, loads),
  ];
  const usage = (await usageOf([tracker.pid])).get(tracker.pid);
  await tracker.stop();
  await Promise.all(loads.map((load) => load.kill()));
  return { hosts, swarmsPerHost, blobs, phases, peakMemoryBytes: usage?.peakMemoryBytes ?? 0 };
}

async function runPhase(
  name: string,
  phase: Omit<Phase, 'startMs'>,
  tracker: RunningProgram,
  loads: readonly Load[],
): Promise<PhaseResult> {
  const startMs = monotonicMs() + LEAD_MS;
  const [cpuBefore, machineBefore] = [await cpuOf(tracker), await machineUsage()];
  const parts = await Promise.all(loads.map((load) => load.call('run', { ...phase, startMs })));
  const [cpuAfter, machineAfter] = [await cpuOf(tracker), await machineUsage()];
  const seconds = greatest(parts.map(({ lastMs }) => lastMs))! / 1_000;
  const sum = (of: (part: PhaseFigures) => number) => parts.reduce((total, part) => total + of(part), 0);
  const latenciesMs = parts.flatMap((part) => part.latenciesMs);
  return {
    name,
    announces: latenciesMs.length,
    failed: sum(({ failed }) => failed),
    askedForAll: sum(({ askedForAll }) => askedForAll),
    perSecond: latenciesMs.length / seconds,
    p50Ms: quantile(latenciesMs, 0.5),
    p99Ms: quantile(latenciesMs, 0.99),
    maxMs: greatest(latenciesMs),
    p99FromSendMs: quantile(
      parts.flatMap((part) => part.answeredInMs),
      0.99,
    ),
    megabytesPerSecond: sum(({ receivedBytes }) => receivedBytes) / 1e6 / seconds,
    trackerCpuSeconds: cpuAfter - cpuBefore,
    trackerCpuShare: (cpuAfter - cpuBefore) / seconds,
    loadCpuSeconds: sum(({ cpuSeconds }) => cpuSeconds),
    machineBusy: busyShare(machineBefore, machineAfter),
    trackerMemoryBytes: await residentBytes(tracker),
  };
}

async function cpuOf({ pid }: RunningProgram): Promise<number> {
  return (await usageOf([pid])).get(pid)?.cpuSeconds ?? 0;
}

async function residentBytes({ pid }: RunningProgram): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}
