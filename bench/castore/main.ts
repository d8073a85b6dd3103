import { resultHead } from '../lib/result-file.ts';
import { progress, runBench } from '../lib/run-bench.ts';
import { median } from '../lib/statistics.ts';
import { formatSize } from '../lib/units.ts';
import { type Measurement, measure, type Step } from './measure.ts';
import { type Options, parseOptions, usage } from './options.ts';
import { sampleBlob } from './sample-blob.ts';

/*
 * What a piece costs from memory to disk and back, by piece length and order; see `options.ts` for how it is run. Compare
 * figures of one run only: absolute ones change with whatever else the machine does.
 */

const steps = ['write', 'verify', 'commit', 'lend', 'stream'] as const;

process.exitCode = await runBench(async (signal) => {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(usage);
    return 0;
  }
  const head = await resultHead('castore', new Date());
  const cases = await runCases(options, signal);
  if (options.json) process.stdout.write(`${JSON.stringify({ ...head, cases }, undefined, 2)}\n`);
  return 0;
});

async function runCases(options: Options, signal: AbortSignal) {
  const modules = await Promise.all(options.stores.map(async ({ name, url }) => ({ name, module: await import(url) })));
  const cases = [];
  for (const pieceLength of options.pieceLengths) {
    const blob = sampleBlob(options.sizeBytes, pieceLength);
    for (const order of options.orders) {
      const measured = new Map<string, Measurement[]>(modules.map(({ name }) => [name, []]));
      for (let round = 0; round < options.rounds; round += 1) {
        // By turns, so that what else the machine does meets all alike.
        for (const { name, module } of modules) {
          measured.get(name)?.push(await measure(module, blob, order, options, signal));
        }
      }
      for (const [store, rounds] of measured) {
        const medians = Object.fromEntries(steps.map((step) => [step, medianStep(rounds.map((round) => round[step]))]));
        const residentBytes = middle(rounds.map((round) => round.residentBytes));
        cases.push({ store, pieceLength, order, ...medians, residentBytes });
        progress(`${formatSize(pieceLength)} pieces, ${order} order, store "${store}"`);
        for (const step of steps) progress(`  ${step.padEnd(7)} ${describeStep(medians[step])}`);
      }
    }
  }
  return cases;
}

function medianStep(all: readonly Step[]): Step {
  return {
    seconds: middle(all.map((step) => step.seconds)),
    megabytesPerSecond: middle(all.map((step) => step.megabytesPerSecond)),
    cpuSecondsPerGibibyte: middle(all.map((step) => step.cpuSecondsPerGibibyte)),
    loopUtilisation: middle(all.map((step) => step.loopUtilisation)),
  };
}

function describeStep(step: Step | undefined): string {
  if (step === undefined) return 'not measured';
  const { seconds, megabytesPerSecond, cpuSecondsPerGibibyte, loopUtilisation } = step;
  const loop = `${Math.round(loopUtilisation * 100)} % of the loop`;
  return `${seconds.toFixed(2)} s, ${megabytesPerSecond.toFixed(0)} MB/s, ${cpuSecondsPerGibibyte.toFixed(2)} CPU s/GiB, ${loop}`;
}

function middle(values: readonly number[]): number {
  return median(values) ?? Number.NaN;
}
