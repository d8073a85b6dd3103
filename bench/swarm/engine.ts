import type { Network } from '../lib/network.ts';
import type { RandomBlob } from '../lib/random-file.ts';
import type { Workbench } from '../lib/workbench.ts';
import type { SwarmSettings } from './settings.ts';

/** Where an engine sets up one swarm. */
export interface Scene {
  readonly workbench: Workbench;
  /** With the hosts `host0`, `host1`, …, `origin0`, … and `control`; not shaped yet. */
  readonly network: Network;
  readonly settings: SwarmSettings;
  readonly blob: RandomBlob;
  /** How long a host may take before it counts as unfinished. */
  readonly deadlineMs: number;
}

/** A kind of swarm that can be measured. */
export interface SwarmEngine {
  /** Unique among the engines of one run. */
  readonly label: string;
  /** Starts all processes and gives the blob to the seeders. Resolves when all is warm; the workbench ends the processes. */
  prepare(scene: Scene): Promise<PreparedSwarm>;
}

export type ProcessKind = 'agent' | 'origin' | 'client' | 'control';

/** One process of a swarm. */
export interface SwarmProcess {
  readonly name: string;
  readonly kind: ProcessKind;
  readonly pid: number;
}

/** A swarm that waits for the start. */
export interface PreparedSwarm {
  readonly processes: readonly SwarmProcess[];
  /** Begins at `atMs` of the monotonic clock; resolves when the host has the whole blob. Rejects when it never will. */
  pull(host: number, atMs: number): Promise<HostPull>;
  /** How far a host is that has not finished. */
  progress(host: number): Promise<{ readonly bytes: number }>;
  /** When a host that has the whole blob had synced it to disk, from its own start; `undefined` when that is not known. */
  committed(host: number): Promise<number | undefined>;
  /** Ends a host's agent as a power failure would. */
  kill(host: number): Promise<void>;
  /** Payload that the seeders have sent since they were started. */
  originSentBytes(): Promise<number>;
}

/** Bytes of blobs that an agent received, by who sent them. What an engine cannot tell apart is missing. */
export interface BytesBySource {
  readonly peers?: number;
  readonly origins?: number;
  readonly http?: number;
  readonly wasted?: number;
  readonly received?: number;
}

/** What came of one host's pull; times from the moment at which it was to begin. */
export interface HostPull {
  readonly firstByteMs?: number;
  /** With the digest checked. */
  readonly lastByteMs: number;
  readonly prefixRatio?: number;
  readonly bytes: BytesBySource;
}

/** Names on the network. */
export const hostName = (host: number) => `host${host}`;
export const originName = (origin: number) => `origin${origin}`;
export const CONTROL = 'control';
