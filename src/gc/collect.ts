import { type Clock, ConfigError, systemClock } from '../core/index.ts';
import type { StorageDriver } from '../driver/index.ts';
import { sweepBlobs } from './blob-sweep.ts';
import { DigestSet } from './digest-set.ts';
import { Pace } from './pace.ts';
import { Quarantine } from './quarantine.ts';
import { type GcItem, type GcReport, ReportBuilder } from './report.ts';
import { listRepositories } from './repositories.ts';
import { sweepRepository } from './repository-sweep.ts';
import type { GcRun } from './run.ts';
import { GcStorage } from './storage.ts';

/** How one collection is done. */
export interface GcOptions {
  /** Where the registry's files are; one that takes any path. The caller closes it. */
  readonly driver: StorageDriver;
  /** What was written within this time is left alone. In milliseconds. */
  readonly graceMs: number;
  /** How long something stays in quarantine; longer than any request takes. In milliseconds. */
  readonly quarantineMs: number;
  /** Whether manifests go that no tag leads to. Default: false. */
  readonly untagged?: boolean | undefined;
  /** Whether only to tell what would be done, and to write nothing. Default: false. */
  readonly dryRun?: boolean | undefined;
  /** Calls of the storage driver a second at most. Default: as many as it takes. */
  readonly maxOperationsPerSecond?: number | undefined;
  /** Calls of the storage driver at once. Default: 8. */
  readonly concurrency?: number | undefined;
  /** Ends the collection early; what it has done until then is consistent. */
  readonly signal?: AbortSignal | undefined;
  /** Items, problems and repositories that the report lists at most; the counts are exact. Default: 10 000 each. */
  readonly reportLimit?: number | undefined;
  /** Called with each item, also with those beyond the limit of the report. */
  readonly onItem?: ((item: GcItem) => void) | undefined;
  /** Called often while it runs. */
  readonly onProgress?: ((progress: GcProgress) => void) | undefined;
  /** Default: the machine's. It has to agree with the one that the storage dates its objects by. */
  readonly clock?: Clock | undefined;
}

/** How far a collection is. */
export interface GcProgress {
  readonly phase: 'repositories' | 'blobs';
  readonly repositories: number;
  readonly manifests: number;
  readonly blobs: number;
  readonly operations: number;
}

const CONCURRENCY = 8;
const REPORT_LIMIT = 10_000;

/**
 * One collection: what nobody needs any more goes into quarantine, and what has been there long enough is deleted.
 *
 * Registries may go on to take pushes on the same storage, and other collections may run (docs/garbage-collection.md says
 * why). It may be broken off at any point; the next run finishes the work.
 *
 * @throws ConfigError when the driver cannot be collected; the reason of the signal; what the driver throws, and then
 *   nothing was deleted that depended on what could not be read
 */
export async function collectGarbage(options: GcOptions): Promise<GcReport> {
  const { driver, untagged = false, dryRun = false, clock = systemClock } = options;
  requireCollectable(driver, dryRun);
  const startedMs = clock.nowMs();
  const startedMonotonicMs = clock.monotonicMs();
  const pace = new Pace(options.maxOperationsPerSecond, clock);
  const storage = new GcStorage({ driver, pace, signal: options.signal, dryRun });
  const report = new ReportBuilder({ limit: options.reportLimit ?? REPORT_LIMIT, onItem: options.onItem });
  let phase: GcProgress['phase'] = 'repositories';
  const run: GcRun = {
    storage,
    report,
    quarantine: new Quarantine(storage, clock),
    untagged,
    youngFromMs: startedMs - options.graceMs,
    expiredUpToMs: startedMs - options.quarantineMs,
    concurrency: options.concurrency ?? CONCURRENCY,
    linked: new DigestSet(),
    linkedInQuarantine: new DigestSet(),
    looked: new DigestSet(),
    blobsHeld: false,
    onProgress: () => options.onProgress?.({ phase, ...report.seen, operations: storage.operations }),
  };
  for await (const repository of listRepositories(run)) {
    await sweepRepository(run, repository);
    report.seen.repositories += 1;
    run.onProgress();
  }
  phase = 'blobs';
  if (!run.blobsHeld) await sweepBlobs(run);
  run.onProgress();
  const seconds = (clock.monotonicMs() - startedMonotonicMs) / 1000;
  return report.build({ dryRun, untagged, startedMs, operations: storage.operations, seconds });
}

/** @throws ConfigError */
export function requireCollectable({ name, capabilities }: StorageDriver, dryRun = false): void {
  if (!capabilities.anyPath) {
    throw new ConfigError(
      `garbage cannot be collected through the driver ${name}, which knows no quarantine: run the collection on the ` +
        'storage behind it',
      { driver: name },
    );
  }
  if (capabilities.write || dryRun) return;
  throw new ConfigError(`the driver ${name} only reads: nothing can be collected, but a dry run is possible`, {
    driver: name,
  });
}
