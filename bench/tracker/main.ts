/** `npm run bench:tracker`: one tracker under a fleet, and BEP 3 announces beside opentracker. See docs/tracker.md. */
import { basename } from 'node:path';
import { defaultResultFile, type ResultHead, resultHead, writeResult } from '../lib/result-file.ts';
import { progress, runBench } from '../lib/run-bench.ts';
import { removeLeftovers, Workbench } from '../lib/workbench.ts';
import { type FleetResult, measureFleet } from './fleet.ts';
import { type ForeignFigures, hasProgram, measureForeign } from './foreign.ts';
import { parseTrackerOptions, type TrackerBenchOptions } from './options.ts';
import { describeTrackerResult } from './report.ts';

/** Everything that one run found. */
export interface TrackerResult extends ResultHead {
  readonly fleet: FleetResult;
  /** Missing when it was not asked for, or `wrk` is not there. */
  readonly foreign?: ForeignFigures;
}

async function main(signal: AbortSignal): Promise<number> {
  const options = parseTrackerOptions(process.argv.slice(2));
  if (options === undefined) return 0;
  for (const name of await removeLeftovers()) progress(`removed ${name}, left by a bench that was killed`);
  const head = await resultHead('tracker', new Date());
  const result: TrackerResult = { ...head, ...(await measure(options, signal)) };
  const file = options.out ?? defaultResultFile(head);
  await writeResult(file, result);
  progress(`written to ${options.out ?? `bench/results/${basename(file)}`}`);
  console.log(options.json ? JSON.stringify(result, undefined, 2) : describeTrackerResult(result));
  return result.fleet.phases.some(({ failed, askedForAll }) => failed + askedForAll > 0) ? 1 : 0;
}

async function measure(
  options: TrackerBenchOptions,
  signal: AbortSignal,
): Promise<{ fleet: FleetResult; foreign?: ForeignFigures }> {
  const bench = await Workbench.open(signal);
  try {
    progress(`${options.hosts} hosts with ${options.swarmsPerHost} swarms each arrive, and go on`);
    const fleet = await measureFleet(bench, options);
    if (options.foreignSeconds === 0) return { fleet };
    if (!hasProgram('wrk')) {
      progress('BEP 3 announces are left out: wrk is not installed (apt-get install wrk)');
      return { fleet };
    }
    if (!hasProgram('opentracker'))
      progress('without opentracker, which is not installed (apt-get install opentracker)');
    progress(`BEP 3 announces, ${options.rounds} rounds of ${options.foreignSeconds} s each`);
    const { foreignSeconds: seconds, rounds, profile } = options;
    return { fleet, foreign: await measureForeign(bench, { seconds, rounds, profile }) };
  } finally {
    await bench.close();
  }
}

process.exitCode = await runBench(main);
