import { Command } from 'commander';
import { parseFlags } from '../lib/command-line.ts';
import { BenchUsageError } from '../lib/errors.ts';
import { parseCount, parseSeconds } from '../lib/units.ts';

/** What the command line asks for. */
export interface TrackerBenchOptions {
  readonly hosts: number;
  readonly swarmsPerHost: number;
  readonly blobs: number;
  readonly arrivalSeconds: number;
  readonly everySeconds: number;
  readonly steadySeconds: number;
  /** Hosts of another fleet that arrive before, so that the tracker's code is compiled. */
  readonly warmUpHosts: number;
  readonly changed: number;
  readonly loadProcesses: number;
  /** Seconds of each BEP 3 run; 0 for none. */
  readonly foreignSeconds: number;
  readonly rounds: number;
  /** Writes a CPU profile of the tracker there. */
  readonly profile?: string;
  readonly json: boolean;
  readonly out?: string;
}

interface Flags {
  readonly hosts: number;
  readonly swarms: number;
  readonly blobs: number;
  readonly arrival: number;
  readonly every: number;
  readonly steady: number;
  readonly warmUp: number;
  readonly changed: number;
  readonly loadProcesses: number;
  readonly foreign: number;
  readonly rounds: number;
  readonly profile?: string;
  readonly json: boolean;
  readonly out?: string;
}

/**
 * Reads the command line (without program and script).
 * @returns `undefined` when it asked for help, which has been printed then
 * @throws BenchUsageError
 */
export function parseTrackerOptions(args: readonly string[]): TrackerBenchOptions | undefined {
  const flags = parseFlags<Flags>(buildCommand(), args);
  if (flags === undefined) return undefined;
  const { swarms: swarmsPerHost, blobs, changed } = flags;
  if (swarmsPerHost > blobs) throw new BenchUsageError(`--swarms ${swarmsPerHost} is more than --blobs ${blobs}`);
  if (changed > swarmsPerHost) throw new BenchUsageError(`--changed ${changed} is more than --swarms ${swarmsPerHost}`);
  return {
    hosts: flags.hosts,
    swarmsPerHost,
    blobs,
    arrivalSeconds: flags.arrival,
    everySeconds: flags.every,
    steadySeconds: flags.steady,
    warmUpHosts: flags.warmUp,
    changed,
    loadProcesses: flags.loadProcesses,
    foreignSeconds: flags.foreign,
    rounds: flags.rounds,
    json: flags.json,
    ...(flags.profile === undefined ? {} : { profile: flags.profile }),
    ...(flags.out === undefined ? {} : { out: flags.out }),
  };
}

function buildCommand(): Command {
  const count = (minimum: number) => (text: string) => parseCount(text, minimum);
  return new Command('bench:tracker')
    .description(
      'Measures one tracker, peers in memory, under a fleet that arrives and then goes on, each host on a connection of its ' +
        'own; then BEP 3 announces beside opentracker, under wrk.',
    )
    .option('--hosts <n>', 'of the fleet', count(1), 15_000)
    .option('--swarms <n>', 'of each host', count(1), 20)
    .option('--blobs <n>', 'of the whole fleet', count(1), 20)
    .option('--arrival <seconds>', 'in which all hosts arrive', parseSeconds, 5)
    .option('--every <seconds>', 'each host announces then', parseSeconds, 5)
    .option('--steady <seconds>', 'how long they do so', parseSeconds, 15)
    .option('--changed <n>', 'swarms that an announce names then', count(0), 2)
    .option('--warm-up <n>', 'hosts of another fleet that arrive before', count(0), 3_000)
    .option('--load-processes <n>', 'that act the fleet', count(1), 2)
    .option('--foreign <seconds>', 'for each run of BEP 3 announces; 0 for none', parseSeconds, 5)
    .option('--rounds <n>', 'of BEP 3 announces; figures are medians', count(1), 3)
    .option('--profile <folder>', 'write a CPU profile of the tracker into this folder')
    .option('--json', 'print the result as JSON', false)
    .option('--out <file>', 'where the result goes (default: bench/results/tracker-<date>.json)')
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .allowExcessArguments(false);
}
