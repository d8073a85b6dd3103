/** `npm run bench:drivers`: storage drivers beside plain calls of the file system. See docs/benchmarks.md. */
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import type { RemoteChild } from '../lib/remote-child.ts';
import { defaultResultFile, resultHead, writeResult } from '../lib/result-file.ts';
import { progress, runBench } from '../lib/run-bench.ts';
import { median } from '../lib/statistics.ts';
import { formatSize } from '../lib/units.ts';
import { Workbench } from '../lib/workbench.ts';
import { type Operation, type OperationFigures, operations, type SubjectCalls } from './calls.ts';
import { type DriverBenchOptions, parseDriverBenchOptions, type SubjectOptions } from './options.ts';

interface Size {
  readonly sizeBytes: number;
  /** Objects in one measurement: enough that a timer's tick does not count. */
  readonly count: number;
  readonly operations: readonly Operation[];
}

const COUNTS: readonly Size[] = [
  { sizeBytes: 1024, count: 200, operations: ['put', 'get'] },
  { sizeBytes: 2 ** 20, count: 50, operations: ['put', 'get'] },
];

/** The medians of one operation at one size. */
interface Row {
  readonly storage: string;
  readonly operation: string;
  readonly sizeBytes: number;
  readonly perSecond: number;
  readonly megabytesPerSecond: number;
  readonly cpuSecondsPerGib: number;
  readonly peakBytes: number;
  /** Its rate beside that of plain calls in the same rounds. */
  readonly ofPlain: number;
}

process.exitCode = await runBench(async (signal) => {
  const options = parseDriverBenchOptions(process.argv.slice(2));
  if (options === undefined) return 0;
  const head = await resultHead('drivers', new Date());
  const rows = await measureAll(options, signal);
  const result = { ...head, rows };
  const file = options.out ?? defaultResultFile(head);
  await writeResult(file, result);
  progress(`written to ${options.out ?? `bench/results/${basename(file)}`}`);
  console.log(options.json ? JSON.stringify(result, undefined, 2) : rows.map(describe).join('\n'));
  return 0;
});

async function measureAll(options: DriverBenchOptions, signal: AbortSignal): Promise<Row[]> {
  const workbench = await Workbench.open(signal, options.directory ?? tmpdir());
  try {
    const sizes: readonly Size[] = [
      ...COUNTS,
      { sizeBytes: options.sizeBytes, count: 1, operations: ['write', 'read'] },
    ];
    const measured = new Map<string, OperationFigures[]>();
    for (const size of sizes) await measureSize(workbench, options, size, measured);
    return options.subjects.flatMap(({ name }) =>
      sizes.flatMap(({ sizeBytes, count }) =>
        operations.flatMap((operation) => rowOf(measured, { name, operation, sizeBytes, count })),
      ),
    );
  } finally {
    await workbench.close();
  }
}

/** Each size in processes of its own: what a process has done before is in its memory. */
async function measureSize(
  workbench: Workbench,
  options: DriverBenchOptions,
  { sizeBytes, count, operations: those }: Size,
  measured: Map<string, OperationFigures[]>,
): Promise<void> {
  const subjects: { readonly name: string; readonly child: RemoteChild<SubjectCalls> }[] = [];
  for (const subject of options.subjects) subjects.push(await openSubject(workbench, subject));
  for (let round = 1; round <= options.runs; round++) {
    for (const operation of those) {
      // In turn, so that what else the machine does meets all alike.
      for (const { name, child } of subjects) {
        const figures = await child.call('run', { operation, sizeBytes, count });
        const key = keyOf(name, operation, sizeBytes);
        measured.set(key, [...(measured.get(key) ?? []), figures]);
        progress(`round ${round}: ${operation} ${formatSize(sizeBytes)}, ${name}: ${figures.seconds.toFixed(2)} s`);
      }
    }
  }
  for (const { child } of subjects) {
    if (those.includes('write')) await child.call('verify', { sizeBytes });
    await child.call('close', {});
    await child.kill();
  }
}

async function openSubject(workbench: Workbench, { name, parametersFile }: SubjectOptions) {
  const script = fileURLToPath(new URL('subject.ts', import.meta.url));
  const child = workbench.startRemote<SubjectCalls>(name, [process.execPath, script]);
  const own = name === 'inmemory' ? { maxbytes: 16 * 2 ** 30 } : { rootdirectory: join(workbench.directory, name) };
  const parameters = parametersFile === undefined ? own : (parse(await readFile(parametersFile, 'utf8')) as typeof own);
  await child.call('open', { name, parameters });
  return { name, child };
}

function keyOf(name: string, operation: string, sizeBytes: number): string {
  return `${name} ${operation} ${sizeBytes}`;
}

function rowOf(
  measured: ReadonlyMap<string, readonly OperationFigures[]>,
  of: { readonly name: string; readonly operation: string; readonly sizeBytes: number; readonly count: number },
): Row[] {
  const { name, operation, sizeBytes, count } = of;
  const rounds = measured.get(keyOf(name, operation, sizeBytes));
  const plain = measured.get(keyOf('plain', operation, sizeBytes));
  if (rounds === undefined || plain === undefined) return [];
  const middle = (values: readonly number[]) => median(values) ?? Number.NaN;
  const seconds = middle(rounds.map((round) => round.seconds));
  const bytes = sizeBytes * count;
  return [
    {
      storage: name,
      operation,
      sizeBytes,
      perSecond: count / seconds,
      megabytesPerSecond: bytes / 1e6 / seconds,
      cpuSecondsPerGib: middle(rounds.map((round) => round.cpuSeconds)) / (bytes / 2 ** 30),
      peakBytes: Math.max(...rounds.map((round) => round.peakBytes)),
      ofPlain: middle(rounds.map((round, index) => (plain[index]?.seconds ?? Number.NaN) / round.seconds)),
    },
  ];
}

function describe(row: Row): string {
  const rate =
    row.sizeBytes < 2 ** 20 ? `${row.perSecond.toFixed(0)} a second` : `${row.megabytesPerSecond.toFixed(0)} MB/s`;
  const what = `${row.storage}, ${row.operation} ${formatSize(row.sizeBytes)}`.padEnd(30);
  const peak = `peak ${(row.peakBytes / 1e6).toFixed(0)} MB`;
  return `${what} ${rate}, ${row.ofPlain.toFixed(2)} × plain, ${row.cpuSecondsPerGib.toFixed(2)} CPU s/GiB, ${peak}`;
}
