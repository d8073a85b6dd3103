import type { Clock } from '../core/index.ts';
import { NAMES_PAGE_MAX, type NamesAnswer } from './protocol.ts';

/** A page ends after this long even when it is not full: whoever asked waits for the whole page, ten seconds at most. */
const PAGE_TIME_MS = 3_000;

/** Which names a caller wants: those behind `after` (all, when it is empty), `limit` at most. */
export interface PageRequest {
  readonly after: string;
  readonly limit: number | undefined;
}

/** Takes one page of names, which come in order. A page that is not empty may be short, and then says that more follow. */
export async function takePage(
  names: AsyncIterable<string>,
  limit: number | undefined,
  clock: Clock,
): Promise<NamesAnswer> {
  const full = Math.min(limit ?? NAMES_PAGE_MAX, NAMES_PAGE_MAX);
  const endMs = clock.monotonicMs() + PAGE_TIME_MS;
  const taken: string[] = [];
  for await (const name of names) {
    if (taken.length === full) return { names: taken, more: true };
    taken.push(name);
    if (clock.monotonicMs() > endMs) return { names: taken, more: true };
  }
  return { names: taken, more: false };
}
