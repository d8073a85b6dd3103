import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { BenchUsageError } from '../lib/errors.ts';
import { parseCount, parseRate, parseSize } from '../lib/units.ts';

/** In which order pieces come. */
export type PieceOrder = 'index' | 'random';

/** What is measured. */
export interface Options {
  readonly sizeBytes: number;
  readonly pieceLengths: readonly number[];
  readonly orders: readonly PieceOrder[];
  readonly rounds: number;
  readonly hashWorkers: number;
  /** Pieces that arrive at the same time. */
  readonly atOnce: number;
  /** `undefined`: as fast as the store takes them. */
  readonly bytesPerSecond: number | undefined;
  /** The folder in which the store is made; it is removed afterwards. */
  readonly directory: string | undefined;
  /** Each one a store to measure, by turns: the `index.ts` of a castore folder. */
  readonly stores: readonly { readonly name: string; readonly url: string }[];
  readonly json: boolean;
  readonly help: boolean;
}

/** What `--help` prints. */
export const usage = `usage: node bench/castore/main.ts [options]

Writes a blob piece by piece into a store, commits it, and reads it back: CPU seconds and MB/s of each.

  --size 1GiB           of the blob
  --pieces 64KiB,1MiB   piece lengths (default: 64KiB,1MiB,4MiB)
  --order index,random  in which order pieces come (default: both)
  --rounds 3            each case so often; the median is printed
  --workers 1           piece threads of the store
  --at-once 8           pieces that arrive at the same time
  --rate 100mbit        how fast pieces arrive (default: as fast as they are taken)
  --dir <folder>        where the store is made (default: the folder for temporary files)
  --store old=<file>    another castore/index.ts to measure in the same run, in turn with this one
  --json                the result on standard output
`;

/** Reads the command line. @throws BenchUsageError */
export function parseOptions(args: readonly string[]): Options {
  const values = readArgs(args);
  const here = { name: 'this', url: new URL('../../src/castore/index.ts', import.meta.url).href };
  return {
    sizeBytes: parseSize(values.size),
    pieceLengths: values.pieces.split(',').map(parseSize),
    orders: values.order.split(',').map(parseOrder),
    rounds: parseCount(values.rounds, 1),
    hashWorkers: parseCount(values.workers, 0),
    atOnce: parseCount(values['at-once'], 1),
    bytesPerSecond: values.rate === undefined ? undefined : parseRate(values.rate) / 8,
    directory: values.dir,
    stores: [here, ...values.store.map(parseStore)],
    json: values.json,
    help: values.help,
  };
}

function readArgs(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        size: { type: 'string', default: '1GiB' },
        pieces: { type: 'string', default: '64KiB,1MiB,4MiB' },
        order: { type: 'string', default: 'index,random' },
        rounds: { type: 'string', default: '3' },
        workers: { type: 'string', default: '1' },
        'at-once': { type: 'string', default: '8' },
        rate: { type: 'string' },
        dir: { type: 'string' },
        store: { type: 'string', multiple: true, default: [] },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new BenchUsageError(error instanceof Error ? error.message : String(error), {}, { cause: error });
  }
}

function parseOrder(text: string): PieceOrder {
  if (text === 'index' || text === 'random') return text;
  throw new BenchUsageError(`"${text}" is no order: expected index or random`);
}

function parseStore(text: string): { name: string; url: string } {
  const [, name, file] = /^([a-z0-9-]+)=(.+)$/.exec(text) ?? [];
  if (name !== undefined && file !== undefined) return { name, url: pathToFileURL(file).href };
  throw new BenchUsageError(`"${text}" is no store: expected a name, "=", and the index.ts of a castore folder`);
}
