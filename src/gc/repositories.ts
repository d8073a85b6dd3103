import { findRepository, type Repository } from '../core/index.ts';
import { formatQuarantinePath, REPOSITORIES_PATH } from '../pathparser/index.ts';
import type { GcRun } from './run.ts';

/** Directories of a repository that links may be in. */
const LINK_TREES = ['_layers', '_links', '_manifests', '_referrers'];

/**
 * All repositories, those of which only the quarantine has something included. In memory are the names of those with
 * something in quarantine, and one listing for each level of the tree.
 *
 * An entry that is no repository name may hold links that nobody can read: it is reported, and blobs are left alone.
 */
export async function* listRepositories(run: GcRun): AsyncIterable<Repository> {
  const quarantined = new Set<Repository>();
  const aside = formatQuarantinePath({ kind: 'quarantined-repositories' });
  for await (const repository of below(run, aside, '')) quarantined.add(repository);
  for await (const repository of below(run, REPOSITORIES_PATH, '')) {
    quarantined.delete(repository);
    yield repository;
  }
  yield* quarantined;
}

async function* below(run: GcRun, top: string, name: string): AsyncIterable<Repository> {
  const directory = name === '' ? top : `${top}/${name}`;
  const children: string[] = [];
  let holdsLinks = false;
  for await (const child of run.storage.names(directory)) {
    if (child.startsWith('_')) holdsLinks ||= LINK_TREES.includes(child);
    else children.push(child);
  }
  const own = findRepository(name);
  if (holdsLinks && own !== undefined) yield own;
  for (const child of children) {
    const path = name === '' ? child : `${name}/${child}`;
    if (findRepository(path) !== undefined) {
      yield* below(run, top, path);
    } else if (await holdsAnything(run, `${top}/${path}`)) {
      run.blobsHeld = true;
      const message = `${top}/${path} is no repository: no blob is touched, as nobody knows what it links`;
      run.report.problem({ kind: 'foreign-entry', message });
    }
  }
}

/** A lone file, such as a file manager leaves behind, links nothing. */
async function holdsAnything(run: GcRun, directory: string): Promise<boolean> {
  for await (const _name of run.storage.names(directory)) return true;
  return false;
}
