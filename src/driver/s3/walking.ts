import { comparePaths, isWithin, parentOf } from '../paths.ts';
import type { FileInfo, WalkOptions } from '../storage-driver.ts';
import { type ListingDeps, requireDirectory } from './children.ts';
import { earlierDirectories } from './earlier-directories.ts';
import { type ListedObject, listPage } from './pages.ts';
import type { RequestScope } from './requests.ts';

/** Behind every key of ours below a directory: `~` comes after all characters of paths. */
const behindAll = '~~';

/** An object of a page that waits for its turn. */
interface WaitingObject extends ListedObject {
  /** Deleted by this driver since it was listed; perhaps written again. */
  isDoubtful: boolean;
}

/** Knows the walks on their way, so that a deletion reaches what they have listed and not told yet. */
export class Walks {
  readonly #running = new Set<TreeWalk>();

  /** Something has been removed, with all that was below it. */
  deleted(path: string): void {
    for (const walk of this.#running) walk.deleted(path);
  }

  /** Everything below a path. @throws PathNotFoundError, NotADirectoryError */
  async *walk(deps: ListingDeps, path: string, options: WalkOptions, scope: RequestScope): AsyncGenerator<FileInfo> {
    const walk = new TreeWalk(deps, scope);
    this.#running.add(walk);
    try {
      yield* walk.entries(path, options.startAfter);
    } finally {
      this.#running.delete(walk);
    }
  }
}

/**
 * Goes through a tree by flat listings: one request for a thousand objects, whatever directories they are in. Where the order
 * of keys is not that of the contract (see `earlierDirectories`), the directory that comes first is listed by itself, and
 * left out when its keys come. Memory: one page, and one for each directory within another that is listed so.
 */
class TreeWalk {
  readonly #deps: ListingDeps;
  readonly #scope: RequestScope;
  readonly #pages = new Set<readonly WaitingObject[]>();

  constructor(deps: ListingDeps, scope: RequestScope) {
    this.#deps = deps;
    this.#scope = scope;
  }

  deleted(path: string): void {
    for (const page of this.#pages) {
      for (const object of page) {
        const listed = this.#deps.keys.pathOf(object.key);
        if (listed !== undefined && isWithin(listed, path)) object.isDoubtful = true;
      }
    }
  }

  async *entries(path: string, startAfter: string | undefined): AsyncGenerator<FileInfo> {
    let isEmpty = true;
    let last = path;
    for await (const object of this.#objectsBehind(path, startAfter)) {
      isEmpty = false;
      const found = this.#deps.keys.pathOf(object.key);
      if (found === undefined || found === path) continue;
      // What is told may lead the caller to delete what would come next.
      const isThere = async () => !object.isDoubtful || this.#isThere(found);
      for (const directory of directoriesBetween(found, path, last)) {
        if (!(await isThere())) break;
        last = directory;
        if (startAfter !== undefined && comparePaths(directory, startAfter) <= 0) continue;
        yield { path: directory, size: 0, modTime: object.modTime, isDirectory: true };
      }
      if (!(await isThere())) continue;
      last = found;
      yield { path: found, size: object.size, modTime: object.modTime, isDirectory: false };
    }
    if (isEmpty) await requireDirectory(this.#deps, path, this.#scope);
  }

  /** First what is below `startAfter`, then what comes behind each of its parents, up to the top of the walk. */
  async *#objectsBehind(path: string, startAfter: string | undefined): AsyncGenerator<WaitingObject> {
    const { keys } = this.#deps;
    if (startAfter === undefined || isWithin(path, startAfter)) {
      yield* this.#objectsBelow(keys.prefixBelow(path), undefined);
      return;
    }
    if (!isWithin(startAfter, path)) {
      if (comparePaths(startAfter, path) < 0) yield* this.#objectsBelow(keys.prefixBelow(path), undefined);
      return;
    }
    if (keys.pathOf(keys.prefixBelow('/') + startAfter.slice(1)) !== undefined) {
      yield* this.#objectsBelow(keys.prefixBelow(startAfter), undefined);
    }
    for (let passed = startAfter; passed !== path; passed = parentOf(passed)) {
      const parent = parentOf(passed);
      yield* this.#objectsBelow(keys.prefixBelow(parent), passed.slice(parent === '/' ? 1 : parent.length + 1));
    }
  }

