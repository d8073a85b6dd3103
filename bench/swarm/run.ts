import { monotonicMs, untilMs } from '../lib/monotonic.ts';
import type { LinkCounters, Network, NetworkHost } from '../lib/network.ts';
import { busyShare, coreShare, machineUsage, type ProcessUsage, usageOf } from '../lib/process-usage.ts';
import type { RandomBlob } from '../lib/random-file.ts';
import { Workbench } from '../lib/workbench.ts';
import type { BytesBySource, SwarmEngine } from './engine.ts';
import { CONTROL, hostName, originName, type PreparedSwarm, type ProcessKind } from './engine.ts';
import { type PullOutcome, PullWatch } from './pull-watch.ts';
import { idealSeconds, killedHosts, measuredHosts, rateOf, type SwarmSettings, startOffsetMs } from './settings.ts';

/** What came of one host. */
export interface HostResult {
  readonly host: number;
  readonly status: 'finished' | 'unfinished' | 'killed' | 'failed';
  /** Whether it counts: not slow, not killed. */
  readonly judged: boolean;
  /** When it began, after the common start. Every other time counts from then. */
  readonly startMs: number;
  readonly firstByteMs?: number;
  /** With the digest checked. */
  readonly lastByteMs?: number;
  /** With the blob synced to disk. */
  readonly committedMs?: number;
  /** Size ÷ rate ÷ time; of an unfinished host what it has ÷ rate ÷ time so far. */
  readonly lineShare?: number;
  readonly prefixRatio?: number;
  readonly bytes: BytesBySource;
  /** What went over its link during the run, headers included. */
  readonly link: LinkCounters;
  readonly error?: string;
}

/** What one process used during the run. */
export interface ProcessResult extends ProcessUsage {
  readonly name: string;
  readonly kind: ProcessKind;
}

/** Everything about one run of one swarm. */
export interface SwarmRun {
  readonly engine: string;
  readonly round: number;
  readonly settings: SwarmSettings;
  readonly sizeBytes: number;
  readonly hosts: readonly HostResult[];
  readonly processes: readonly ProcessResult[];
  /** Payload that the origins sent ÷ size; and the same from their links, headers and other traffic included. */
  readonly copies: number;
  readonly linkCopies: number;
  readonly wallSeconds: number;
  /** The machine's cores in use, 0 to 1; and by the processes of this run. */
  readonly machineCpu: number;
  readonly ownCpu: number;
  /** Above 90 % the run measures the CPU, not the swarm. */
  readonly cpuBound: boolean;
}

const CPU_BOUND_FROM = 0.9;
/** Enough for every process to have been told when the start is. */
const START_DELAY_MS = 400;
/** What an agent and its client take in a run, about. */
const PROCESS_BYTES = 128 * 2 ** 20;

/** One run from nothing to nothing: network, processes, measurement, clean-up. */
export async function runSwarm(options: {
  readonly engine: SwarmEngine;
  readonly settings: SwarmSettings;
  readonly blob: RandomBlob;
  readonly round: number;
  readonly signal: AbortSignal;
  /** The folder in which the temporary one is made. */
  readonly parent?: string;
}): Promise<SwarmRun> {
  const { engine, settings, blob, signal } = options;
  const workbench = await Workbench.open(signal, options.parent);
  try {
    const network = await workbench.openNetwork(networkOf(settings));
    const deadlineMs = deadlineOf(settings);
    const swarm = await engine.prepare({ workbench, network, settings, blob, deadlineMs });
    await shapeLinks(network, settings);
    await workbench.takeMemory(memoryOf(settings));
    const measured = await measure({
      swarm,
      network,
      settings,
      deadlineMs,
      signal,
      onStart: () => workbench.giveMemory(),
    });
    return { engine: engine.label, round: options.round, settings, sizeBytes: blob.sizeBytes, ...measured };
  } finally {
    await workbench.close();
  }
}

function networkOf({ hosts, origins }: SwarmSettings): NetworkHost[] {
  const named = (count: number, nameOf: (index: number) => string, third: number) =>
    Array.from({ length: count }, (_, index) => ({ name: nameOf(index), address: `10.77.${third}.${index + 1}` }));
  return [...named(hosts, hostName, 1), ...named(origins, originName, 2), { name: CONTROL, address: '10.77.3.1' }];
}

/** Ten times the ideal time: enough for the slowest stock client that was ever seen. */
function deadlineOf(settings: SwarmSettings): number {
  return 60_000 + 10_000 * (idealSeconds(settings) ?? 6) + 1000 * (settings.arrivalsSeconds ?? 0);
}

/** The blob in the page cache of every host, and what the processes take besides. */
function memoryOf({ hosts, warm, sizeBytes }: SwarmSettings): number {
  return (hosts - warm) * (1.5 * sizeBytes + PROCESS_BYTES);
}

async function shapeLinks(network: Network, settings: SwarmSettings): Promise<void> {
  const { hosts, origins, originRate = settings.rate } = settings;
  const links = [
    ...Array.from({ length: hosts }, (_, host) => ({ name: hostName(host), rate: rateOf(settings, host) })),
    ...Array.from({ length: origins }, (_, origin) => ({ name: originName(origin), rate: originRate })),
  ];
  for (const { name, rate } of links) if (rate !== undefined) await network.shape(name, rate);
}

