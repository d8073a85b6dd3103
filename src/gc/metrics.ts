import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { GcReport } from './report.ts';

/** How a collection ended. */
export type GcResult = 'done' | 'failed' | 'aborted';

/** What collections count. */
export interface GcMetrics {
  ended(result: GcResult, seconds: number): void;
  reported(report: GcReport, nowMs: number): void;
}

/** Registers the metrics of garbage collection. */
export function createGcMetrics(registry: Registry): GcMetrics {
  const registers = [registry];
  const runs = new Counter({
    name: 'shoal_gc_runs_total',
    help: 'Collections, by how they ended: done, failed, or aborted because the program ended.',
    labelNames: ['result'],
    registers,
  });
  const seconds = new Histogram({
    name: 'shoal_gc_seconds',
    help: 'How long a collection took, however it ended.',
    buckets: [1, 5, 15, 60, 300, 900, 3600, 14_400],
    registers,
  });
  const objects = new Counter({
    name: 'shoal_gc_objects_total',
    help: 'Objects put in quarantine, restored from it and deleted, in collections that were done.',
    labelNames: ['action'],
    registers,
  });
  const bytes = new Counter({
    name: 'shoal_gc_bytes_total',
    help: 'Bytes of the blobs among them.',
    labelNames: ['action'],
    registers,
  });
  const problems = new Gauge({
    name: 'shoal_gc_problems',
    help: 'Problems that the last collection reported; its log lines name them.',
    registers,
  });
  const lastDone = new Gauge({
    name: 'shoal_gc_last_done_timestamp_seconds',
    help: 'When the last collection was done, in seconds since 1970; 0 before the first.',
    registers,
  });
  return {
    ended: (result, took) => {
      runs.inc({ result });
      seconds.observe(took);
    },
    reported: (report, nowMs) => {
      for (const action of ['quarantine', 'restore', 'delete'] as const) {
        objects.inc({ action }, report.totals[action].objects);
        bytes.inc({ action }, report.totals[action].bytes);
      }
      problems.set(report.problems.length + report.problemsLeftOut);
      lastDone.set(nowMs / 1000);
    },
  };
}
