/** `npm run bench:registry`: shoal registry beside distribution's, on one disk. See docs/benchmarks.md. */
import { execFile, spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { BenchNeedsError } from '../lib/errors.ts';
import { defaultResultFile, resultHead, writeResult } from '../lib/result-file.ts';
import { progress, runBench } from '../lib/run-bench.ts';
import { removeLeftovers, Workbench } from '../lib/workbench.ts';
import { type CaseName, registryCases } from './cases.ts';
import { labelOf } from './engine.ts';
import { prepareDownloads, prepareOffloaded, prepareUploads } from './large.ts';
import type { Prepare } from './measurement.ts';
import { parseRegistryOptions, type RegistryBenchOptions } from './options.ts';
import {
  describeRegistryResult,
  describeRegistryRun,
  type RegistryResult,
  type RegistryRun,
  rowsOf,
} from './report.ts';
import { prepareSlowReaders } from './slow.ts';
import { prepareManifests, prepareSmallBlobs } from './small.ts';

/** How each case is made ready, and the programs that it needs beside the engines. */
const preparations: Readonly<Record<CaseName, { readonly prepare: Prepare; readonly programs: readonly Program[] }>> = {
  blob2k: { prepare: prepareSmallBlobs, programs: ['wrk'] },
  manifest: { prepare: prepareManifests, programs: ['wrk'] },
  upload: { prepare: prepareUploads, programs: [] },
  download: { prepare: prepareDownloads, programs: [] },
  offload: { prepare: prepareOffloaded, programs: ['nginx'] },
  slow: { prepare: prepareSlowReaders, programs: ['python3'] },
};

/** Debian's package of each program, and how it tells its version (some fail when they do). */
const programs = {
  wrk: { debianPackage: 'wrk', version: ['--version'] },
  nginx: { debianPackage: 'nginx-light', version: ['-v'] },
  python3: { debianPackage: 'python3', version: ['--version'] },
  'docker-registry': { debianPackage: 'docker-registry', version: ['--version'] },
} as const;
type Program = keyof typeof programs;

const run = promisify(execFile);

async function main(signal: AbortSignal): Promise<number> {
  const options = parseRegistryOptions(process.argv.slice(2));
  if (options === undefined) return 0;
  const parent = options.directory ?? tmpdir();
  for (const name of await removeLeftovers(parent)) progress(`removed ${name}, left by a bench that was killed`);
  if (options.cleanup) return 0;
  const versions = await versionsOf(neededBy(options));
  const head = await resultHead('registry', new Date());
  const runs: RegistryRun[] = [];
  for (const name of options.cases) runs.push(...(await runCase(name, options, parent, signal)));
  const result: RegistryResult = { ...head, versions, sizeBytes: options.sizeBytes, rows: rowsOf(runs), runs };
  const file = options.out ?? defaultResultFile(head);
  await writeResult(file, result);
  progress(`written to ${options.out ?? `bench/results/${basename(file)}`}`);
  console.log(options.json ? JSON.stringify(result, undefined, 2) : describeRegistryResult(result));
  return 0;
}

/** All engines on one case: each round measures every variant on every engine in turn. */
async function runCase(
  name: CaseName,
  options: RegistryBenchOptions,
  parent: string,
  signal: AbortSignal,
): Promise<RegistryRun[]> {
  progress(`${name}: ${registryCases[name].title}`);
  const workbench = await Workbench.open(signal, parent);
  try {
    const prepared = [];
    for (const [index, engine] of options.engines.entries()) {
      const folder = join(workbench.directory, `storage-${index}`);
      const subjects = await preparations[name].prepare({ workbench, options, engine, folder });
      prepared.push({ engine: labelOf(engine), subjects });
    }
    const runs: RegistryRun[] = [];
    // Slow readers meet servers that have just been started: there is nothing to warm up.
    if (name !== 'slow')
      for (const { subjects } of prepared) for (const subject of subjects) await subject.measure(undefined);
    for (let round = 0; round < options.runs; round++) {
      for (const index of prepared[0]!.subjects.keys()) {
        for (const { engine, subjects } of prepared) {
          signal.throwIfAborted();
          const { variant, measure } = subjects[index]!;
          const measured: RegistryRun = { case: name, variant, engine, round, ...(await measure(round)) };
          progress(describeRegistryRun(measured));
          runs.push(measured);
        }
      }
    }
    return runs;
  } finally {
    await workbench.close();
  }
}

function neededBy({ cases, engines }: RegistryBenchOptions): Program[] {
  const needed = new Set(cases.flatMap((name) => preparations[name].programs));
  if (engines.some(({ kind }) => kind === 'distribution')) needed.add('docker-registry');
  return [...needed];
}

/** @throws BenchNeedsError for all that are missing */
async function versionsOf(needed: readonly Program[]): Promise<Record<string, string>> {
  const missing = needed.filter((name) => spawnSync('which', [name]).status !== 0);
  if (missing.length > 0) {
    const packages = missing.map((name) => programs[name].debianPackage).join(' ');
    throw new BenchNeedsError(`missing on this machine: ${missing.join(', ')}; apt-get install ${packages}`);
  }
  const each = await Promise.all(needed.map(async (name) => [name, await versionOf(name)] as const));
  return Object.fromEntries(each);
}

/** The first line that has a number in it; wrk prints it with its usage, and fails. */
async function versionOf(name: Program): Promise<string> {
  const said = await run(name, [...programs[name].version]).catch(
    (error: { stdout?: string; stderr?: string }) => error,
  );
  const lines = `${said.stdout ?? ''}\n${said.stderr ?? ''}`.split('\n');
  return lines.find((line) => /\d/.test(line))?.trim() ?? 'unknown';
}

process.exitCode = await runBench(main);
