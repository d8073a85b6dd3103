/** How long an endpoint is left alone after failures, in milliseconds. */
export interface BackoffSettings {
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
}

/** What a receiver may ask for at most: one that says "next year" by mistake must not stop its queue for so long. */
const RETRY_AFTER_MAX_MS = 3_600_000;

/** The wait after the failure number `failures`, from 1: doubling, capped, and spread over half to all of itself. */
export function backoffMs(
  failures: number,
  { initialBackoffMs, maxBackoffMs }: BackoffSettings,
  random: number,
): number {
  const full = Math.min(maxBackoffMs, initialBackoffMs * 2 ** Math.min(Math.max(failures - 1, 0), 40));
  return full * (0.5 + random / 2);
}

/**
 * Reads a `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date. An hour at most.
 * @returns milliseconds from `nowMs` on; `undefined` for what is neither, as well as for no header
 */
export function parseRetryAfter(header: string | undefined, nowMs: number): number | undefined {
  const text = header?.trim() ?? '';
  if (/^\d+$/.test(text)) return Math.min(Number(text) * 1000, RETRY_AFTER_MAX_MS);
  // Date.parse takes much that is no HTTP date, such as "-1"; all forms of those begin with the name of a day.
  if (!/^(mon|tue|wed|thu|fri|sat|sun)[a-z]*,? /i.test(text)) return undefined;
  // Its oldest form says no zone, and means this one.
  const atMs = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`);
  return Number.isNaN(atMs) ? undefined : Math.min(Math.max(atMs - nowMs, 0), RETRY_AFTER_MAX_MS);
}
