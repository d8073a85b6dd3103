import { PaginationNumberError } from './errors.ts';

/** Which part of a sorted listing is asked for. */
export interface RequestedPage {
  /** Entries at most. */
  readonly limit: number;
  /** Only entries whose bytes sort behind this; it need not exist. */
  readonly last: string | undefined;
}

/** How many entries a page has when nothing is asked, and at most. */
export interface PageLimits {
  readonly defaultLimit: number;
  readonly maxLimit: number;
}

const wholeNumber = /^\d{1,15}$/;

/**
 * Reads `n` and `last`. More than the registry gives at once is cut to what it gives; the `Link` then leads on.
 * @throws PaginationNumberError
 */
export function parsePage(query: URLSearchParams, { defaultLimit, maxLimit }: PageLimits): RequestedPage {
  const text = query.get('n');
  const last = query.get('last') ?? '';
  if (text !== null && !wholeNumber.test(text)) {
    throw new PaginationNumberError(`n is "${text.slice(0, 50)}", expected a whole number from 0 on`, {
      n: text.slice(0, 50),
    });
  }
  const limit = text === null ? defaultLimit : Math.min(Number(text), maxLimit);
  return { limit, last: last === '' ? undefined : last };
}

/** One page of a listing that comes in order, with whether more follows. Reads one entry too many to know that. */
export async function takePage<T>(
  entries: AsyncIterable<T>,
  limit: number,
): Promise<{ readonly page: readonly T[]; readonly more: boolean }> {
  const page: T[] = [];
  if (limit === 0) return { page, more: false };
  for await (const entry of entries) {
    if (page.length === limit) return { page, more: true };
    page.push(entry);
  }
  return { page, more: false };
}

/** The `Link` header to the next page (RFC 8288); relative, so that it is right behind any proxy. */
export function nextLink(
  path: string,
  limit: number,
  last: string,
  more: Readonly<Record<string, string>> = {},
): string {
  const query = new URLSearchParams({ n: String(limit), last, ...more });
  return `<${path}?${query}>; rel="next"`;
}

/** Compares two texts by their bytes in UTF-8, as listings are sorted. */
export function compareBytes(left: string, right: string): number {
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}