type Measured = Omit<SwarmRun, 'engine' | 'round' | 'settings' | 'sizeBytes'>;

async function measure(parts: {
  swarm: PreparedSwarm;
  network: Network;
  settings: SwarmSettings;
  deadlineMs: number;
  signal: AbortSignal;
  onStart: () => void;
}): Promise<Measured> {
  const { swarm, network, settings, signal, onStart } = parts;
  const pids = swarm.processes.map(({ pid }) => pid);
  const readings = async () => {
    const [usage, machine, links] = await Promise.all([usageOf(pids), machineUsage(), network.counters()]);
    return { usage, machine, links };
  };
  const sentBefore = await swarm.originSentBytes();
  const before = await readings();
  onStart();
  const atMs = monotonicMs() + START_DELAY_MS;
  const downloading = Array.from({ length: settings.hosts - settings.warm }, (_, index) => settings.warm + index);
  const pulls = new Map(downloading.map((host) => [host, atMs + startOffsetMs(settings, host)]));
  const watch = new PullWatch(swarm, pulls, measuredHosts(settings));
  const killed = killAtTime(swarm, settings, { atMs, watch, pids, signal });
  const [lost] = await Promise.all([killed, watch.done(atMs + parts.deadlineMs, signal)]);
  signal.throwIfAborted();
  const wallSeconds = (monotonicMs() - atMs) / 1000;
  const [after, sentBytes] = await Promise.all([readings(), swarm.originSentBytes()]);
  const hosts = await Promise.all(
    downloading.map(async (host) => {
      const outcome = await watch.outcome(host);
      const committedMs = outcome.status === 'finished' ? await swarm.committed(host) : undefined;
      const result = hostResult(settings, host, outcome, before.links, after.links);
      return committedMs === undefined ? result : { ...result, committedMs };
    }),
  );
  const processes = swarm.processes.map(({ name, kind, pid }) => {
    const last = after.usage.get(pid) ?? lost.get(pid);
    const cpuSeconds = (last?.cpuSeconds ?? 0) - (before.usage.get(pid)?.cpuSeconds ?? 0);
    return { name, kind, cpuSeconds: Math.max(0, cpuSeconds), peakMemoryBytes: last?.peakMemoryBytes ?? 0 };
  });
  const machineCpu = busyShare(before.machine, after.machine);
  const originLinks = Array.from({ length: settings.origins }, (_, origin) => {
    return linkBetween(originName(origin), before.links, after.links).sentBytes;
  });
  return {
    hosts,
    processes,
    copies: (sentBytes - sentBefore) / settings.sizeBytes,
    linkCopies: originLinks.reduce((sum, bytes) => sum + bytes, 0) / settings.sizeBytes,
    wallSeconds,
    machineCpu,
    ownCpu: coreShare(
      processes.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
      wallSeconds,
    ),
    cpuBound: machineCpu > CPU_BOUND_FROM,
  };
}

/** Kills what the settings say, when they say. @returns what the killed had used until then */
async function killAtTime(
  swarm: PreparedSwarm,
  settings: SwarmSettings,
  run: { atMs: number; watch: PullWatch; pids: readonly number[]; signal: AbortSignal },
): Promise<Map<number, ProcessUsage>> {
  const victims = killedHosts(settings);
  const ideal = idealSeconds(settings);
  if (victims.length === 0 || ideal === undefined || settings.kill === undefined) return new Map();
  await untilMs(run.atMs + settings.kill.at * ideal * 1000, run.signal);
  const usage = await usageOf(run.pids);
  for (const host of victims) run.watch.expectLoss(host);
  await Promise.all(victims.map((host) => swarm.kill(host)));
  return usage;
}

function hostResult(
  settings: SwarmSettings,
  host: number,
  outcome: PullOutcome,
  before: ReadonlyMap<string, LinkCounters>,
  after: ReadonlyMap<string, LinkCounters>,
): HostResult {
  const { status, pull, partial, error } = outcome;
  const rate = rateOf(settings, host);
  const shareOf = (bytes: number, ms: number) => (rate === undefined ? undefined : (bytes * 8) / rate / (ms / 1000));
  const share =
    pull !== undefined
      ? shareOf(settings.sizeBytes, pull.lastByteMs)
      : partial === undefined
        ? undefined
        : shareOf(partial.bytes, partial.afterMs);
  return {
    host,
    status,
    judged: measuredHosts(settings).includes(host),
    startMs: startOffsetMs(settings, host),
    ...pull,
    bytes: pull?.bytes ?? (partial === undefined ? {} : { received: partial.bytes }),
    ...(share === undefined ? {} : { lineShare: share }),
    link: linkBetween(hostName(host), before, after),
    ...(error === undefined ? {} : { error }),
  };
}

function linkBetween(
  name: string,
  before: ReadonlyMap<string, LinkCounters>,
  after: ReadonlyMap<string, LinkCounters>,
): LinkCounters {
  const [from, to] = [before.get(name), after.get(name)];
  return {
    sentBytes: (to?.sentBytes ?? 0) - (from?.sentBytes ?? 0),
    receivedBytes: (to?.receivedBytes ?? 0) - (from?.receivedBytes ?? 0),
  };
}
