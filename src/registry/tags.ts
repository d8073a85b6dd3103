import { findTag, type Repository, RepositoryNotFoundError, type Tag } from '../core/index.ts';
import { formatPath } from '../pathparser/index.ts';
import { type Answer, callContext, type Exchange } from './exchange.ts';
import { isNotFound, listNames, orUndefined } from './links.ts';
import { compareBytes, nextLink, parsePage, takePage } from './pagination.ts';

/** Tags in one answer at most; the rest follows by `Link`. */
const TAGS_PAGE_MAX = 10_000;

/** What a path component may be; anything else as `last` is compared here instead of being handed to the driver. */
const pathComponent = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,255}$/;

/** `GET /v2/<name>/tags/list`: tags in order of their bytes. */
export async function listTags(exchange: Exchange, repository: Repository): Promise<Answer> {
  const { limit, last } = parsePage(exchange.query, { defaultLimit: TAGS_PAGE_MAX, maxLimit: TAGS_PAGE_MAX });
  // Asked for one at least, also for n=0: whether the repository is known has to come out.
  const { page, more } = await tagPage(exchange, repository, Math.max(limit, 1), last);
  const tags = page.slice(0, limit);
  const lastTag = tags.at(-1);
  const follows = more && lastTag !== undefined;
  const headers = follows ? { link: nextLink(`/v2/${repository}/tags/list`, limit, lastTag) } : {};
  return { status: 200, headers, body: { name: repository, tags } };
}

async function tagPage(
  exchange: Exchange,
  repository: Repository,
  limit: number,
  last: string | undefined,
): Promise<{ readonly page: readonly Tag[]; readonly more: boolean }> {
  try {
    return await takePage(tagsBehind(exchange, repository, last), limit);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    if (await repositoryExists(exchange, repository)) return { page: [], more: false };
    throw new RepositoryNotFoundError(
      `the repository ${repository} is not known to this registry`,
      { repository },
      { cause: error },
    );
  }
}

async function* tagsBehind(exchange: Exchange, repository: Repository, last: string | undefined): AsyncIterable<Tag> {
  const directory = formatPath({ kind: 'tags', repository });
  const after = last !== undefined && pathComponent.test(last) ? last : undefined;
  for await (const name of listNames(exchange.driver, directory, { after }, callContext(exchange, repository))) {
    const tag = findTag(name);
    if (tag !== undefined && (last === undefined || compareBytes(tag, last) > 0)) yield tag;
  }
}

/** A repository without tags is known as long as it holds manifests or layers. */
async function repositoryExists(exchange: Exchange, repository: Repository): Promise<boolean> {
  for (const kind of ['manifests', 'layers'] as const) {
    const path = formatPath({ kind, repository });
    if ((await orUndefined(exchange.driver.stat(path, callContext(exchange, repository)))) !== undefined) return true;
  }
  return false;
}
