import type { Workbench } from '../lib/workbench.ts';
import type { RunningEngine } from './engine.ts';
import type { Meter } from './meter.ts';
import type { RegistryBenchOptions, RegistryEngine } from './options.ts';

/** What one run of one variant has found. Which figures there are depends on the case. */
export interface Figures {
  readonly requestsPerSecond?: number;
  readonly p50Ms?: number;
  readonly p99Ms?: number;
  readonly megabytesPerSecond?: number;
  /** Of the servers: the most that was resident at any time since they were started (`VmHWM`). */
  readonly peakMemoryBytes?: number;
  /** The median of what was resident in the second half of the run. */
  readonly steadyMemoryBytes?: number;
  /** Server CPU for one request, in microseconds. */
  readonly cpuMicrosecondsPerRequest?: number;
  /** Server CPU for one GiB of blob. */
  readonly cpuSecondsPerGib?: number;
  readonly meter: Meter;
}

/** Where an engine is measured. */
export interface Stage {
  readonly workbench: Workbench;
  readonly options: RegistryBenchOptions;
  readonly engine: RegistryEngine;
  /** Of this engine alone, on the disk that all share; made by whoever needs it. */
  readonly folder: string;
}

/** One thing to measure on one engine, ready. */
export interface Subject {
  /** The same for every engine, such as `64 connections`. */
  readonly variant: string;
  /** Once more; `undefined` before the first round, for the code to be compiled and the caches to be filled. */
  measure(round: number | undefined): Promise<Figures>;
}

/** Starts what a case needs on one engine. All engines are prepared before the first is measured. */
export type Prepare = (stage: Stage) => Promise<readonly Subject[]>;

/** The CPU time of servers by what they have done. */
export function perRequest({ serverCpuSeconds }: Meter, requests: number): number {
  return (serverCpuSeconds * 1e6) / requests;
}

/** The same by bytes. */
export function perGib({ serverCpuSeconds }: Meter, bytes: number): number {
  return (serverCpuSeconds * 2 ** 30) / bytes;
}

/** The URL of a blob. */
export function blobUrl({ baseUrl }: RunningEngine, repository: string, digest: string): string {
  return `${baseUrl}/v2/${repository}/blobs/${digest}`;
}
