import { randomBytes } from 'node:crypto';
import type { Clock } from '../../core/index.ts';

/** The metadata entry that every write of ours leaves on an object: `<milliseconds>-<random>`. */
const entry = 'shoal-written';

/**
 * Stamps what is written. S3 tells the time of a write in whole seconds, and names an object by its bytes only (ETag): the
 * stamp tells two writes apart where they are closer or have the same bytes.
 */
export class WriteStamps {
  readonly #clock: Clock;
  #lastMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Metadata for one write; its time is later than that of every stamp before. */
  next(): Record<string, string> {
    this.#lastMs = Math.max(this.#clock.nowMs(), this.#lastMs + 1);
    return { [entry]: `${this.#lastMs}-${randomBytes(12).toString('hex')}` };
  }
}

/** What HeadObject and GetObject tell about an object. */
export interface ObjectFacts {
  readonly ETag?: string | undefined;
  readonly LastModified?: Date | undefined;
  readonly ContentLength?: number | undefined;
  readonly Metadata?: Record<string, string> | undefined;
}

/** When an object was written: by its stamp, else by the store. */
export function modTimeOf(facts: ObjectFacts): Date {
  const stampedMs = Number(facts.Metadata?.[entry]?.split('-')[0]);
  return stampedMs > 0 ? new Date(stampedMs) : (facts.LastModified ?? new Date(0));
}

/** Names what is in an object, another text for every write of ours: its ETag, and its stamp (or time, where somebody else wrote it). */
export function revisionOf(facts: ObjectFacts): string {
  const stamp = facts.Metadata?.[entry] ?? String(facts.LastModified?.getTime() ?? '');
  return `${facts.ETag ?? ''} ${stamp}`;
}

/** The ETag in a {@link revisionOf}. */
export function etagIn(revision: string): string {
  return revision.slice(0, revision.lastIndexOf(' '));
}

/** Whether an object carries this stamp. */
export function hasStamp(facts: ObjectFacts, stamp: Record<string, string>): boolean {
  return facts.Metadata?.[entry] === stamp[entry];
}
