import { NotADirectoryError, PathNotFoundError } from '../errors.ts';
import { comparePaths, isComponent, isWithin, joinPath } from '../paths.ts';
import type { ListPage } from '../storage-driver.ts';
import { earlierDirectories } from './earlier-directories.ts';
import { driverName } from './errors.ts';
import type { KeySpace } from './keys.ts';
import type { ObjectLookup } from './object-lookup.ts';
import { type ListedPage, listPages, maxPageKeys } from './pages.ts';
import type { RequestScope, S3Requests } from './requests.ts';

/** What listings and walks need of a driver. */
export interface ListingDeps {
  readonly requests: S3Requests;
  readonly keys: KeySpace;
  readonly lookup: ObjectLookup;
}

/**
 * The direct children of a directory, in the contract's order: one request for a thousand of them, and one more for each
 * name that is cut at `-` or `.` at the end of a page. @throws PathNotFoundError, NotADirectoryError
 */
export async function* listChildren(
  deps: ListingDeps,
  path: string,
  { after, limit = Number.POSITIVE_INFINITY }: ListPage,
  scope: RequestScope,
): AsyncGenerator<string> {
  const afterName = nameBehind(path, after);
  let told = 0;
  if (limit > 0 && afterName !== null) {
    const maxKeys = Math.min(maxPageKeys, limit + 1);
    for await (const names of namePages(deps, path, { afterName, maxKeys }, scope)) {
      for (const name of names) {
        yield joinPath(path, name);
        told += 1;
        if (told === limit) return;
      }
    }
  }
  if (told === 0) await requireDirectory(deps, path, scope);
}

/** Names of one page after the other, in order. */
async function* namePages(
  deps: ListingDeps,
  path: string,
  { afterName, maxKeys }: { readonly afterName: string | undefined; readonly maxKeys: number },
  scope: RequestScope,
): AsyncGenerator<string[]> {
  const prefix = deps.keys.prefixBelow(path);
  const query = {
    prefix,
    delimiter: '/' as const,
    maxKeys,
    ...(afterName === undefined ? {} : { startAfter: `${prefix}${afterName}` }),
  };
  // Directories that were told ahead of their page.
  const ahead = new Set<string>();
  for await (const page of listPages(deps.requests, scope, query)) {
    const behind = await directoriesBehind(deps, page, { prefix, ahead }, scope);
    const names = new Set<string>();
    for (const key of [...page.objects.map((object) => object.key), ...page.prefixes, ...behind]) {
      const name = key.slice(prefix.length).replace(/\/$/, '');
      const isOurs = isComponent(name) && deps.keys.pathOf(`${prefix}${name}`) !== undefined;
      if (isOurs && (afterName === undefined || name > afterName) && !ahead.delete(key)) names.add(name);
    }
    for (const directory of behind) ahead.add(directory);
    yield [...names].sort();
  }
}

/** Directories that only a later page would tell of, although they come before names of this one. */
async function directoriesBehind(
  { lookup }: ListingDeps,
  page: ListedPage,
  { prefix, ahead }: { readonly prefix: string; readonly ahead: ReadonlySet<string> },
  scope: RequestScope,
): Promise<string[]> {
  if (page.token === undefined) return [];
  const last = [page.objects.at(-1)?.key ?? '', page.prefixes.at(-1) ?? ''].sort().at(-1) ?? '';
  const candidates = earlierDirectories(last, prefix).filter((directory) => !ahead.has(directory));
  const found = await Promise.all(candidates.map((directory) => lookup.hasKeysBelow(directory, scope)));
  return candidates.filter((_, index) => found[index]);
}

/** The child behind which a page begins; `undefined` for the first, `null` when all children come before. */
function nameBehind(path: string, after: string | undefined): string | undefined | null {
  if (after === undefined || isWithin(path, after)) return undefined;
  if (isWithin(after, path)) return after.slice(path === '/' ? 1 : path.length + 1).split('/')[0];
  return comparePaths(after, path) < 0 ? undefined : null;
}

/** @throws PathNotFoundError, NotADirectoryError */
export async function requireDirectory({ lookup }: ListingDeps, path: string, scope: RequestScope): Promise<void> {
  if (path === '/' || (await lookup.isDirectory(path, scope))) return;
  if ((await lookup.findObject(path, scope)) !== undefined) throw new NotADirectoryError(driverName, path);
  throw new PathNotFoundError(driverName, path);
}
