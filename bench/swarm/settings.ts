import { BenchUsageError } from '../lib/errors.ts';

/** One shape of swarm: what is the same over all runs of it. */
export interface SwarmSettings {
  /** Hosts with an agent each, warm ones included. */
  readonly hosts: number;
  /** Of each host's link in each direction, bits a second; `undefined`: not shaped. */
  readonly rate: number | undefined;
  readonly sizeBytes: number;
  readonly origins: number;
  /** Of each origin's link; without it that of the hosts. */
  readonly originRate?: number;
  /** How many peers a host tries to have; without it the program's own choice, and a full mesh for the stock clients. */
  readonly degree?: number;
  /** One host with a link of its own; its result is reported and not judged. */
  readonly slow?: { readonly host: number; readonly rate: number };
  /** This share of the hosts (the last ones) is killed at this share of the ideal time. */
  readonly kill?: { readonly share: number; readonly at: number };
  /** The hosts begin evenly spread over this time, the first at once and the last at its end. */
  readonly arrivalsSeconds?: number;
  /** So many hosts, the first ones, have the blob before. They are not measured. */
  readonly warm: number;
  /**
   * Other blobs that all hosts pull one after the other before the clock starts, over links that are not shaped yet: an agent
   * runs for months, and its first seconds are those of a compiler. Of Shoal only: the stock clients are no programs for Node,
   * or are told all beforehand.
   */
  readonly warmUp: WarmUp;
}

/** How many blobs are pulled before the clock starts, and of what size. */
export interface WarmUp {
  /** 0 for none. */
  readonly blobs: number;
  readonly bytes: number;
}

/** What is not said otherwise: eight hosts at 50 Mbit/s, one origin at the same rate. */
export const defaultSettings: SwarmSettings = {
  hosts: 8,
  rate: 50e6,
  sizeBytes: 64 * 2 ** 20,
  origins: 1,
  warm: 0,
  warmUp: { blobs: 8, bytes: 16 * 2 ** 20 },
};

/** More namespaces than this have not been tried, and the addresses are made for it. */
const MAX_HOSTS = 200;

/** @throws BenchUsageError when parts of it do not go together */
export function checkSettings(settings: SwarmSettings): void {
  const { hosts, rate, slow, kill, warm } = settings;
  const fault = (message: string) => {
    throw new BenchUsageError(message);
  };
  if (hosts > MAX_HOSTS) fault(`--hosts is ${hosts}; expected ${MAX_HOSTS} at most`);
  if (warm >= hosts) fault(`--warm ${warm} leaves none of ${hosts} hosts to measure`);
  if (slow !== undefined && (slow.host < warm || slow.host >= hosts)) {
    fault(`--slow names host ${slow.host}; expected ${warm} to ${hosts - 1}, a host that downloads`);
  }
  if (kill !== undefined && rate === undefined) fault('--kill counts from the ideal time, which needs a --rate');
  const measured = measuredHosts(settings);
  if (measured.length === 0) fault('no host is left to measure: each is warm, slow or killed');
}

/** How long the blob takes on one host's link if nothing but its bytes were sent; seconds. */
export function idealSeconds({ sizeBytes, rate }: SwarmSettings): number | undefined {
  return rate === undefined ? undefined : (sizeBytes * 8) / rate;
}

/** How often each client asks its agent how far it is: some forty times in a run, because that takes of the CPU, too. */
export function sampleIntervalMs(settings: SwarmSettings): number {
  return Math.max(250, ((idealSeconds(settings) ?? 0) * 1000) / 40);
}

/** Hosts that have the blob before. */
export function warmHosts({ warm }: SwarmSettings): number[] {
  return range(0, warm);
}

/** Hosts that are killed: the last ones, but never the slow one. */
export function killedHosts({ hosts, warm, kill, slow }: SwarmSettings): number[] {
  if (kill === undefined) return [];
  const candidates = range(warm, hosts).filter((host) => host !== slow?.host);
  return candidates.slice(candidates.length - Math.floor(candidates.length * kill.share));
}

/** Hosts whose results are judged: not warm, slow or killed. */
export function measuredHosts(settings: SwarmSettings): number[] {
  const killed = new Set(killedHosts(settings));
  return range(settings.warm, settings.hosts).filter((host) => !killed.has(host) && host !== settings.slow?.host);
}

/** When a host begins, in milliseconds after the common start. */
export function startOffsetMs({ hosts, warm, arrivalsSeconds }: SwarmSettings, host: number): number {
  const downloading = hosts - warm;
  if (arrivalsSeconds === undefined || downloading < 2) return 0;
  return ((host - warm) / (downloading - 1)) * arrivalsSeconds * 1000;
}

/** The rate of one host's link. */
export function rateOf({ rate, slow }: SwarmSettings, host: number): number | undefined {
  return slow?.host === host ? slow.rate : rate;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);
}
