import { NotADirectoryError, PathNotFoundError } from '../errors.ts';
import { inPathOrder } from '../object-store/index.ts';
import { comparePaths, isComponent, isWithin, parentOf } from '../paths.ts';
import type { FileInfo, ListPage, WalkOptions } from '../storage-driver.ts';
import type { BlobStore, ListedName } from './blob-store.ts';
import type { BlobNames } from './names.ts';
import { driverName } from './parameters.ts';
import type { RemovalWatch } from './removals.ts';

/** Names that are held back to bring them into order; a page of a listing has as many. */
const maxHeld = 5000;

/** Lists and walks a container as if it had directories. */
export class Listing {
  readonly #store: BlobStore;
  readonly #names: BlobNames;
  readonly #maxHeld: number;

  constructor(store: BlobStore, names: BlobNames, options: { readonly maxHeld?: number | undefined } = {}) {
    this.#store = store;
    this.#names = names;
    this.#maxHeld = options.maxHeld ?? maxHeld;
  }

  /** Full paths of the direct children. @throws PathNotFoundError, NotADirectoryError */
  async *children(path: string, page: ListPage, signal: AbortSignal | undefined): AsyncIterable<string> {
    const { after, limit = Number.POSITIVE_INFINITY } = page;
    const prefix = this.#names.below(path);
    let count = 0;
    let last: string | undefined;
    const sawAny = { value: false };
    const entries = noting(this.#store.list({ prefix, isShallow: true }, signal), sawAny);
    for await (const child of this.#childrenInOrder(entries, prefix, signal)) {
      if (count >= limit) return;
      // An object and a directory of the same name are one after the other.
      if (child === last || (after !== undefined && comparePaths(child, after) <= 0)) continue;
      last = child;
      count++;
      yield child;
    }
    if (!sawAny.value) await this.#requireDirectory(path, signal);
  }

  /** Everything below a path, depth first. @throws PathNotFoundError, NotADirectoryError */
  async *walk(
    path: string,
    options: WalkOptions & { readonly removals: RemovalWatch },
    signal: AbortSignal | undefined,
  ): AsyncIterable<FileInfo> {
    const { startAfter, removals } = options;
    const prefix = this.#names.below(path);
    const sawAny = { value: false };
    const entries = noting(this.#store.list({ prefix, withMetadata: true }, signal), sawAny);
    let last = path;
    for await (const entry of this.#objectsInOrder(entries, prefix, signal)) {
      const object = this.#names.toPath(entry.name);
      if (startAfter !== undefined && comparePaths(object, startAfter) <= 0) continue;
      // Whoever walks may remove what lies ahead, at any step.
      for (const step of [...directoriesBetween(path, last, object), object]) {
        if (removals.isSuspect(object) && !(await this.#isThere(entry.name, signal))) break;
        last = step;
        if (startAfter !== undefined && comparePaths(step, startAfter) <= 0) continue;
        yield step === object
          ? { path: object, size: entry.sizeBytes, modTime: new Date(entry.modTimeMs), isDirectory: false }
          : { path: step, size: 0, modTime: new Date(0), isDirectory: true };
      }
    }
    if (!sawAny.value) await this.#requireDirectory(path, signal);
  }

  async *#childrenInOrder(entries: AsyncIterable<ListedName>, prefix: string, signal: AbortSignal | undefined) {
    const ordered = inPathOrder(this.#own(entries, prefix), {
      from: prefix.length,
      maxHeld: this.#maxHeld,
      below: (front) => this.#directoryOf(front, signal),
    });
    for await (const { name } of ordered) yield this.#names.toPath(name);
  }

  #objectsInOrder(
    entries: AsyncIterable<ListedName>,
    prefix: string,
    signal: AbortSignal | undefined,
  ): AsyncIterable<ListedName> {
    return inPathOrder(this.#own(entries, prefix), {
      from: prefix.length,
      maxHeld: this.#maxHeld,
      below: (front) =>
        this.#objectsInOrder(this.#store.list({ prefix: front, withMetadata: true }, signal), front, signal),
    });
  }

  /** The directory itself when it has something below it. */
  async *#directoryOf(name: string, signal: AbortSignal | undefined): AsyncIterable<ListedName> {
    for await (const _ of this.#store.list({ prefix: name, pageSize: 1 }, signal)) {
      yield { name, sizeBytes: 0, modTimeMs: 0, metadata: {} };
      return;
    }
  }

  /** Leaves out names that are no paths. Unfinished bytes sort behind all that are. */
  async *#own(entries: AsyncIterable<ListedName>, prefix: string): AsyncIterable<ListedName> {
    for await (const entry of entries) {
      if (this.#names.isHidden(entry.name)) return;
      const rest = entry.name.slice(prefix.length).replace(/\/$/, '');
      if (rest.split('/').every(isComponent) && (entry.sizeBytes > 0 || !isFolderMarker(entry))) yield entry;
    }
  }

  async #isThere(name: string, signal: AbortSignal | undefined): Promise<boolean> {
    return (await this.#store.find(name, signal)) !== undefined;
  }

  /** For a listing that has shown nothing. */
  async #requireDirectory(path: string, signal: AbortSignal | undefined): Promise<void> {
    if (path === '/') return;
    if (await this.#isThere(this.#names.ofObject(path), signal)) throw new NotADirectoryError(driverName, path);
    throw new PathNotFoundError(driverName, path);
  }
}

/** Storage explorers mark a folder by an empty blob; with a hierarchical namespace every directory is one. */
function isFolderMarker({ metadata }: ListedName): boolean {
  return metadata['hdi_isfolder'] === 'true';
}

/** The directories that a walk enters between two objects, from the top. */
function directoriesBetween(top: string, before: string, object: string): string[] {
  const entered: string[] = [];
  for (let parent = parentOf(object); parent !== top && parent.length > top.length; parent = parentOf(parent)) {
    if (isWithin(before, parent)) break;
    entered.push(parent);
  }
  return entered.reverse();
}

async function* noting<Entry>(entries: AsyncIterable<Entry>, saw: { value: boolean }): AsyncIterable<Entry> {
  for await (const entry of entries) {
    saw.value = true;
    yield entry;
  }
}
