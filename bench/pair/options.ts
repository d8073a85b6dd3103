import { Command, Option } from 'commander';
import { parseFlags } from '../lib/command-line.ts';
import { BenchUsageError } from '../lib/errors.ts';
import { parseCount, parseSize } from '../lib/units.ts';

/** What joins the two ends. */
export const pairLinks = ['loopback', 'veth'] as const;
export type PairLink = (typeof pairLinks)[number];

/** Shoal of this checkout or another, or libtorrent. */
export type PairEngine = { readonly kind: 'shoal'; readonly checkout?: string } | { readonly kind: 'libtorrent' };

/** What the command line asks for. */
export interface PairBenchOptions {
  readonly sizeBytes: number;
  readonly links: readonly PairLink[];
  readonly engines: readonly PairEngine[];
  readonly runs: number;
  /** Without it that of the table. */
  readonly pieceLength?: number;
  readonly json: boolean;
  readonly out?: string;
  readonly directory?: string;
  readonly cleanup: boolean;
}

interface Flags {
  readonly size: number;
  readonly link: string;
  readonly engine: string;
  readonly runs: number;
  readonly pieceLength?: number;
  readonly json: boolean;
  readonly out?: string;
  readonly dir?: string;
  readonly cleanup: boolean;
}

/**
 * Reads the command line (without program and script).
 * @returns `undefined` when it asked for help, which has been printed then
 * @throws BenchUsageError
 */
export function parsePairOptions(args: readonly string[]): PairBenchOptions | undefined {
  const flags = parseFlags<Flags>(buildCommand(), args);
  if (flags === undefined) return undefined;
  const { size, link, engine, runs, pieceLength, json, out, dir, cleanup } = flags;
  return {
    sizeBytes: size,
    links: link === 'both' ? pairLinks : [parseLink(link)],
    engines: engine.split(',').map(parseEngine),
    runs,
    json,
    cleanup,
    ...(pieceLength === undefined ? {} : { pieceLength }),
    ...(out === undefined ? {} : { out }),
    ...(dir === undefined ? {} : { directory: dir }),
  };
}

function parseLink(text: string): PairLink {
  const link = pairLinks.find((candidate) => candidate === text);
  if (link !== undefined) return link;
  throw new BenchUsageError(`"${text}" is no link: expected both, ${pairLinks.join(' or ')}`);
}

function parseEngine(text: string): PairEngine {
  if (text === 'libtorrent') return { kind: 'libtorrent' };
  if (text === 'shoal') return { kind: 'shoal' };
  if (text.startsWith('shoal:') && text.length > 6) return { kind: 'shoal', checkout: text.slice(6) };
  throw new BenchUsageError(`"${text}" is no engine: expected shoal, shoal:FOLDER or libtorrent`);
}

function parsePieceLength(text: string): number {
  const bytes = parseSize(text);
  if (bytes >= 2 ** 16 && bytes <= 2 ** 22 && Number.isInteger(Math.log2(bytes))) return bytes;
  throw new BenchUsageError(`"${text}" is no piece length: expected a power of two from 64KiB to 4MiB`);
}

function buildCommand(): Command {
  return new Command('bench:pair')
    .description(
      'Measures one seeder and one receiver, each a process, to disk, with every digest checked; libtorrent in turn. ' +
        'Nothing is shaped. The veth link needs root.',
    )
    .option('--size <size>', 'of the blob', parseSize, 2 ** 30)
    .option('--link <link>', 'loopback, veth or both', 'both')
    .option('--engine <names>', 'shoal, shoal:FOLDER (another checkout), libtorrent; several: a,b', 'shoal,libtorrent')
    .option('--runs <n>', 'rounds; figures are medians of them', (text) => parseCount(text, 1), 5)
    .option('--piece-length <size>', 'of the blob (default: that of its size)', parsePieceLength)
    .option('--json', 'print the result as JSON', false)
    .option('--out <file>', 'where the result goes (default: bench/results/pair-<date>.json)')
    .option('--dir <folder>', 'where the temporary folder is made (default: that of the system)')
    .addOption(new Option('--cleanup', 'only remove what killed benches have left').default(false))
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .allowExcessArguments(false);
}
