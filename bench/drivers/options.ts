import { Command } from 'commander';
import { parseFlags } from '../lib/command-line.ts';
import { parseCount, parseSize } from '../lib/units.ts';

/** A storage to measure. */
export interface SubjectOptions {
  readonly name: string;
  /** A YAML file; without one the storage is a folder of the bench. */
  readonly parametersFile?: string;
}

/** What the command line asks for. */
export interface DriverBenchOptions {
  readonly subjects: readonly SubjectOptions[];
  readonly runs: number;
  /** Of the object that is streamed. */
  readonly sizeBytes: number;
  readonly json: boolean;
  readonly out?: string;
  readonly directory?: string;
}

interface Flags {
  readonly driver: string;
  readonly runs: number;
  readonly size: number;
  readonly json: boolean;
  readonly out?: string;
  readonly dir?: string;
}

/**
 * Reads the command line (without program and script).
 * @returns `undefined` when it asked for help, which has been printed then
 * @throws BenchUsageError
 */
export function parseDriverBenchOptions(args: readonly string[]): DriverBenchOptions | undefined {
  const command = new Command('bench:drivers')
    .description(
      'Measures storage drivers beside plain calls of the file system: objects of 1 KiB and 1 MiB, and one large stream.',
    )
    .option('--driver <names>', 'several: a,b; with a YAML file of parameters: name:FILE', 'inmemory,filesystem')
    .option('--runs <n>', 'rounds; figures are medians of them', (text) => parseCount(text, 1), 3)
    .option('--size <size>', 'of the large stream', parseSize, 2 ** 30)
    .option('--json', 'print the result as JSON', false)
    .option('--out <file>', 'where the result goes (default: bench/results/drivers-<date>.json)')
    .option('--dir <folder>', 'where the temporary folder is made (default: that of the system)')
    .exitOverride();
  const flags = parseFlags<Flags>(command, args);
  if (flags === undefined) return undefined;
  const { driver, runs, size, json, out, dir } = flags;
  return {
    subjects: [{ name: 'plain' }, ...driver.split(',').map(parseSubject)],
    runs,
    sizeBytes: size,
    json,
    ...(out === undefined ? {} : { out }),
    ...(dir === undefined ? {} : { directory: dir }),
  };
}

function parseSubject(text: string): SubjectOptions {
  const [, name = text, file] = /^([a-z0-9]+):(.+)$/.exec(text) ?? [];
  return file === undefined ? { name } : { name, parametersFile: file };
}
