import type { ResultHead } from '../lib/result-file.ts';
import { known, median } from '../lib/statistics.ts';
import { formatSize } from '../lib/units.ts';
import type { PairLink } from './options.ts';
import type { PairRun } from './pair-run.ts';

/** Medians of one engine on one link. */
export interface PairMedians {
  readonly engine: string;
  readonly link: PairLink;
  readonly megabytesPerSecond: number;
  readonly receiverCpuSecondsPerGib: number;
  readonly senderCpuSecondsPerGib: number;
  /** Of MB/s to those of the last engine, round by round; of the last one itself it is missing. */
  readonly speedToLastEngine?: number;
}

/** The whole result of a bench, as it is written. */
export interface PairResult extends ResultHead {
  readonly sizeBytes: number;
  readonly medians: readonly PairMedians[];
  readonly runs: readonly PairRun[];
}

/** Medians by link and engine; each is compared with the last engine, run by run. */
export function pairMedians(runs: readonly PairRun[]): PairMedians[] {
  const links = [...new Set(runs.map(({ link }) => link))];
  const engines = [...new Set(runs.map(({ engine }) => engine))];
  const last = engines.at(-1);
  return links.flatMap((link) =>
    engines.map((engine) => {
      const own = runs.filter((run) => run.link === link && run.engine === engine);
      const ratios = own.map(({ round, megabytesPerSecond }) => {
        const other = runs.find((run) => run.link === link && run.engine === last && run.round === round);
        return other === undefined ? undefined : megabytesPerSecond / other.megabytesPerSecond;
      });
      const ratio = engine === last ? undefined : median(known(ratios));
      return {
        engine,
        link,
        megabytesPerSecond: median(own.map((run) => run.megabytesPerSecond)) ?? 0,
        receiverCpuSecondsPerGib: median(own.map((run) => run.receiver.cpuSecondsPerGib)) ?? 0,
        senderCpuSecondsPerGib: median(own.map((run) => run.sender.cpuSecondsPerGib)) ?? 0,
        ...(ratio === undefined ? {} : { speedToLastEngine: ratio }),
      };
    }),
  );
}

/** One line about one run, while others are still to come. */
export function describePairRun(run: PairRun): string {
  const { engine, link, round, megabytesPerSecond, receiver, sender, committedSeconds, seconds, machineCpu } = run;
  const synced = committedSeconds === undefined ? '' : `, synced ${(committedSeconds - seconds).toFixed(2)} s later`;
  return (
    `${engine}, ${link}, round ${round + 1}: ${megabytesPerSecond.toFixed(0)} MB/s, CPU s/GiB receiving ` +
    `${receiver.cpuSecondsPerGib.toFixed(2)}, sending ${sender.cpuSecondsPerGib.toFixed(2)}, peak memory ` +
    `${formatSize(receiver.peakMemoryBytes)} and ${formatSize(sender.peakMemoryBytes)}${synced}, ` +
    `machine CPU ${(machineCpu * 100).toFixed(0)} %`
  );
}

/** The result for people. */
export function describePairs({ medians, sizeBytes, runs }: Omit<PairResult, keyof ResultHead>): string {
  const rounds = new Set(runs.map(({ round }) => round)).size;
  const pieces = [...new Set(runs.map(({ pieceLength }) => formatSize(pieceLength)))].join(', ');
  const last = medians.at(-1)?.engine;
  const lines = medians.map((row) => {
    const ratio = row.speedToLastEngine === undefined ? '' : `, ${row.speedToLastEngine.toFixed(2)} × ${last}`;
    const cpu = `CPU s/GiB receiving ${row.receiverCpuSecondsPerGib.toFixed(2)}, sending ${row.senderCpuSecondsPerGib.toFixed(2)}`;
    return `  ${row.link}, ${row.engine}: ${row.megabytesPerSecond.toFixed(0)} MB/s${ratio}, ${cpu}`;
  });
  return [`one pair, ${formatSize(sizeBytes)}, pieces of ${pieces}, median of ${rounds}:`, ...lines].join('\n');
}
