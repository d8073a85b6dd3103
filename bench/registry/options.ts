import { Command, Option } from 'commander';
import { parseFlags } from '../lib/command-line.ts';
import { BenchUsageError } from '../lib/errors.ts';
import { parseCount, parseSeconds, parseSize } from '../lib/units.ts';
import { type CaseName, caseNames } from './cases.ts';

/** A registry that can be measured: that of this checkout or another, or distribution's own. */
export type RegistryEngine = { readonly kind: 'shoal'; readonly checkout?: string } | { readonly kind: 'distribution' };

/** What the command line asks for. */
export interface RegistryBenchOptions {
  readonly cases: readonly CaseName[];
  readonly engines: readonly RegistryEngine[];
  readonly runs: number;
  /** Of the large blob; that of slow readers is twice as long, so that no buffer holds a share of it that counts. */
  readonly sizeBytes: number;
  /** Of each run under small requests, and of the slow readers. */
  readonly durationSeconds: number;
  readonly slowReaders: number;
  readonly json: boolean;
  readonly out?: string;
  readonly directory?: string;
  readonly cleanup: boolean;
}

interface Flags {
  readonly case: string;
  readonly engine: string;
  readonly runs: number;
  readonly size: number;
  readonly duration: number;
  readonly slowReaders: number;
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
export function parseRegistryOptions(args: readonly string[]): RegistryBenchOptions | undefined {
  const flags = parseFlags<Flags>(buildCommand(), args);
  if (flags === undefined) return undefined;
  const { engine, runs, size, duration, slowReaders, json, out, dir, cleanup } = flags;
  if (duration < 1) throw new BenchUsageError(`--duration ${duration} is too short: expected a second or more`);
  return {
    cases: parseCases(flags.case),
    engines: engine.split(',').map(parseEngine),
    runs,
    sizeBytes: size,
    durationSeconds: duration,
    slowReaders,
    json,
    cleanup,
    ...(out === undefined ? {} : { out }),
    ...(dir === undefined ? {} : { directory: dir }),
  };
}

function parseCases(text: string): CaseName[] {
  if (text === 'all') return [...caseNames];
  const named = text.split(',').map((word) => {
    const name = caseNames.find((candidate) => candidate === word);
    if (name !== undefined) return name;
    throw new BenchUsageError(`"${word}" is no case: expected all, ${caseNames.join(', ')}`);
  });
  return [...new Set(named)];
}

function parseEngine(text: string): RegistryEngine {
  if (text === 'distribution') return { kind: 'distribution' };
  if (text === 'shoal') return { kind: 'shoal' };
  if (text.startsWith('shoal:') && text.length > 6) return { kind: 'shoal', checkout: text.slice(6) };
  throw new BenchUsageError(`"${text}" is no engine: expected shoal, shoal:FOLDER or distribution`);
}

function buildCommand(): Command {
  const count = (text: string) => parseCount(text, 1);
  return new Command('bench:registry')
    .description(
      "Measures shoal registry on a folder beside Debian's docker-registry on another of the same disk, in turn. The load " +
        'runs on the same cores.',
    )
    .option('--case <names>', `all, ${caseNames.join(', ')}; several: a,b`, 'all')
    .option(
      '--engine <names>',
      'shoal, shoal:FOLDER (another checkout), distribution; several: a,b',
      'shoal,distribution',
    )
    .option('--runs <n>', 'rounds; figures are medians of them', count, 5)
    .option('--size <size>', 'of the large blob; slow readers get one of twice that', parseSize, 512 * 2 ** 20)
    .option('--duration <seconds>', 'of each run under small requests, and of the slow readers', parseSeconds, 10)
    .option('--slow-readers <n>', 'how many', count, 200)
    .option('--json', 'print the result as JSON', false)
    .option('--out <file>', 'where the result goes (default: bench/results/registry-<date>.json)')
    .option('--dir <folder>', 'where the temporary folder is made (default: that of the system)')
    .addOption(new Option('--cleanup', 'only remove what killed benches have left').default(false))
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .allowExcessArguments(false);
}
