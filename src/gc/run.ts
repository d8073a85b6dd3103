import type { DigestSet } from './digest-set.ts';
import type { Quarantine } from './quarantine.ts';
import type { ReportBuilder } from './report.ts';
import type { GcStorage } from './storage.ts';

/** What all parts of one collection share. */
export interface GcRun {
  readonly storage: GcStorage;
  readonly quarantine: Quarantine;
  readonly report: ReportBuilder;
  readonly untagged: boolean;
  /** What was written after this moment is left alone; in milliseconds since 1970. */
  readonly youngFromMs: number;
  /** What came into quarantine up to this moment may be deleted, in milliseconds since 1970. */
  readonly expiredUpToMs: number;
  /** Operations at once. */
  readonly concurrency: number;
  /** Blobs that a link leads to, or a manifest that is kept. */
  readonly linked: DigestSet;
  /** Blobs that only a link in quarantine leads to: they may be put aside with it, but have to be there as long as it is. */
  readonly linkedInQuarantine: DigestSet;
  /** Blobs whose bytes have been looked for. */
  readonly looked: DigestSet;
  /** Set when something was found that may hold links which nobody can read: then no blob is touched. */
  blobsHeld: boolean;
  /** Called now and then. */
  readonly onProgress: () => void;
}

/** Whether something of this age is left alone. */
export function isYoung(run: GcRun, modTime: Date): boolean {
  return modTime.getTime() >= run.youngFromMs;
}
