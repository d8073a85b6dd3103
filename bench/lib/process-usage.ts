import { readdir, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';

/** Linux reports CPU time in ticks of 10 ms (`USER_HZ`, fixed at 100 for user space). */
const TICKS_PER_SECOND = 100;

/** What a process with its descendants has used. */
export interface ProcessUsage {
  /** User and system time of all threads, since the start. */
  readonly cpuSeconds: number;
  /** The most resident memory that each had at any time, summed. */
  readonly peakMemoryBytes: number;
}

/** The fields of `/proc/<pid>/stat` (proc(5)) that are used. */
export interface ProcessStat {
  readonly parent: number;
  readonly cpuSeconds: number;
}

/** Reads one line of `/proc/<pid>/stat`. The program's name stands in brackets and may hold spaces and brackets. */
export function parseProcessStat(line: string): ProcessStat {
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  return { parent: Number(fields[1]), cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND };
}

/** What the trees of these processes have used by now; one that has ended is missing. */
export async function usageOf(pids: readonly number[]): Promise<Map<number, ProcessUsage>> {
  const all = await readProcesses();
  const children = new Map<number, number[]>();
  for (const [pid, { parent }] of all) children.set(parent, [...(children.get(parent) ?? []), pid]);
  const treeOf = (pid: number): number[] => [pid, ...(children.get(pid) ?? []).flatMap(treeOf)];
  const usage = new Map<number, ProcessUsage>();
  for (const pid of pids) {
    if (!all.has(pid)) continue;
    const tree = treeOf(pid);
    const memory = await Promise.all(tree.map(peakMemoryOf));
    usage.set(pid, {
      cpuSeconds: tree.reduce((sum, member) => sum + all.get(member)!.cpuSeconds, 0),
      peakMemoryBytes: memory.reduce((sum, bytes) => sum + bytes, 0),
    });
  }
  return usage;
}

async function readProcesses(): Promise<Map<number, ProcessStat>> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, 'utf8').catch(gone)));
  const all = new Map<number, ProcessStat>();
  pids.forEach((pid, index) => {
    const line = lines[index];
    if (line !== undefined) all.set(Number(pid), parseProcessStat(line));
  });
  return all;
}

async function peakMemoryOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(gone);
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status ?? '')?.[1] ?? 0) * 1024;
}

/** A process may end between the listing and the reading. */
function gone(): undefined {
  return undefined;
}

/** The CPU time of the whole machine, whoever used it. */
export interface MachineUsage {
  readonly busySeconds: number;
  readonly totalSeconds: number;
}

/** Reads the first line of `/proc/stat` (proc(5)): waiting for a disk counts as idle, time taken by the host as busy. */
export function parseMachineStat(text: string): MachineUsage {
  const line = text.slice(0, text.indexOf('\n'));
  const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number);
  const total = ticks.reduce((sum, value) => sum + value, 0);
  const idle = (ticks[3] ?? 0) + (ticks[4] ?? 0);
  return { busySeconds: (total - idle) / TICKS_PER_SECOND, totalSeconds: total / TICKS_PER_SECOND };
}

/** The machine's CPU time by now. */
export async function machineUsage(): Promise<MachineUsage> {
  return parseMachineStat(await readFile('/proc/stat', 'utf8'));
}

/** How busy the machine was between two readings, 0 to 1, over all its cores. */
export function busyShare(before: MachineUsage, after: MachineUsage): number {
  const total = after.totalSeconds - before.totalSeconds;
  return total <= 0 ? 0 : (after.busySeconds - before.busySeconds) / total;
}

/** The share of all cores that `cpuSeconds` are in `wallSeconds`. */
export function coreShare(cpuSeconds: number, wallSeconds: number): number {
  return wallSeconds <= 0 ? 0 : cpuSeconds / (wallSeconds * availableParallelism());
}
