import { parseArgs } from 'node:util';
import { pieceLengthFor } from '../../src/core/index.ts';
import { BenchUsageError } from '../lib/errors.ts';
import { parseCount, parseRate, parseSeconds, parseShare, parseSize } from '../lib/units.ts';
import { cases } from './cases.ts';
import type { ServeOrder } from './links.ts';

/** When agents begin. */
export interface Arrivals {
  readonly kind: 'jitter' | 'even' | 'uniform' | 'poisson';
  /** From the first to the last, in ms. */
  readonly overMs: number;
}

/** What is simulated. Rates are payload, in bytes a second, the same in both directions of a link. */
export interface SimulationOptions {
  readonly name: string;
  /** Agents; origins come on top. */
  readonly hosts: number;
  readonly origins: number;
  readonly blobs: number;
  readonly blobBytes: number;
  readonly pieceLength: number;
  /** How many times coarser the pieces are than in production; 1 is true to it. */
  readonly piecesScale: number;
  readonly rate: number;
  readonly originRate: number;
  /** One way; every wire has its own, up to `latencySpread` (a share) below or above. */
  readonly latencyMs: number;
  readonly latencySpread: number;
  readonly arrivals: Arrivals;
  readonly slow: { readonly count: number; readonly rate: number } | undefined;
  /** This share of the agents dies when this share of the ideal time has passed. */
  readonly kill: { readonly share: number; readonly at: number } | undefined;
  /** Agents that restart each minute, keeping what they had verified. */
  readonly churnPerMinute: number;
  /** Agents that have everything from the start. */
  readonly warm: number;
  readonly degree: number;
  readonly maxWires: number;
  readonly originWires: number;
  /** What one host hashes and stores, in bytes a second, and what every piece takes besides. */
  readonly hashRate: number;
  readonly storeMs: number;
  /** From the decision to dial until both ends have a wire, beyond three latencies. */
  readonly dialMs: number;
  /** Dials that a host has under way at most, and those that a listener takes in a second. */
  readonly dialsAtOnce: number;
  readonly acceptRate: number;
  /** From a client's request until its agent announces. */
  readonly startMs: number;
  /** There and back, beyond waiting for the tracker. */
  readonly announceMs: number;
  readonly announceIntervalMs: number;
  /** Announces that the trackers answer in a second together. */
  readonly trackerRate: number;
  /** The longest that a HAVE waits at its receiver. */
  readonly haveBatchMs: number;
  /** How much of one wire an uplink sends before it turns to the next; 0 for a whole piece. */
  readonly quantumBytes: number;
  readonly serveOrder: ServeOrder;
  readonly zones: number;
  /** Whether clients read each blob from its start while it arrives. */
  readonly stream: boolean;
  readonly seed: number;
  /** Virtual time after which a run ends, finished or not. */
  readonly maxSeconds: number;
}

/** What the command line asks for besides. */
export interface Invocation {
  readonly simulation: SimulationOptions;
  readonly json: boolean;
  /** Where the plot goes; undefined for the default place, 'none' for no plot. */
  readonly plot: string | undefined;
  readonly help: boolean;
}

const text = { type: 'string' } as const;
const flags = {
  case: text,
  hosts: text,
  origins: text,
  blobs: text,
  rate: text,
  'header-share': text,
  'origin-rate': text,
  latency: text,
  'latency-spread': text,
  arrivals: text,
  slow: text,
  kill: text,
  churn: text,
  warm: text,
  degree: text,
  'max-wires': text,
  'origin-wires': text,
  'piece-length': text,
  'pieces-scale': text,
  'hash-rate': text,
  'store-ms': text,
  'dial-ms': text,
  'dials-at-once': text,
  'accept-rate': text,
  'start-ms': text,
  'announce-ms': text,
  'announce-interval': text,
  'tracker-rate': text,
  'have-batch-ms': text,
  quantum: text,
  'serve-order': text,
  zones: text,
  seed: text,
  'max-seconds': text,
  plot: text,
  stream: { type: 'boolean', default: true },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false, short: 'h' },
} as const;

type FlagName = keyof typeof flags;

/** The values of flags that take one, by their names. */
export type FlagValues = Readonly<Partial<Record<FlagName, string>>>;

/** Reads a command line. A named case comes first; other flags change it. @throws BenchUsageError */
export function parseOptions(args: readonly string[]): Invocation {
  const { stream, json, help, plot, case: name, ...given } = readFlags(args);
  return { simulation: simulationFrom({ name, stream, given }), json, plot, help };
}

function readFlags(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: flags, strict: true, allowNegative: true }).values;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new BenchUsageError(`${message}; --help lists the options`, {}, { cause: error });
  }
}

