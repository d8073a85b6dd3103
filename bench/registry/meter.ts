import { readFile } from 'node:fs/promises';
import { monotonicMs } from '../lib/monotonic.ts';
import { busyShare, coreShare, machineUsage, usageOf } from '../lib/process-usage.ts';

/** What a measurement took. */
export interface Meter {
  readonly wallSeconds: number;
  /** User and system time of the servers. */
  readonly serverCpuSeconds: number;
  /** The same of whatever made the load. */
  readonly loadCpuSeconds: number;
  /** The share of all cores that was busy, whoever used it. */
  readonly machineCpu: number;
  /** The share of all cores that neither the servers nor the load took: the kernel's own threads, and other programs. */
  readonly otherCpu: number;
  /** Set when that was more than a tenth: other programs ran, and the figures say little. */
  readonly machineBusy: boolean;
}

/** The kernel writes what is uploaded to disk with threads of its own, which takes some hundredths. */
const MAX_OTHER_SHARE = 0.1;
const TICKS_PER_SECOND = 100;

/** Runs `measured` and meters it. `loads` are processes that make load; children of this one that end meanwhile count too. */
export async function metered<T>(
  servers: readonly number[],
  loads: readonly number[],
  measured: () => Promise<T>,
): Promise<{ readonly result: T; readonly meter: Meter }> {
  const startMs = monotonicMs();
  const before = await reading(servers, loads);
  const result = await measured();
  const after = await reading(servers, loads);
  const wallSeconds = (monotonicMs() - startMs) / 1_000;
  const serverCpuSeconds = after.server - before.server;
  const loadCpuSeconds = after.load - before.load;
  const machineCpu = busyShare(before.machine, after.machine);
  const own = coreShare(serverCpuSeconds + loadCpuSeconds + after.bench - before.bench, wallSeconds);
  const otherCpu = Math.max(0, machineCpu - own);
  const machineBusy = otherCpu > MAX_OTHER_SHARE;
  return { result, meter: { wallSeconds, serverCpuSeconds, loadCpuSeconds, machineCpu, otherCpu, machineBusy } };
}

async function reading(servers: readonly number[], loads: readonly number[]) {
  const [usage, machine, ended] = await Promise.all([
    usageOf([...servers, ...loads]),
    machineUsage(),
    endedChildrenSeconds(),
  ]);
  const sum = (pids: readonly number[]) => pids.reduce((total, pid) => total + (usage.get(pid)?.cpuSeconds ?? 0), 0);
  const { user, system } = process.cpuUsage();
  return { server: sum(servers), load: sum(loads) + ended, bench: (user + system) / 1e6, machine };
}

/** User and system time of this process's children that have ended (`cutime` and `cstime` of proc(5)). */
async function endedChildrenSeconds(): Promise<number> {
  const line = await readFile('/proc/self/stat', 'utf8');
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[13]) + Number(fields[14])) / TICKS_PER_SECOND;
}
