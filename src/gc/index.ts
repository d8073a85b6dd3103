export { collectGarbage, type GcOptions, type GcProgress } from './collect.ts';
export { type GcConfig, GcConfigSchema } from './config.ts';
export { type GarbageCollectorDeps, startGarbageCollector } from './garbage-collector.ts';
export {
  type GcAction,
  type GcCount,
  type GcItem,
  type GcObject,
  type GcProblem,
  type GcReason,
  type GcReport,
  type RepositoryCounts,
  reasonTexts,
} from './report.ts';
