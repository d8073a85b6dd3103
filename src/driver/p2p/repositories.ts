import { type Repository, RepositoryNotFoundError } from '../../core/index.ts';
import { formatPath } from '../../pathparser/index.ts';
import type { ImageTransferer } from '../../transfer/index.ts';
import { PathNotFoundError } from '../index.ts';
import {
  type Call,
  DRIVER_NAME,
  directory,
  type Handlers,
  type P2pDriverDeps,
  pageOf,
  pageOfStream,
} from './handlers.ts';
import { childComponents, stemOf } from './name-tree.ts';
import { transferContext } from './transfer-context.ts';

/** The tree above blobs, links and tags: directories that nobody stores, seen in the names of the repositories. */
export function repositoryHandlers({
  transferer,
}: P2pDriverDeps): Handlers<'root' | 'repositories' | 'repository' | 'manifests' | 'blobs'> {
  return {
    root: {
      stat: async () => directory,
      async *list(_path, page) {
        yield* pageOf([formatPath({ kind: 'blobs' }), formatPath({ kind: 'repositories' })], page);
      },
    },
    repositories: {
      stat: async () => directory,
      list: (_path, page, call) => pageOfStream(listBelow(transferer, '', page.after, call), page),
    },
    repository: {
      async stat({ repository }, call) {
        if (await repositoryExists(transferer, repository, call)) return directory;
        for await (const _child of listBelow(transferer, `${repository}/`, undefined, call)) return directory;
        throw new PathNotFoundError(DRIVER_NAME, call.path);
      },
      list: ({ repository }, page, call) =>
        pageOfStream(listRepository(transferer, repository, page.after, call), page),
      async delete({ repository }, call) {
        await transferer.deleteRepository(repository, transferContext(call));
      },
    },
    manifests: {
      async stat({ repository }, call) {
        await checkRepositoryExists(transferer, repository, call);
        return directory;
      },
      async *list({ repository }, page, call) {
        await checkRepositoryExists(transferer, repository, call);
        const children = [formatPath({ kind: 'revisions', repository }), formatPath({ kind: 'tags', repository })];
        yield* pageOf(children, page);
      },
    },
    blobs: { stat: async () => directory },
  };
}

/** @throws RepositoryNotFoundError when the build-index knows nothing of the repository */
export async function checkRepositoryExists(
  transferer: ImageTransferer,
  repository: Repository,
  call: Call,
): Promise<void> {
  // One tag is enough to know; none at all is a repository too, or the listing would have thrown.
  for await (const _tag of transferer.listTags(repository, { limit: 1 }, transferContext(call))) return;
}

async function repositoryExists(transferer: ImageTransferer, repository: Repository, call: Call): Promise<boolean> {
  try {
    await checkRepositoryExists(transferer, repository, call);
    return true;
  } catch (error) {
    if (error instanceof RepositoryNotFoundError) return false;
    throw error;
  }
}

/** What belongs to the repository itself, among the repositories whose names go on below it, in order of their bytes. */
async function* listRepository(
  transferer: ImageTransferer,
  repository: Repository,
  after: string | undefined,
  call: Call,
): AsyncIterable<string> {
  const exists = await repositoryExists(transferer, repository, call);
  let own = exists ? [formatPath({ kind: 'layers', repository }), formatPath({ kind: 'manifests', repository })] : [];
  let any = exists;
  for await (const child of listBelow(transferer, `${repository}/`, after, call)) {
    any = true;
    if (own.length > 0 && child > own[0]!) {
      yield* own;
      own = [];
    }
    yield child;
  }
  yield* own;
  // A page behind the last child is empty, yet its directory is there.
  if (!any && (after === undefined || !(await hasAnyBelow(transferer, repository, call)))) {
    throw new PathNotFoundError(DRIVER_NAME, call.path);
  }
}

async function hasAnyBelow(transferer: ImageTransferer, repository: Repository, call: Call): Promise<boolean> {
  for await (const _child of listBelow(transferer, `${repository}/`, undefined, call)) return true;
  return false;
}

/** Full paths of the directories directly below a prefix of names (empty, or ending in a slash). */
async function* listBelow(
  transferer: ImageTransferer,
  prefix: string,
  afterPath: string | undefined,
  call: Call,
): AsyncIterable<string> {
  const directoryPath = `${call.path}/`;
  const after = afterPath?.startsWith(directoryPath) ? afterPath.slice(directoryPath.length) : '';
  // No name between the stem and `after` gives a child behind `after`, nor does the stem itself.
  const start = `${prefix}${stemOf(after)}`;
  const names = transferer.listRepositories(start === '' ? {} : { after: start }, transferContext(call));
  for await (const component of childComponents(names, prefix)) yield `${directoryPath}${component}`;
}
