/** `npm run bench:pair`: one seeder, one receiver, as fast as they can. See docs/benchmarks.md. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { NAMESPACE_PREFIX } from '../lib/network.ts';
import { makeRandomBlob } from '../lib/random-file.ts';
import { defaultResultFile, resultHead, writeResult } from '../lib/result-file.ts';
import { progress, runBench } from '../lib/run-bench.ts';
import { removeLeftovers } from '../lib/workbench.ts';
import { type PairBenchOptions, parsePairOptions } from './options.ts';
import { type PairRun, runPair } from './pair-run.ts';
import { describePairRun, describePairs, type PairResult, pairMedians } from './report.ts';

async function main(signal: AbortSignal): Promise<number> {
  const options = parsePairOptions(process.argv.slice(2));
  if (options === undefined) return 0;
  const parent = options.directory ?? tmpdir();
  for (const name of await removeLeftovers(parent)) progress(`removed ${name}, left by a bench that was killed`);
  if (options.cleanup) return 0;
  const head = await resultHead('pair', new Date());
  const runs = await runAll(options, parent, signal);
  const result: PairResult = { ...head, sizeBytes: options.sizeBytes, medians: pairMedians(runs), runs };
  const file = options.out ?? defaultResultFile(head);
  await writeResult(file, result);
  progress(`written to ${options.out ?? `bench/results/${basename(file)}`}`);
  console.log(options.json ? JSON.stringify(result, undefined, 2) : describePairs(result));
  return 0;
}

async function runAll(options: PairBenchOptions, parent: string, signal: AbortSignal): Promise<PairRun[]> {
  const folder = await mkdtemp(join(parent, `${NAMESPACE_PREFIX}${process.pid}-`));
  try {
    const blob = await makeRandomBlob(folder, options.sizeBytes, options.pieceLength);
    const runs: PairRun[] = [];
    for (let round = 0; round < options.runs; round++) {
      for (const link of options.links) {
        for (const engine of options.engines) {
          signal.throwIfAborted();
          const run = await runPair({ engine, link, blob, round, signal, parent });
          progress(describePairRun(run));
          runs.push(run);
        }
      }
    }
    return runs;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

process.exitCode = await runBench(main);
