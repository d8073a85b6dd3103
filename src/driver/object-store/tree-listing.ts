import { NotADirectoryError, PathNotFoundError } from '../errors.ts';
import { comparePaths, isWithin, joinPath, parentOf } from '../paths.ts';
import type { FileInfo, ListPage, WalkOptions } from '../storage-driver.ts';
import { earlierDirectories, inPathOrder } from './key-order.ts';
import type { RemovalWatch } from './removals.ts';

/** Behind every key of ours below a directory: `~` comes after all characters of paths. */
const behindAll = '~~';

/** A key as a listing tells of it; of a shallow one, also what several keys begin with: those names end in a slash. */
export interface ListedKey {
  readonly name: string;
  readonly sizeBytes: number;
  readonly modTimeMs: number;
}

/** What is asked for; `startAfter` counts for a first page, and only where a source can do it. */
export interface KeyQuery {
  readonly prefix: string;
  /** Only the next part of each key, as in a directory. */
  readonly isShallow: boolean;
  readonly startAfter?: string | undefined;
  readonly token?: string | undefined;
  /** Fewer keys than a page has. */
  readonly maxKeys?: number | undefined;
}

/** One answer to a listing, in order of the keys' bytes; it may be empty and yet not the last. */
export interface KeyPage {
  readonly keys: readonly ListedKey[];
  /** For the next page; `undefined` after the last. */
  readonly token: string | undefined;
}

/** What listings and walks need of an object store, for one call: its signal ends the requests. */
export interface KeySource {
  readonly driverName: string;
  /** Keys that are held back at most to bring them into order; a page of a listing has as many. */
  readonly maxHeld: number;
  /** Whether a listing can begin behind a key. Where not, the keys in front are listed as well, and left out here. */
  readonly canStartAfter: boolean;
  listPage(query: KeyQuery): Promise<KeyPage>;
  /** What all keys below a directory begin with. */
  prefixBelow(path: string): string;
  /** The path of a key; `undefined` when it can be none, or is the driver's own. */
  pathOf(key: string): string | undefined;
  /** What the keys of the driver's own begin with. */
  readonly reservedPrefix: string;
  hasObject(path: string): Promise<boolean>;
}

/** Up to where things were told already. */
interface Passed {
  readonly path: string;
  /** Whether what is below that path was told, too. */
  readonly isWhole: boolean;
}

/** The direct children of a directory, in the contract's order. @throws PathNotFoundError, NotADirectoryError */
export async function* listChildren(
  source: KeySource,
  path: string,
  { after, limit = Number.POSITIVE_INFINITY }: ListPage,
): AsyncGenerator<string> {
  const passed = childPassed(path, after);
  let told = 0;
  if (limit > 0 && passed !== 'all') {
    let last: string | undefined;
    for await (const child of childrenBehind(source, path, passed, limit)) {
      // An object and a directory of the same name are one after the other.
      if (child === last) continue;
      last = child;
      yield child;
      told += 1;
      if (told === limit) return;
    }
  }
  if (told === 0) await requireDirectory(source, path);
}

/** Everything below a path, depth first. Memory: a page, and what is held back. @throws PathNotFoundError, NotADirectoryError */
export async function* walkObjects(
  source: KeySource,
  path: string,
  { startAfter, removals }: WalkOptions & { readonly removals: RemovalWatch },
): AsyncGenerator<FileInfo> {
  let last: string | undefined;
  for await (const { name, sizeBytes, modTimeMs } of objectsBehind(source, path, startAfter)) {
    const object = source.pathOf(name) ?? path;
    // Whoever walks may remove what lies ahead, at any step.
    for (const step of [...directoriesBetween(path, last ?? path, object), object]) {
      if (removals.isSuspect(object) && !(await source.hasObject(object))) break;
      last = step;
      if (startAfter !== undefined && comparePaths(step, startAfter) <= 0) continue;
      yield step === object
        ? { path: object, size: sizeBytes, modTime: new Date(modTimeMs), isDirectory: false }
        : { path: step, size: 0, modTime: new Date(0), isDirectory: true };
    }
  }
  if (last === undefined) await requireDirectory(source, path);
}

/** The child behind which a page begins; `all` when no child comes behind it. */
function childPassed(path: string, after: string | undefined): Passed | undefined | 'all' {
  if (after === undefined || isWithin(path, after)) return undefined;
  if (!isWithin(after, path)) return comparePaths(after, path) < 0 ? undefined : 'all';
  const [name = ''] = after.slice(path === '/' ? 1 : path.length + 1).split('/');
  return { path: joinPath(path, name), isWhole: true };
}

async function* childrenBehind(
  source: KeySource,
  path: string,
  passed: Passed | undefined,
  limit: number,
): AsyncGenerator<string> {
  const prefix = source.prefixBelow(path);
  const isFromHere = passed === undefined || source.canStartAfter;
  const maxKeys = isFromHere && Number.isFinite(limit) ? limit + 1 : undefined;
  const list = keysBehind(source, { prefix, isShallow: true, maxKeys }, passed);
  const ordered = inPathOrder(list.keys, {
    from: prefix.length,
    maxHeld: Math.min(source.maxHeld, limit + 1),
    below: (front) => directoryOf(source, front, passed),
    onAhead: list.pass,
  });
  for await (const { name } of ordered) yield withoutSlash(source, name) ?? path;
}

