import { randomUUID } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { NotADirectoryError, NotAFileError, PathNotFoundError } from '../errors.ts';
import { parentOf } from '../paths.ts';
import type { BlobFacts, BlobStore, WriteStamp } from './blob-store.ts';
import type { BlobNames } from './names.ts';
import { driverName } from './parameters.ts';

/** Directories that are known to have no object of their name, so that a put need not ask for each of them. */
const maxKnownDirectories = 10_000;

/** Another process may put an object there meanwhile; both then stand side by side, as a container allows. */
const knownDirectoryMs = 60_000;

/** What is at paths, and what stands in the way there: a container itself has no directories, and lets anything be anywhere. */
export class Places {
  readonly #store: BlobStore;
  readonly #names: BlobNames;
  readonly #directories = new LRUCache<string, true>({ max: maxKnownDirectories, ttl: knownDirectoryMs });

  constructor(store: BlobStore, names: BlobNames) {
    this.#store = store;
    this.#names = names;
  }

  /** The object at a path. @throws PathNotFoundError, NotAFileError */
  async getObject(path: string, signal?: AbortSignal): Promise<BlobFacts> {
    const found = await this.#store.find(this.#names.ofObject(path), signal);
    return found ?? this.throwMissing(path, signal);
  }

  /** Whether there is an object below a path. */
  async hasBelow(path: string, signal?: AbortSignal): Promise<boolean> {
    for await (const { name } of this.#store.list({ prefix: this.#names.below(path), pageSize: 1 }, signal)) {
      // Bytes that nobody may see are below the root, behind everything else.
      return !name.startsWith(this.#names.hiddenPrefix);
    }
    return false;
  }

  /** For a path without an object. @throws NotAFileError when it is a directory, else PathNotFoundError */
  async throwMissing(path: string, signal?: AbortSignal): Promise<never> {
    if (await this.hasBelow(path, signal)) throw new NotAFileError(driverName, path);
    throw new PathNotFoundError(driverName, path);
  }

  /**
   * The object that a write to this path would replace; `undefined` when there is none.
   * @throws NotADirectoryError when a parent is an object, NotAFileError when there are objects below
   */
  async requireFree(path: string, signal?: AbortSignal): Promise<BlobFacts | undefined> {
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
    const found = await this.#store.find(this.#names.ofObject(parent), signal);
    if (found !== undefined) throw new NotADirectoryError(driverName, path);
    this.#directories.set(parent, true);
  }
}

/** What a write that replaces an object leaves with the new one: a time behind that of the old one. */
export function stampAfter(existing: BlobFacts | undefined): WriteStamp {
  return { modTimeMs: Math.max(Date.now(), (existing?.modTimeMs ?? 0) + 1), writeId: randomUUID() };
}

function parentsOf(path: string): string[] {
  const parents: string[] = [];
  for (let parent = parentOf(path); parent !== '/'; parent = parentOf(parent)) parents.push(parent);
  return parents;
}
