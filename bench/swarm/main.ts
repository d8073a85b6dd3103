/** `npm run bench:swarm`: a swarm on real, shaped links. See docs/benchmarks.md. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NAMESPACE_PREFIX, requireNetworkTools } from '../lib/network.ts';
import { makeRandomBlob, type RandomBlob } from '../lib/random-file.ts';
import { defaultResultFile, resultHead, writeResult } from '../lib/result-file.ts';
import { progress, runBench } from '../lib/run-bench.ts';
import { removeLeftovers } from '../lib/workbench.ts';
import type { SwarmEngine } from './engine.ts';
import { type EngineChoice, parseSwarmOptions, type SwarmBenchOptions } from './options.ts';
import { planOf, type SwarmPlan } from './plan.ts';
import { casesOf, describeCases, describeRun, type SwarmResult } from './report.ts';
import { runSwarm, type SwarmRun } from './run.ts';
import { ShoalEngine } from './shoal-engine.ts';
import { StockEngine } from './stock-engine.ts';

const here = fileURLToPath(new URL('../..', import.meta.url));

async function main(signal: AbortSignal): Promise<number> {
  const options = parseSwarmOptions(process.argv.slice(2));
  if (options === undefined) return 0;
  const parent = options.directory ?? tmpdir();
  for (const name of await removeLeftovers(parent)) progress(`removed ${name}, left by a bench that was killed`);
  if (options.cleanup) return 0;
  const plan = planOf(options);
  await requireNetworkTools();
  const head = await resultHead('swarm', new Date());
  const folder = await mkdtemp(join(parent, `${NAMESPACE_PREFIX}${process.pid}-`));
  let runs: SwarmRun[];
  try {
    runs = await runAll(plan, options, { folder, parent, signal });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  const cases = casesOf(plan, runs);
  const result: SwarmResult = { ...head, cases, runs };
  const file = options.out ?? defaultResultFile(head);
  await writeResult(file, result);
  progress(`written to ${options.out ?? `bench/results/${basename(file)}`}`);
  console.log(options.json ? JSON.stringify(result, undefined, 2) : describeCases(cases));
  const failed = runs.some(({ hosts }) => hosts.some(({ judged, status }) => judged && status !== 'finished'));
  return failed ? 1 : 0;
}

/** Round by round, and in each round engine beside engine: what drifts on a shared machine then drifts for all. */
async function runAll(
  plan: SwarmPlan,
  options: SwarmBenchOptions,
  place: { folder: string; parent: string; signal: AbortSignal },
): Promise<SwarmRun[]> {
  const engines = options.engines.map((choice) => engineOf(choice, options));
  const blobs = new Map<number, RandomBlob>();
  const runs: SwarmRun[] = [];
  for (let round = 0; round < options.runs; round++) {
    for (const settings of plan.settings) {
      const { sizeBytes } = settings;
      const blob = blobs.get(sizeBytes) ?? (await makeRandomBlob(place.folder, sizeBytes));
      blobs.set(sizeBytes, blob);
      for (const engine of engines) {
        place.signal.throwIfAborted();
        const { parent, signal } = place;
        const run = await runSwarm({ engine, settings, blob, round, signal, parent });
        progress(describeRun(run));
        runs.push(run);
      }
    }
  }
  return runs;
}

function engineOf(choice: EngineChoice, { overrides }: SwarmBenchOptions): SwarmEngine {
  if (choice.kind !== 'shoal') return new StockEngine(choice.kind);
  if (choice.checkout === undefined) return new ShoalEngine({ label: 'shoal', checkout: here, overrides });
  const checkout = resolve(choice.checkout);
  return new ShoalEngine({ label: `shoal:${basename(checkout)}`, checkout, overrides });
}

process.exitCode = await runBench(main);
