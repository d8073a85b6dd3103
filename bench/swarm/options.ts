import { Command, Option } from 'commander';
import { parseFlags } from '../lib/command-line.ts';
import { BenchUsageError } from '../lib/errors.ts';
import { type StockClientName, stockClients } from '../lib/stock-clients.ts';
import { parseCount, parseLinkRate, parseRate, parseSeconds, parseShare, parseSize } from '../lib/units.ts';
import { swarmCases } from './cases.ts';
import { checkSettings, defaultSettings, type SwarmSettings, type WarmUp } from './settings.ts';
import { type ConfigOverride, parseOverride } from './shoal-config.ts';

/** A kind of swarm, by its name on the command line. `checkout` is another folder of Shoal's, to compare with. */
export type EngineChoice = { readonly kind: 'shoal'; readonly checkout?: string } | { readonly kind: StockClientName };

/** What the command line asks for. */
export interface SwarmBenchOptions {
  /** Named cases, or none: then {@link settings} alone is run. */
  readonly cases: readonly string[];
  /** What the command line says of the swarm; it goes over a case's own settings. */
  readonly settings: Partial<SwarmSettings>;
  readonly engines: readonly EngineChoice[];
  readonly runs: number;
  readonly overrides: readonly ConfigOverride[];
  readonly json: boolean;
  readonly out?: string;
  readonly directory?: string;
  readonly cleanup: boolean;
}

const names = Object.keys(swarmCases);

interface Flags {
  readonly case?: string[];
  readonly engine: string;
  readonly runs: number;
  readonly config?: ConfigOverride[];
  readonly json: boolean;
  readonly cleanup: boolean;
  readonly out?: string;
  readonly dir?: string;
  readonly hosts?: number;
  readonly rate?: number | 'none';
  readonly size?: number;
  readonly origins?: number;
  readonly originRate?: number;
  readonly degree?: number;
  readonly slow?: { host: number; rate: number };
  readonly kill?: { share: number; at: number };
  readonly arrivals?: number;
  readonly warm?: number;
  readonly warmUp?: WarmUp;
}

/**
 * Reads the command line (without program and script).
 * @returns `undefined` when it asked for help, which has been printed then
 * @throws BenchUsageError
 */
export function parseSwarmOptions(args: readonly string[]): SwarmBenchOptions | undefined {
  const flags = parseFlags<Flags>(buildCommand(), args);
  if (flags === undefined) return undefined;
  const settings = settingsOf(flags);
  if (flags.case === undefined) checkSettings({ ...defaultSettings, ...settings });
  return {
    cases: flags.case ?? [],
    settings,
    engines: flags.engine.split(',').map(parseEngine),
    runs: flags.runs,
    overrides: flags.config ?? [],
    json: flags.json,
    cleanup: flags.cleanup,
    ...(flags.out === undefined ? {} : { out: flags.out }),
    ...(flags.dir === undefined ? {} : { directory: flags.dir }),
  };
}

/** Reads `shoal`, `shoal:FOLDER`, `webtorrent` or `libtorrent`. @throws BenchUsageError */
export function parseEngine(text: string): EngineChoice {
  const stock = stockClients.find((client) => client === text);
  if (stock !== undefined) return { kind: stock };
  if (text === 'shoal') return { kind: 'shoal' };
  if (text.startsWith('shoal:') && text.length > 6) return { kind: 'shoal', checkout: text.slice(6) };
  throw new BenchUsageError(`"${text}" is no engine: expected shoal, shoal:FOLDER, ${stockClients.join(' or ')}`);
}

/** Reads `3:5mbit`. @throws BenchUsageError */
export function parseSlow(text: string): { host: number; rate: number } {
  const [host, rate, rest] = text.split(':');
  if (host === undefined || rate === undefined || rest !== undefined) {
    throw new BenchUsageError(`"${text}" is not understood: expected HOST:RATE such as 3:5mbit`);
  }
  return { host: parseCount(host, 0), rate: parseRate(rate) };
}

