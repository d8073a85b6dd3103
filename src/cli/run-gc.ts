import type { Writable } from 'node:stream';
import { ConfigError } from '../core/index.ts';
import { defaultDriverFactory, PathNotFoundError, type StorageDriver } from '../driver/index.ts';
import { collectGarbage, type GcProgress } from '../gc/index.ts';
import { ROOT_PATH } from '../pathparser/index.ts';
import { InterruptedError } from './errors.ts';
import { renderGcReport } from './gc-report.ts';
import { watchShutdown } from './shutdown.ts';
import type { ProgressStream } from './up/progress.ts';

/** How one collection is run from the command line. */
export interface RunGcOptions {
  readonly driverName: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly dryRun: boolean;
  readonly untagged: boolean;
  readonly graceMs: number;
  readonly quarantineMs: number;
  readonly maxOperationsPerSecond: number | undefined;
  readonly json: boolean;
}

/** What `--json` lists; some hundred megabytes at most. */
const REPORT_LIMIT = 1_000_000;
/** Below this a request that is on its way may outlast the quarantine. */
const SAFE_QUARANTINE_MS = 15 * 60 * 1000;
const DRAW_EVERY_MS = 100;

/**
 * Collects garbage once, and writes the report.
 * @returns the exit status: 0
 * @throws InterruptedError at a signal; ConfigError; what the storage throws
 */
export async function runGc(
  options: RunGcOptions,
  { out, err }: { readonly out: Writable; readonly err: ProgressStream },
): Promise<number> {
  const { driverName, parameters, json, ...how } = options;
  if (!how.dryRun && how.quarantineMs < SAFE_QUARANTINE_MS) {
    err.write('shoal: a quarantine of less than 15m is safe only while nobody pushes\n');
  }
  await using driver = await defaultDriverFactory().create(driverName, parameters);
  await requireRegistry(driver);
  const watch = watchShutdown({ onSecond: () => process.exit(130) });
  const line = openLine(err);
  try {
    const report = await collectGarbage({
      ...how,
      driver,
      signal: watch.signal,
      reportLimit: REPORT_LIMIT,
      onProgress: line.show,
    });
    line.clear();
    out.write(json ? `${JSON.stringify(report, undefined, 2)}\n` : `${renderGcReport(report)}\n`);
    return 0;
  } catch (error) {
    line.clear();
    if (!watch.signal.aborted) throw error;
    throw new InterruptedError('the collection was broken off; the next run goes on from there', {}, { cause: error });
  } finally {
    watch.close();
  }
}

/** A folder or bucket that was misspelt is empty, and would be reported as clean. @throws ConfigError */
async function requireRegistry(driver: StorageDriver): Promise<void> {
  try {
    await driver.stat(ROOT_PATH);
  } catch (cause) {
    if (!(cause instanceof PathNotFoundError)) throw cause;
    const message = `the storage (${driver.name}) holds no registry: expected ${ROOT_PATH} in it; look at --driver and --params`;
    throw new ConfigError(message, { driver: driver.name }, { cause });
  }
}

/** One line on a terminal that tells how far it is; anywhere else nothing. */
function openLine(stream: ProgressStream): {
  readonly show: (progress: GcProgress) => void;
  readonly clear: () => void;
} {
  if (stream.isTTY !== true) return { show: () => undefined, clear: () => undefined };
  let lastMs = Number.NEGATIVE_INFINITY;
  return {
    show: ({ phase, repositories, manifests, blobs, operations }) => {
      const nowMs = performance.now();
      if (nowMs - lastMs < DRAW_EVERY_MS) return;
      lastMs = nowMs;
      const done = phase === 'repositories' ? `${manifests} manifests` : `${blobs} blobs`;
      stream.write(`\r\x1b[K${phase}: ${repositories} repositories, ${done}, ${operations} operations`);
    },
    clear: () => stream.write('\r\x1b[K'),
  };
}
