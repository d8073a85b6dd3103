import { type BigIntStats, constants } from 'node:fs';
import { mkdir, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { LRUCache } from 'lru-cache';
import { hasCode } from './errno.ts';

/** Makes the names in a directory last over a loss of power. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } catch (error) {
    // Some network file systems refuse to sync a directory: they keep names in order by themselves.
    if (!hasCode(error, 'EINVAL', 'ENOTSUP')) throw error;
  } finally {
    await handle.close();
  }
}

/** {@link syncDirectory}, but a directory that somebody has removed meanwhile has nothing left to keep. */
export async function syncUnlessGone(directory: string): Promise<void> {
  try {
    await syncDirectory(directory);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
}

// A directory takes about 200 bytes here; those that were forgotten are synced once more.
const maxKnownDirectories = 10_000;

/**
 * Makes the names of stored files last, on the whole way down from the root. Somebody else may have made one of the
 * directories a moment ago and not have synced it yet, so those that exist are synced too, once each.
 */
export class LastingDirectories {
  readonly #root: string;
  /** Directories whose whole way down is synced, with their identity: one that was removed and made anew is another. */
  readonly #known = new LRUCache<string, string>({ max: maxKnownDirectories });

  /** `root` has been synced by whoever made it. */
  constructor(root: string) {
    this.#root = root;
  }

  /**
   * Makes what was renamed into a directory last; it may be acknowledged afterwards. When the directory is gone, it was
   * removed after the rename, and there is nothing left to keep.
   */
  async settle(directory: string): Promise<void> {
    try {
      await this.#settleWayTo(directory);
      await syncDirectory(directory);
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
    }
  }

  /** {@link settle}, unless that was done for this directory already: for a file that was there then, under another name. */
  async settleOnce(directory: string): Promise<void> {
    try {
      if (this.#known.get(directory) === identityOf(await stat(directory, { bigint: true }))) return;
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
    }
    await this.settle(directory);
  }

  async #settleWayTo(directory: string): Promise<void> {
    const unknown: { readonly place: string; readonly identity: string }[] = [];
    for (let place = directory; place !== this.#root; place = dirname(place)) {
      const identity = identityOf(await stat(place, { bigint: true }));
      if (this.#known.get(place) === identity) break;
      unknown.push({ place, identity });
    }
    for (const { place, identity } of unknown.reverse()) {
      await syncDirectory(dirname(place));
      this.#known.set(place, identity);
    }
  }
}

/**
 * What `mkdir` with `recursive` does for a directory below an existing one, but sure of what it says: that one reports a file in the way when the directory is
 * removed at the same moment. Throws EEXIST or ENOTDIR for a file in the way, ENOENT when others keep removing.
 */
export async function makeWithParents(directory: string): Promise<void> {
  try {
    await makeOne(directory);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
    await makeWithParents(dirname(directory));
    await makeOne(directory);
  }
}

async function makeOne(directory: string): Promise<void> {
  try {
    await mkdir(directory);
  } catch (error) {
    if (!hasCode(error, 'EEXIST') || !(await stat(directory)).isDirectory()) throw error;
  }
}

function identityOf({ dev, ino, birthtimeNs }: BigIntStats): string {
  return `${dev}:${ino}:${birthtimeNs}`;
}
