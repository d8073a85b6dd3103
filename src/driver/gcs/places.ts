import { LRUCache } from 'lru-cache';
import { NotADirectoryError, NotAFileError, PathNotFoundError } from '../errors.ts';
import { parentOf } from '../paths.ts';
import type { GcsNames } from './names.ts';
import type { ObjectFacts } from './object-facts.ts';
import type { ObjectStore } from './object-store.ts';
import { driverName } from './parameters.ts';

/** Directories that are known to have no object of their name, so that a put need not ask for each of them. */
const maxKnownDirectories = 10_000;

/** Another process may put an object there meanwhile; both then stand side by side, as a bucket allows. */
const knownDirectoryMs = 60_000;

/** Among so many names there is one to be seen, as a rule. */
const lookAheadNames = 10;

/** How distribution marks an upload that has not ended; what is in it is no content. */
const uploadSessionType = 'application/x-docker-upload-session';

/** Whether an object is an upload that distribution has begun and not ended: nobody sees those, there as here. */
export function isUploadSession({ contentType }: Pick<ObjectFacts, 'contentType'>): boolean {
  return contentType === uploadSessionType;
}

/** What is at paths, and what stands in the way there: a bucket itself has no directories, and lets anything be anywhere. */
export class Places {
  readonly #store: ObjectStore;
  readonly #names: GcsNames;
  readonly #directories = new LRUCache<string, true>({ max: maxKnownDirectories, ttl: knownDirectoryMs });

  constructor(store: ObjectStore, names: GcsNames) {
    this.#store = store;
    this.#names = names;
  }

  /** The object at a path; `undefined` when there is none that may be seen. */
  async find(path: string, signal?: AbortSignal): Promise<ObjectFacts | undefined> {
    const found = await this.#store.find(this.#names.ofObject(path), signal);
    return found !== undefined && !isUploadSession(found) ? found : undefined;
  }

  /** The object at a path. @throws PathNotFoundError, NotAFileError */
  async get(path: string, signal?: AbortSignal): Promise<ObjectFacts> {
    return (await this.find(path, signal)) ?? this.throwMissing(path, signal);
  }

  /** Whether there is an object below a path. */
  async hasBelow(path: string, signal?: AbortSignal): Promise<boolean> {
    const request = { prefix: this.#names.below(path), pageSize: lookAheadNames };
    for await (const entry of this.#store.list(request, signal)) {
      // Bytes that nobody may see are below the root, behind everything else.
      if (this.#names.isHidden(entry.name)) return false;
      if (!isUploadSession(entry)) return true;
    }
    return false;
  }

  /** For a path without an object. @throws NotAFileError when it is a directory, else PathNotFoundError */
  async throwMissing(path: string, signal?: AbortSignal): Promise<never> {
    if (await this.hasBelow(path, signal)) throw new NotAFileError(driverName, path);
    throw new PathNotFoundError(driverName, path);
  }

  /**
   * What a write to this path would replace, an upload of distribution as well; `undefined` when there is nothing.
   * @throws NotADirectoryError when a parent is an object, NotAFileError when there are objects below
   */
  async requireFree(path: string, signal?: AbortSignal): Promise<ObjectFacts | undefined> {
    const [existing, hasBelow] = await Promise.all([
      this.#store.find(this.#names.ofObject(path), signal),
      this.hasBelow(path, signal),
      ...parentsOf(path).map((parent) => this.#requireNoObject(parent, path, signal)),
    ]);
    if (hasBelow) throw new NotAFileError(driverName, path);
    this.#directories.delete(path);
    return existing;
  }

  async #requireNoObject(parent: string, path: string, signal: AbortSignal | undefined): Promise<void> {
    if (this.#directories.has(parent)) return;
    if ((await this.find(parent, signal)) !== undefined) throw new NotADirectoryError(driverName, path);
    this.#directories.set(parent, true);
  }
}

function parentsOf(path: string): string[] {
  const parents: string[] = [];
  for (let parent = parentOf(path); parent !== '/'; parent = parentOf(parent)) parents.push(parent);
  return parents;
}
