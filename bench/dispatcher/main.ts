import { parseArgs } from 'node:util';
import { BenchUsageError } from '../lib/errors.ts';
import { resultHead } from '../lib/result-file.ts';
import { progress, runBench } from '../lib/run-bench.ts';
import { median } from '../lib/statistics.ts';
import { parseCount } from '../lib/units.ts';
import { measureDispatcherBytes, runDispatcher, runSuggester, type Work } from './workload.ts';

/*
 * How many calls a second the dispatcher takes, for blobs of 100, 2,048 and 50,000 pieces: the cost of a call has to be the
 * same. Sizes are measured by turns, so that what else the machine does meets all alike.
 */

const usage = `usage: node --expose-gc bench/dispatcher/main.ts [options]

Calls a second of the dispatcher with ten neighbours, and of an origin's suggester with 64; with --expose-gc also what one
dispatcher holds in memory.

  --pieces 100,2048,50000  sizes of blobs
  --rounds 3               each size so often; the median is printed
  --seconds 1              of each round
  --json                   the result on standard output
`;

const SUGGESTER_NEIGHBOURS = 64;

process.exitCode = await runBench(async (signal) => {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(usage);
    return 0;
  }
  const head = await resultHead('dispatcher', new Date());
  const memory = globalThis.gc === undefined ? [] : options.pieces.map(measureMemory);
  const kinds = [
    { kind: 'dispatcher', run: (pieces: number) => runDispatcher(pieces, options.seconds) },
    { kind: 'suggester', run: (pieces: number) => runSuggester(pieces, SUGGESTER_NEIGHBOURS, options.seconds) },
  ];
  const cases = kinds.flatMap(({ kind, run }) => measure(kind, run, options, signal));
  if (options.json) process.stdout.write(`${JSON.stringify({ ...head, cases, memory }, undefined, 2)}\n`);
  return 0;
});

function measure(kind: string, run: (pieces: number) => Work, options: Options, signal: AbortSignal) {
  const works = new Map<number, Work[]>(options.pieces.map((pieces) => [pieces, []]));
  // The first time warms up.
  for (let round = 0; round <= options.rounds; round++) {
    for (const [pieces, measured] of works) {
      signal.throwIfAborted();
      const work = run(pieces);
      if (round > 0) measured.push(work);
    }
  }
  return [...works].map(([pieces, measured]) => {
    const callsPerSecond = Math.round(median(measured.map((work) => work.calls / work.seconds)) ?? Number.NaN);
    progress(`${kind}, ${pieces} pieces: ${(callsPerSecond / 1e6).toFixed(2)} million calls a second`);
    return { kind, pieces, callsPerSecond };
  });
}

function measureMemory(pieces: number) {
  const bytesEach = measureDispatcherBytes(pieces);
  progress(`dispatcher, ${pieces} pieces, ten neighbours: ${bytesEach} bytes`);
  return { pieces, bytesEach };
}

type Options = ReturnType<typeof readOptions>;

function readOptions(args: readonly string[]) {
  const values = readArgs(args);
  return {
    pieces: values.pieces.split(',').map((text) => parseCount(text, 1)),
    rounds: parseCount(values.rounds, 1),
    seconds: parseCount(values.seconds, 1),
    json: values.json,
    help: values.help,
  };
}

function readArgs(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        pieces: { type: 'string', default: '100,2048,50000' },
        rounds: { type: 'string', default: '3' },
        seconds: { type: 'string', default: '1' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new BenchUsageError(error instanceof Error ? error.message : String(error), {}, { cause: error });
  }
}
