import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { type Clock, systemClock } from '../core/index.ts';
import type { StorageDriver } from '../driver/index.ts';
import { collectGarbage, requireCollectable } from './collect.ts';
import type { GcConfig } from './config.ts';
import { createGcMetrics, type GcMetrics } from './metrics.ts';
import type { GcReport } from './report.ts';

/** What collecting in the background needs. */
export interface GarbageCollectorDeps {
  /** The caller closes it, after the collector. */
  readonly driver: StorageDriver;
  readonly logger: Logger;
  /** Where the metrics go. */
  readonly metrics?: Registry | undefined;
  /** Default: the machine's. */
  readonly clock?: Clock | undefined;
  /** From 0 up to and without 1, for the time of the first run. Default: `Math.random`. */
  readonly random?: (() => number) | undefined;
}

/** The first run waits for a random part of this, so that replicas that were started together do not collect together. */
const JITTER_MAX_MS = 60 * 60 * 1000;
/** Problems that are logged after each run; the metric has their number. */
const LOGGED_PROBLEMS = 20;

/**
 * Collects garbage again and again, one run at a time, until it is disposed of; that waits for the run to break off.
 * A run that fails is logged, and tried again after the interval. With `enabled: false` it does nothing.
 *
 * @throws ConfigError when the driver cannot be collected
 */
export function startGarbageCollector(config: GcConfig, deps: GarbageCollectorDeps): AsyncDisposable {
  if (!config.enabled) return { [Symbol.asyncDispose]: async () => {} };
  requireCollectable(deps.driver);
  const controller = new AbortController();
  const metrics = deps.metrics === undefined ? undefined : createGcMetrics(deps.metrics);
  const ended = collectUntil(controller.signal, config, deps, metrics);
  return {
    [Symbol.asyncDispose]: async () => {
      controller.abort(new DOMException('the collector was stopped', 'AbortError'));
      await ended;
    },
  };
}

/** Never rejects. */
async function collectUntil(
  signal: AbortSignal,
  config: GcConfig,
  deps: GarbageCollectorDeps,
  metrics: GcMetrics | undefined,
): Promise<void> {
  const random = deps.random ?? Math.random;
  let waitMs = random() * Math.min(JITTER_MAX_MS, config.intervalMs);
  while (await waited(waitMs, signal)) {
    await collectOnce(signal, config, deps, metrics);
    waitMs = config.intervalMs;
  }
}

/** @returns false when the signal came first */
async function waited(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(ms, undefined, { signal, ref: false });
    return true;
  } catch {
    // Only the signal ends a sleep.
    return false;
  }
}

async function collectOnce(
  signal: AbortSignal,
  config: GcConfig,
  { driver, logger, clock = systemClock }: GarbageCollectorDeps,
  metrics: GcMetrics | undefined,
): Promise<void> {
  const { graceMs, quarantineMs, untagged, maxOperationsPerSecond } = config;
  const startedMs = clock.monotonicMs();
  const seconds = () => (clock.monotonicMs() - startedMs) / 1000;
  try {
    const report = await collectGarbage({
      driver,
      graceMs,
      quarantineMs,
      untagged,
      maxOperationsPerSecond,
      signal,
      clock,
      reportLimit: LOGGED_PROBLEMS,
    });
    metrics?.ended('done', seconds());
    metrics?.reported(report, clock.nowMs());
    log(logger, report);
  } catch (error) {
    if (signal.aborted) {
      metrics?.ended('aborted', seconds());
      return;
    }
    metrics?.ended('failed', seconds());
    logger.error({ err: error }, 'garbage could not be collected; the next run tries again');
  }
}

function log(logger: Logger, report: GcReport): void {
  const { totals, seen, reclaimedBytes, operations, seconds } = report;
  for (const problem of report.problems) logger.warn(problem, 'garbage collection found a problem');
  const problems = report.problems.length + report.problemsLeftOut;
  logger.info({ totals, seen, reclaimedBytes, operations, seconds, problems }, 'garbage was collected');
}