  /** Objects whose keys begin so, in the contract's order; those of a name behind `afterName` only. */
  async *#objectsBelow(prefix: string, afterName: string | undefined): AsyncGenerator<WaitingObject> {
    const passed = new PassedDirectories(this.#deps.keys.reservedPrefix);
    const after = afterName === undefined ? undefined : `${prefix}${afterName}`;
    if (after !== undefined) {
      for (const directory of [...earlierDirectories(after, prefix), `${after}/`]) passed.add(directory);
    }
    let startAfter = after;
    let token: string | undefined;
    for (;;) {
      const listed = await listPage(this.#deps.requests, this.#scope, { prefix, startAfter, token });
      const page = listed.objects.map((object) => ({ ...object, isDoubtful: false }));
      this.#pages.add(page);
      try {
        yield* this.#inOrder({ page, isLast: listed.token === undefined, prefix, passed });
      } finally {
        this.#pages.delete(page);
      }
      if (listed.token === undefined) return;
      token = listed.token;
      const lastKey = page.at(-1)?.key ?? '';
      const behind = `${passed.find(lastKey)}${behindAll}`;
      if (passed.find(lastKey) !== undefined && lastKey < behind) {
        // The rest of that directory has been told already, or is not to be told.
        token = undefined;
        startAfter = behind;
      }
    }
  }

  async *#inOrder(run: {
    readonly page: readonly WaitingObject[];
    readonly isLast: boolean;
    readonly prefix: string;
    readonly passed: PassedDirectories;
  }): AsyncGenerator<WaitingObject> {
    const { page, isLast, prefix, passed } = run;
    for (const object of page) {
      passed.moveTo(object.key);
      if (passed.find(object.key) !== undefined) continue;
      for (const directory of earlierDirectories(object.key, prefix)) {
        if (passed.isDecided(directory)) continue;
        const isThere = findInPage(page, directory) ?? (isLast ? false : await this.#hasKeys(directory, page));
        if (isThere) {
          passed.add(directory);
          yield* this.#objectsBelow(directory, undefined);
        } else passed.addMissing(directory);
      }
      yield object;
    }
  }

  async #hasKeys(directory: string, page: readonly WaitingObject[]): Promise<boolean> {
    if ((page.at(-1)?.key ?? '') > directory) return false;
    return this.#deps.lookup.hasKeysBelow(directory, this.#scope);
  }

  async #isThere(path: string): Promise<boolean> {
    return (await this.#deps.lookup.findObject(path, this.#scope)) !== undefined;
  }
}

/** True when a page has keys below a directory; `undefined` when it has none. */
function findInPage(page: readonly WaitingObject[], directory: string): true | undefined {
  let [low, high] = [0, page.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((page[middle]?.key ?? '') < directory) low = middle + 1;
    else high = middle;
  }
  return page[low]?.key.startsWith(directory) ? true : undefined;
}

/** The directories that a walk comes into on its way to an object, from that one's top down. */
function directoriesBetween(path: string, top: string, last: string): string[] {
  const directories: string[] = [];
  for (let parent = parentOf(path); parent !== top && !isWithin(last, parent); parent = parentOf(parent)) {
    directories.unshift(parent);
  }
  return directories;
}

/** What a listing in order of keys has decided about directories that are out of that order; forgotten as it moves on. */
class PassedDirectories {
  readonly #reserved: string;
  /** True for those that have been told, false for those that are not there. Each key ends with a slash. */
  readonly #decided = new Map<string, boolean>();

  constructor(reserved: string) {
    this.#reserved = reserved;
  }

  add(directory: string): void {
    this.#decided.set(directory, true);
  }

  addMissing(directory: string): void {
    this.#decided.set(directory, false);
  }

  isDecided(directory: string): boolean {
    return this.#decided.has(directory);
  }

  /** The directory that a key is in and that is not to be told (again). */
  find(key: string): string | undefined {
    if (key.startsWith(this.#reserved)) return this.#reserved;
    for (const [directory, isTold] of this.#decided) if (isTold && key.startsWith(directory)) return directory;
    return undefined;
  }

  moveTo(key: string): void {
    for (const directory of this.#decided.keys()) {
      if (!key.startsWith(directory.slice(0, -1))) this.#decided.delete(directory);
    }
  }
}