/** Reads `1/3@0.5`. @throws BenchUsageError */
export function parseKill(text: string): { share: number; at: number } {
  const [share, at, rest] = text.split('@');
  if (share === undefined || at === undefined || rest !== undefined) {
    throw new BenchUsageError(`"${text}" is not understood: expected SHARE@TIME such as 1/3@0.5`);
  }
  return { share: parseShare(share), at: parseShare(at) };
}

/** Reads `32MiB`, `8x10MiB` or `none`. @throws BenchUsageError */
export function parseWarmUp(text: string): WarmUp {
  if (text === 'none') return { blobs: 0, bytes: 0 };
  const [size = '', count = '1', rest] = text.split('x').reverse();
  if (rest !== undefined) throw new BenchUsageError(`"${text}" is not understood: expected 32MiB, 8x10MiB or none`);
  return { blobs: parseCount(count, 1), bytes: parseSize(size) };
}

function parseCases(text: string, before: string[] = []): string[] {
  const asked = text === 'all' ? names : text.split(',');
  for (const name of asked) {
    if (!names.includes(name)) throw new BenchUsageError(`"${name}" is no case: expected all, ${names.join(', ')}`);
  }
  return [...new Set([...before, ...asked])];
}

function settingsOf(flags: Flags): Partial<SwarmSettings> {
  const { hosts, rate, size, origins, originRate, degree, slow, kill, arrivals, warm, warmUp } = flags;
  const given = {
    hosts,
    sizeBytes: size,
    origins,
    originRate,
    degree,
    slow,
    kill,
    arrivalsSeconds: arrivals,
    warm,
    warmUp,
  };
  const settings = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return rate === undefined ? settings : { ...settings, rate: rate === 'none' ? undefined : rate };
}

function buildCommand(): Command {
  const count = (minimum: number) => (text: string) => parseCount(text, minimum);
  return new Command('bench:swarm')
    .description(
      'Measures a swarm on real links: hosts are network namespaces with shaped links to a bridge; in them run a tracker, ' +
        'a build-index, origins, a proxy and agents, and beside each agent an HTTP client that pulls the blob. Needs root.',
    )
    .option('--hosts <n>', 'hosts with an agent (default: 8)', count(1))
    .option('--rate <rate>', 'of each link in each direction: 50mbit, 300MB/s, none (default: 50mbit)', (text) => {
      // To Commander a value that is undefined is one that was not given.
      return parseLinkRate(text) ?? 'none';
    })
    .option('--size <size>', 'of the blob: 64MiB (default: 64MiB)', parseSize)
    .option('--origins <n>', 'origins (default: 1)', count(1))
    .option('--origin-rate <rate>', "of each origin's link (default: that of the hosts)", parseRate)
    .option('--degree <n>', 'peers that each host tries to have', count(1))
    .option('--slow <host:rate>', 'one host, counted from 0, with a link of its own', parseSlow)
    .option('--kill <share@time>', 'kill this share of agents at this share of the ideal time: 1/3@0.5', parseKill)
    .option('--arrivals <seconds>', 'hosts begin evenly spread over this time', parseSeconds)
    .option('--warm <n>', 'so many hosts have the blob before', count(0))
    .option(
      '--warm-up <[n x]size>',
      'other blobs, pulled before the clock starts: 8x10MiB (default: 8x16MiB); none',
      parseWarmUp,
    )
    .option('--case <name>', `named settings and goals: all, ${names.join(', ')}`, parseCases)
    .option('--engine <names>', 'shoal, shoal:FOLDER (another checkout), webtorrent, libtorrent; several: a,b', 'shoal')
    .option('--runs <n>', 'rounds; figures are medians of them', count(1), 1)
    .option(
      '--config <setting>',
      'over the configuration of a role: agent.swarm.wantedPeers=12; may be repeated',
      (text: string, before: ConfigOverride[] | undefined) => [...(before ?? []), parseOverride(text)],
    )
    .option('--json', 'print the result as JSON', false)
    .option('--out <file>', 'where the result goes (default: bench/results/swarm-<date>.json)')
    .option('--dir <folder>', 'where the temporary folder is made (default: that of the system)')
    .addOption(new Option('--cleanup', 'only remove what killed benches have left').default(false))
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .allowExcessArguments(false);
}
