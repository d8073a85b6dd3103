import { NotADirectoryError, PathNotFoundError } from './errors.ts';
import { comparePaths, isWithin } from './paths.ts';
import type { FileInfo, WalkOptions } from './storage-driver.ts';

/** What {@link walkTree} needs of a driver. */
export interface WalkSource {
  /** The direct children of a directory, in order. @throws PathNotFoundError when it is not there */
  children(path: string): AsyncIterable<string>;
  stat(path: string): Promise<FileInfo>;
  /**
   * A name for the directory itself, the same on every path that leads to it. A directory is not entered below itself,
   * which ends the walk of a link that leads upwards.
   */
  identity(path: string): Promise<string>;
}

interface Level {
  readonly children: AsyncIterator<string>;
  readonly identity: string;
}

/**
 * Walks by listing each directory and asking about each entry: the way for a driver that has no better one.
 * Entries that vanish between the two are left out. Memory: one listing a level.
 */
export async function* walkTree(source: WalkSource, path: string, options: WalkOptions): AsyncIterable<FileInfo> {
  const levels: Level[] = [await enter(source, path)];
  try {
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const step = level.children.next();
      // The top itself must be there; anything below may be gone by now.
      const next = levels.length === 1 ? await step : await unlessVanished(step);
      if (next === undefined || next.done) {
        levels.pop();
        continue;
      }
      const { startAfter } = options;
      const isBehind = startAfter === undefined || comparePaths(next.value, startAfter) > 0;
      const leadsBehind = startAfter !== undefined && isWithin(startAfter, next.value);
      if (!isBehind && !leadsBehind) continue;
      const info = await unlessVanished(source.stat(next.value));
      if (info === undefined) continue;
      if (isBehind) yield info;
      if (!info.isDirectory) continue;
      const below = await unlessVanished(enter(source, next.value));
      if (below !== undefined && !levels.some(({ identity }) => identity === below.identity)) levels.push(below);
    }
  } finally {
    for (const { children } of levels) await children.return?.();
  }
}

async function enter(source: WalkSource, path: string): Promise<Level> {
  const identity = await source.identity(path);
  return { children: source.children(path)[Symbol.asyncIterator](), identity };
}

async function unlessVanished<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result;
  } catch (error) {
    if (error instanceof PathNotFoundError || error instanceof NotADirectoryError) return undefined;
    throw error;
  }
}
