import { findRepository, type Repository } from '../core/index.ts';
import { NotADirectoryError } from '../driver/index.ts';
import { REPOSITORIES_PATH } from '../pathparser/index.ts';
import { type Answer, callContext, type Exchange } from './exchange.ts';
import { listNamesIfAny } from './links.ts';
import { compareBytes, nextLink, parsePage, takePage } from './pagination.ts';

const CATALOG_PAGE_DEFAULT = 100;
const CATALOG_PAGE_MAX = 1000;

/** `GET /v2/_catalog`: repositories in order of their bytes (distribution; not in the OCI specification). */
export async function listCatalog(exchange: Exchange): Promise<Answer> {
  const { limit, last } = parsePage(exchange.query, {
    defaultLimit: CATALOG_PAGE_DEFAULT,
    maxLimit: CATALOG_PAGE_MAX,
  });
  const { page, more } = await takePage(repositoriesBehind(exchange, last), limit);
  const lastName = page.at(-1);
  const headers = more && lastName !== undefined ? { link: nextLink('/v2/_catalog', limit, lastName) } : {};
  return { status: 200, headers, body: { repositories: page } };
}

/**
 * All repositories behind `last`, in order of their bytes.
 *
 * That is not the order of a walk through the directories: `app-extra` sorts before `app/x`, as `-` comes before `/`. So
 * the directories that are still to be read wait in one list sorted by their whole names. Below a directory all names are
 * greater than its own, hence the first of the list is always the next. Directories that cannot hold anything behind
 * `last` are never read.
 */
async function* repositoriesBehind(exchange: Exchange, last: string | undefined): AsyncIterable<Repository> {
  const waiting = await childrenOf(exchange, '');
  // Sorted from the greatest to the smallest, so that the next one is taken from the end.
  waiting.names.reverse();
  for (let name = waiting.names.pop(); name !== undefined; name = waiting.names.pop()) {
    if (last !== undefined && endsBefore(name, last)) continue;
    const { names, isRepository } = await childrenOf(exchange, name);
    for (const child of names) insert(waiting.names, child);
    const repository = isRepository ? findRepository(name) : undefined;
    if (repository !== undefined && (last === undefined || compareBytes(name, last) > 0)) yield repository;
  }
}

/** Whether a directory's own name and all names below it sort before `last` or are it. */
function endsBefore(name: string, last: string): boolean {
  return compareBytes(`${name}/`, last) < 0 && !last.startsWith(`${name}/`);
}

async function childrenOf(exchange: Exchange, name: string): Promise<{ names: string[]; isRepository: boolean }> {
  const directory = name === '' ? REPOSITORIES_PATH : `${REPOSITORIES_PATH}/${name}`;
  const names: string[] = [];
  let isRepository = false;
  try {
    for await (const child of listNamesIfAny(exchange.driver, directory, {}, callContext(exchange))) {
      if (child === '_manifests' || child === '_layers') isRepository = true;
      const below = name === '' ? child : `${name}/${child}`;
      // Names with "_" in front are the repository's own; others that are no names come from elsewhere.
      if (findRepository(below) !== undefined) names.push(below);
    }
  } catch (error) {
    // A file among the directories is not of the layout and holds no repository.
    if (!(error instanceof NotADirectoryError)) throw error;
  }
  return { names, isRepository };
}

/** Puts a name into a list that is sorted from the greatest to the smallest. */
function insert(names: string[], name: string): void {
  let low = 0;
  let high = names.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(names[middle] ?? '', name) > 0) low = middle + 1;
    else high = middle;
  }
  names.splice(low, 0, name);
}
