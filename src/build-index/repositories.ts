import { findRepository, type Repository, RepositoryNotFoundError } from '../core/index.ts';
import type { RegistryPath } from '../pathparser/index.ts';
import type { BackendFiles } from './backend-files.ts';
import type { KeyedLock } from './keyed-lock.ts';
import { mapAhead } from './map-ahead.ts';

/** A directory with more entries than this is listed a second time when its turn comes, so that memory stays bounded. */
const LOOK_MAX = 256;

/** A directory below `repositories`, looked into before its turn. */
interface Looked {
  readonly name: Repository;
  /** Whether it is a repository itself: it has `_manifests`. */
  readonly isRepository: boolean;
  /** Its entries, but those of the layout; `undefined` when there are too many to keep. */
  readonly entries: readonly string[] | undefined;
}

/** Which repositories there are. */
export class Repositories {
  readonly #files: BackendFiles;
  readonly #locks: KeyedLock;

  constructor(deps: { readonly files: BackendFiles; readonly locks: KeyedLock }) {
    this.#files = deps.files;
    this.#locks = deps.locks;
  }

  /**
   * Repositories behind `after`, in order of the bytes of their whole names.
   *
   * That is not the order of a walk through the tree: `app-extra` comes before `app/x`, because "-" and "." come before
   * "/". So what lies below a directory waits until no sibling comes before it; nothing has to be sorted or kept.
   */
  list(after: string, signal?: AbortSignal): AsyncGenerator<Repository> {
    return this.#below(undefined, after, signal);
  }

  /**
   * Takes everything out of a repository: tags and revisions first, so that it is gone at once; then layers, referrers and
   * uploads. Its folder stays, because repositories may lie below it.
   * @throws RepositoryNotFoundError when there was nothing
   */
  async delete(repository: Repository): Promise<void> {
    await this.#locks.exclusive(repository, async () => {
      const directory = { kind: 'repository', repository } as const;
      const trees: string[] = [];
      for await (const name of this.#files.list(directory)) if (name.startsWith('_')) trees.push(name);
      if (trees.length === 0) {
        throw new RepositoryNotFoundError(`repository ${repository} is not known`, { repository });
      }
      trees.sort((a, b) => Number(b === '_manifests') - Number(a === '_manifests'));
      for (const tree of trees) await this.#files.removeEntry(directory, tree);
    });
  }

  async *#below(
    parent: Looked | undefined,
    after: string,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Repository> {
    const waiting: Looked[] = [];
    const children = this.#names(parent, signal);
    for await (const child of mapAhead(children, (name) => this.#look(name, after, signal))) {
      // The innermost comes first: "a-b/" before "a/".
      while (waiting.length > 0 && `${waiting.at(-1)!.name}/` < child.name) {
        yield* this.#below(waiting.pop(), after, signal);
      }
      if (child.isRepository && child.name > after) yield child.name;
      if (child.entries?.length !== 0) waiting.push(child);
    }
    while (waiting.length > 0) yield* this.#below(waiting.pop(), after, signal);
  }

  /** The names right below a directory, in order. What cannot be a part of a name is none of ours. */
  async *#names(parent: Looked | undefined, signal: AbortSignal | undefined): AsyncGenerator<Repository> {
    const entries = parent?.entries ?? this.#files.list(directoryOf(parent?.name), {}, signal);
    for await (const entry of entries) {
      const name = findRepository(parent === undefined ? entry : `${parent.name}/${entry}`);
      if (name !== undefined) yield name;
    }
  }

  async #look(name: Repository, after: string, signal: AbortSignal | undefined): Promise<Looked> {
    // Neither it nor anything below it comes behind `after`.
    if (name <= after && `${name}/` <= after && !after.startsWith(`${name}/`)) {
      return { name, isRepository: false, entries: [] };
    }
    const entries: string[] = [];
    let isRepository = false;
    for await (const entry of this.#files.list(directoryOf(name), {}, signal)) {
      if (entry === '_manifests') isRepository = true;
      if (!entry.startsWith('_')) entries.push(entry);
      if (entries.length > LOOK_MAX) {
        isRepository ||= await this.#files.has({ kind: 'manifests', repository: name }, signal);
        return { name, isRepository, entries: undefined };
      }
    }
    return { name, isRepository, entries };
  }
}

function directoryOf(name: Repository | undefined): RegistryPath {
  return name === undefined ? { kind: 'repositories' } : { kind: 'repository', repository: name };
}
