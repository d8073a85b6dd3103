import { type Repository, RepositoryNotFoundError } from '../core/index.ts';
import { formatPath, formatQuarantinePath } from '../pathparser/index.ts';
import { type Answer, callContext, type Exchange } from './exchange.ts';
import { isNotFound, listNamesIfAny } from './links.ts';

/**
 * `DELETE /v2/<name>/_shoal/repository`: takes a repository out of the registry with its tags, manifests, links and
 * unfinished uploads (an extension of ours; the specification has no such request). Repositories below it
 * (`<name>/other`) stay, and so do the bytes of blobs, for garbage collection; on a driver that knows only the registry's
 * layout also unfinished uploads, until they are purged.
 */
export async function deleteRepository(exchange: Exchange, repository: Repository): Promise<Answer> {
  const paths = await pathsOf(exchange, repository);
  let removed = 0;
  for (const path of paths) {
    try {
      await exchange.driver.delete(path, callContext(exchange, repository));
      removed += 1;
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
  if (removed === 0) {
    throw new RepositoryNotFoundError(`the repository ${repository} is not known to this registry`, { repository });
  }
  return { status: 202, deed: { action: 'delete', kind: 'repository', repository } };
}

/** What is to be deleted, in order: tags and manifests before what they lead to. */
async function pathsOf({ driver, ...exchange }: Exchange, repository: Repository): Promise<string[]> {
  const directory = formatPath({ kind: 'repository', repository });
  // A driver that knows the layout knows what belongs to the repository; in a tree, those below it share its directory.
  if (!driver.capabilities.anyPath) return [directory];
  const manifests = formatPath({ kind: 'manifests', repository });
  const others: string[] = [];
  const context = callContext({ driver, ...exchange }, repository);
  for await (const name of listNamesIfAny(driver, directory, {}, context)) {
    const path = `${directory}/${name}`;
    if (name.startsWith('_') && path !== manifests) others.push(path);
  }
  // What garbage collection has put aside goes too, first and last, or the next look would bring it back.
  const aside = formatQuarantinePath({ kind: 'quarantined-links', repository });
  return [aside, manifests, ...others, aside];
}