/** The directory itself when it has something below it. */
async function* directoryOf(source: KeySource, name: string, passed: Passed | undefined): AsyncGenerator<ListedKey> {
  if (isPassed(withoutSlash(source, name), passed)) return;
  if (await hasKeys(source, name)) yield { name, sizeBytes: 0, modTimeMs: 0 };
}

/** Objects behind a path, in the contract's order; some that are not behind it may be among them. */
async function* objectsBehind(
  source: KeySource,
  path: string,
  startAfter: string | undefined,
): AsyncGenerator<ListedKey> {
  if (startAfter === undefined || !isWithin(startAfter, path) || startAfter === path) {
    const isBehind = startAfter === undefined || isWithin(path, startAfter) || comparePaths(startAfter, path) < 0;
    if (isBehind) yield* objectsBelow(source, source.prefixBelow(path));
    return;
  }
  if (!source.canStartAfter) {
    yield* objectsBelow(source, source.prefixBelow(path), { path: startAfter, isWhole: false });
    return;
  }
  // First what is below `startAfter`, then what comes behind each of its parents, up to the top of the walk.
  const isOurs = source.pathOf(`${source.prefixBelow('/')}${startAfter.slice(1)}`) !== undefined;
  if (isOurs) yield* objectsBelow(source, source.prefixBelow(startAfter));
  for (let passed = startAfter; passed !== path; passed = parentOf(passed)) {
    yield* objectsBelow(source, source.prefixBelow(parentOf(passed)), { path: passed, isWhole: true });
  }
}

function objectsBelow(source: KeySource, prefix: string, passed?: Passed): AsyncIterable<ListedKey> {
  const list = keysBehind(source, { prefix, isShallow: false }, passed);
  return inPathOrder(list.keys, {
    from: prefix.length,
    maxHeld: source.maxHeld,
    below: (front) => {
      const directory = withoutSlash(source, front);
      const isAround = passed !== undefined && directory !== undefined && isWithin(passed.path, directory);
      if (isAround && !passed.isWhole) return objectsBelow(source, front, passed);
      return isPassed(directory, passed) ? nothing() : objectsBelow(source, front);
    },
    onAhead: list.pass,
  });
}

/**
 * Keys that begin so and are paths behind another, in order of their bytes. Where the listing gets into keys that were passed
 * already (`pass` adds to them), and can begin behind a key, it goes on behind them.
 */
function keysBehind(
  source: KeySource,
  query: Omit<KeyQuery, 'startAfter' | 'token'>,
  passed: Passed | undefined,
): { readonly keys: AsyncIterable<ListedKey>; readonly pass: (prefix: string) => void } {
  const { prefix, isShallow } = query;
  const after = passed?.isWhole ? `${prefix}${passed.path.slice(passed.path.lastIndexOf('/') + 1)}` : undefined;
  const passedPrefixes = new Set([source.reservedPrefix]);
  if (after !== undefined) {
    for (const directory of [...earlierDirectories(after, prefix.length), `${after}/`]) passedPrefixes.add(directory);
  }
  const startAfter = source.canStartAfter ? after : undefined;
  async function* keys(): AsyncGenerator<ListedKey> {
    for await (const key of listedKeys(source, { ...query, startAfter }, passedPrefixes)) {
      const path = isShallow ? withoutSlash(source, key.name) : source.pathOf(key.name);
      if (path !== undefined && !isPassed(path, passed)) yield key;
    }
  }
  return { keys: keys(), pass: (directory) => passedPrefixes.add(directory) };
}

async function* listedKeys(source: KeySource, query: KeyQuery, passedPrefixes: Set<string>): AsyncGenerator<ListedKey> {
  let position: Pick<KeyQuery, 'startAfter' | 'token'> | undefined = { startAfter: query.startAfter };
  while (position !== undefined) {
    const { keys, token }: KeyPage = await source.listPage({ ...query, ...position });
    yield* keys;
    const last = keys.at(-1)?.name ?? '';
    for (const prefix of passedPrefixes) {
      if (last > prefix && !last.startsWith(prefix)) passedPrefixes.delete(prefix);
    }
    const over = [...passedPrefixes].find((prefix) => last.startsWith(prefix));
    const isOver = source.canStartAfter && over !== undefined && last < `${over}${behindAll}`;
    if (token === undefined) position = undefined;
    else position = isOver ? { startAfter: `${over}${behindAll}` } : { token };
  }
}

function isPassed(path: string | undefined, passed: Passed | undefined): boolean {
  if (passed === undefined || path === undefined) return false;
  return comparePaths(path, passed.path) <= 0 || (passed.isWhole && isWithin(path, passed.path));
}

/** The path of an object, or of a directory for a name that ends in a slash. */
function withoutSlash(source: KeySource, name: string): string | undefined {
  return source.pathOf(name.endsWith('/') ? name.slice(0, -1) : name);
}

async function hasKeys(source: KeySource, prefix: string): Promise<boolean> {
  for await (const _ of listedKeys(source, { prefix, isShallow: false, maxKeys: 1 }, new Set())) return true;
  return false;
}

/** For a listing that has shown nothing. @throws PathNotFoundError, NotADirectoryError */
async function requireDirectory(source: KeySource, path: string): Promise<void> {
  if (path === '/' || (await hasKeys(source, source.prefixBelow(path)))) return;
  if (await source.hasObject(path)) throw new NotADirectoryError(source.driverName, path);
  throw new PathNotFoundError(source.driverName, path);
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

async function* nothing(): AsyncGenerator<never> {}