function simulationFrom(asked: { name: string | undefined; stream: boolean; given: FlagValues }): SimulationOptions {
  const named = asked.name === undefined ? {} : cases[asked.name];
  if (named === undefined) {
    throw new BenchUsageError(`no case ${JSON.stringify(asked.name)}; there are ${Object.keys(cases).join(', ')}`);
  }
  const value: FlagValues = { ...named, ...asked.given };
  const number = (name: FlagName, fallback: number, least = 0) => numberOf(name, value[name], fallback, least);
  const count = (name: FlagName, fallback: number, least = 0) =>
    value[name] === undefined ? fallback : parseCount(value[name], least);
  const payload = 1 - parseShare(value['header-share'] ?? '0');
  const bytesPerSecond = (text: string) => (payload * parseRate(text)) / 8;
  const blobs = parseBlobs(value.blobs ?? '64MiB');
  const rate = bytesPerSecond(value.rate ?? '50mbit');
  const piecesScale = count('pieces-scale', 1, 1);
  const hosts = count('hosts', 8, 1);
  return {
    name: asked.name ?? 'simulation',
    hosts,
    origins: count('origins', 1),
    blobs: blobs.count,
    blobBytes: blobs.size,
    pieceLength: piecesScale * (value['piece-length'] ? parseSize(value['piece-length']) : pieceLengthFor(blobs.size)),
    piecesScale,
    rate,
    originRate: value['origin-rate'] === undefined ? rate : bytesPerSecond(value['origin-rate']),
    latencyMs: number('latency', 0.2),
    latencySpread: parseShare(value['latency-spread'] ?? '0.2'),
    arrivals: parseArrivals(value.arrivals ?? 'jitter:50ms'),
    slow: parsePair('slow', value.slow, (first, second) => ({
      count: parseCount(first, 1),
      rate: bytesPerSecond(second),
    })),
    kill: parsePair('kill', value.kill, (first, second) => ({ share: parseShare(first), at: Number(second) })),
    churnPerMinute: number('churn', 0),
    warm: count('warm', 0),
    degree: count('degree', 10, 1),
    maxWires: count('max-wires', 16, 2),
    originWires: count('origin-wires', 60, 1),
    hashRate: parseRate(value['hash-rate'] ?? '900MB/s') / 8,
    storeMs: number('store-ms', 0.5),
    dialMs: number('dial-ms', 3),
    dialsAtOnce: count('dials-at-once', 4, 1),
    acceptRate: number('accept-rate', 50, 1),
    startMs: number('start-ms', 20),
    announceMs: number('announce-ms', 5),
    announceIntervalMs: 1000 * parseSeconds(value['announce-interval'] ?? '3'),
    trackerRate: number('tracker-rate', 20_000, 1),
    haveBatchMs: number('have-batch-ms', hosts > 5000 ? 10 : hosts > 500 ? 5 : 1, 0.05),
    quantumBytes: value.quantum === undefined ? 0 : parseSize(value.quantum),
    serveOrder: parseServeOrder(value['serve-order'] ?? 'turns'),
    zones: count('zones', 1, 1),
    stream: asked.stream,
    seed: count('seed', 1),
    maxSeconds: parseSeconds(value['max-seconds'] ?? '3600'),
  };
}

function numberOf(name: string, text: string | undefined, fallback: number, least: number): number {
  if (text === undefined) return fallback;
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (Number.isFinite(value) && value >= least) return value;
  throw new BenchUsageError(`--${name} is ${JSON.stringify(text)}: expected a number, ${least} or more`);
}

/** `2x1.5GB` or `1.5GB`: how many blobs of what size. @throws BenchUsageError */
export function parseBlobs(text: string): { count: number; size: number } {
  const [, count, size] = /^(?:(\d+)x)?(.+)$/i.exec(text) ?? [];
  return { count: count === undefined ? 1 : parseCount(count, 1), size: parseSize(size ?? text) };
}

/** `jitter:50ms`, `even:10s`, `uniform:10s`, `poisson:10s`. @throws BenchUsageError */
export function parseArrivals(text: string): Arrivals {
  const [, kind, digits, unit] = /^(jitter|even|uniform|poisson):(\d+(?:\.\d+)?)(ms|s)$/.exec(text) ?? [];
  if (kind !== undefined) {
    return { kind: kind as Arrivals['kind'], overMs: Number(digits) * (unit === 's' ? 1000 : 1) };
  }
  const expected = 'expected one such as jitter:50ms, even:10s, uniform:10s, poisson:10s';
  throw new BenchUsageError(`--arrivals is ${JSON.stringify(text)}: ${expected}`);
}

function parseServeOrder(text: string): ServeOrder {
  if (text === 'turns' || text === 'mixed' || text === 'behind') return text;
  throw new BenchUsageError(`--serve-order is ${JSON.stringify(text)}: expected turns, mixed or behind`);
}

const pairs = {
  slow: { pattern: /^(\d+):(.+)$/, example: 'COUNT:RATE, such as 1:5mbit' },
  kill: { pattern: /^([^@]+)@(\d+(?:\.\d+)?)$/, example: 'SHARE@SHARE, such as 1/3@0.5' },
};

function parsePair<T>(name: keyof typeof pairs, text: string | undefined, make: (first: string, second: string) => T) {
  if (text === undefined || text === 'none') return undefined;
  const [, first, second] = pairs[name].pattern.exec(text) ?? [];
  if (first !== undefined && second !== undefined) return make(first, second);
  throw new BenchUsageError(`--${name} is ${JSON.stringify(text)}: expected ${pairs[name].example}`);
}

/** The time that a link alone needs for all blobs: nobody can be faster. In ms. */
export function floorMs(options: SimulationOptions): number {
  return (1000 * options.blobs * options.blobBytes) / options.rate;
}
