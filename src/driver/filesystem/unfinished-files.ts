import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, type FileHandle, open, readdir, rename, rmdir, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { hasCode } from './errno.ts';
import { findFile } from './find-file.ts';
import { type RootDirectory, unfinishedPath } from './root-directory.ts';
import type { TemporaryFiles } from './temporary-files.ts';

const WAITING = '~bytes';
const TAKEN = '~bytes-';
const COPY = '~copy-';

/** A try fails only when another process takes or gives back the bytes within the few calls that it takes. */
const MAX_TRIES = 20;

/** Unfinished bytes in the hands of one writer, which closes the handle. */
export interface TakenFile {
  readonly location: string;
  readonly handle: FileHandle;
}

/**
 * Where bytes are that a writer closed without commit: for `/a/b` in `<root>/.shoal-uncommitted/a/b/`. A `~` is in no path,
 * so the bytes of `/a` and of `/a/b` cannot stand in each other's way.
 *
 * They wait as `~bytes`. A writer that goes on with them renames them to `~bytes-<an id>` and back when it is closed, so that
 * of the writers of several processes one has them at a time. Where they are taken already, their writer was killed, or is at
 * work in another process, perhaps for a client that has gone: nobody can tell. The one that comes last gets them, as a
 * copy, and the earlier one finds no file any more when it is closed or committed. So no two of them write to one file, and
 * none to a file that has been committed. At any moment the bytes have one name that counts: `~bytes`, else that of the
 * writer that has them, else that of a finished copy.
 */
export class UnfinishedFiles {
  readonly #root: RootDirectory;
  readonly #temporary: TemporaryFiles;

  constructor(root: RootDirectory, temporary: TemporaryFiles) {
    this.#root = root;
    this.#temporary = temporary;
  }

  /** The place where the bytes of a path wait; its directory may be missing. */
  async locate(path: string): Promise<string> {
    return this.#root.locateOwn(`${unfinishedPath}${path}/${WAITING}`);
  }

  /** How many unfinished bytes a path has, in whose hands they may be; `undefined` when there are none. */
  async findSize(path: string): Promise<number | undefined> {
    const directory = dirname(await this.locate(path));
    for (let attempt = 1; attempt <= MAX_TRIES; attempt += 1) {
      const names = await listOwn(directory);
      if (names === undefined) return undefined;
      const size = (await findCounting(directory, names))?.sizeBytes;
      if (size !== undefined) return size;
    }
    return undefined;
  }

  /** Gives the bytes of a path to one writer, from another one's hands if need be; `undefined` when there are none. */
  async take(path: string): Promise<TakenFile | undefined> {
    const waiting = await this.locate(path);
    const directory = dirname(waiting);
    for (let attempt = 1; attempt <= MAX_TRIES; attempt += 1) {
      const own = join(directory, `${TAKEN}${randomUUID()}`);
      if (await renameIfThere(waiting, own)) return openTaken(own);
      const names = await listOwn(directory);
      if (names === undefined) return undefined;
      const counting = await findCounting(directory, names);
      if (counting === undefined || !(await renameIfThere(counting.location, own))) continue;
      // Whoever has made a copy does not write to it before it has got it a name that counts.
      const isCopy = basename(counting.location).startsWith(COPY);
      const taken = isCopy ? await openTaken(own) : await this.#takeOver(own);
      if (taken !== undefined) return taken;
    }
    return undefined;
  }

  /** Throws the bytes of one path away, in whose hands they may be; without any, does nothing. */
  async remove(path: string): Promise<void> {
    const directory = dirname(await this.locate(path));
    const names = await listOwn(directory);
    if (names === undefined) return;
    for (const name of names) await unlinkIfThere(join(directory, name));
    await this.prune(path);
  }

  /** Throws away the bytes of a path and of all paths below it; false when there were none. */
  async removeBelow(path: string): Promise<boolean> {
    const directory = dirname(await this.locate(path));
    if ((await findFile(directory)) === undefined) return false;
    try {
      await this.#temporary.discard(directory);
    } catch (error) {
      // Somebody else was quicker.
      if (!hasCode(error, 'ENOENT')) throw error;
    }
    await this.#pruneFrom(dirname(directory));
    return true;
  }

  /** Removes the directories of a path that hold nothing any more. */
  async prune(path: string): Promise<void> {
    await this.#pruneFrom(dirname(await this.locate(path)));
  }

  /**
   * Makes a copy of bytes that an earlier writer may still write to, and gives that the name in place of them; blocks are
   * shared where the disk can. `undefined` when somebody has taken them from this one meanwhile.
   */
  async #takeOver(own: string): Promise<TakenFile | undefined> {
    const directory = dirname(own);
    const copy = join(directory, `${COPY}${randomUUID()}`);
    try {
      await copyFile(own, copy, constants.COPYFILE_FICLONE);
      const handle = await open(copy, constants.O_RDWR | constants.O_NOFOLLOW);
      // Only one can unlink it. Until the copy has its name, whoever else looks finds that, and takes it as it is.
      if ((await unlinkIfThere(own)) && (await renameIfThere(copy, own))) {
        await this.#removeCopies(directory);
        return { location: own, handle };
      }
      await handle.close();
    } catch (error) {
      if (!hasCode(error, 'ENOENT', 'ENOTDIR')) throw error;
    }
    await unlinkIfThere(copy);
    return undefined;
  }

  /** What is left of copies that were not finished: their makers were killed, or have lost the bytes to this one. */
  async #removeCopies(directory: string): Promise<void> {
    for (const name of (await listOwn(directory)) ?? []) {
      if (name.startsWith(COPY)) await unlinkIfThere(join(directory, name));
    }
  }

  async #pruneFrom(place: string): Promise<void> {
    const top = dirname(await this.#root.locateOwn(`${unfinishedPath}/any`));
    try {
      for (let directory = place; directory !== top; directory = dirname(directory)) await rmdir(directory);
    } catch {
      // In use again, or gone already. An empty directory left here does no harm.
    }
  }
}

/** The names of unfinished bytes in a directory; `undefined` when there are none for sure. */
async function listOwn(directory: string): Promise<readonly string[] | undefined> {
  try {
    const all = await readdir(directory);
    const names = all.filter((name) => name.startsWith(WAITING) || name.startsWith(COPY));
    // A name that is changed at this moment may be missed in a directory that holds something.
    return names.length === 0 && (await isEmptyOf(directory)) ? undefined : names;
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

async function isEmptyOf(directory: string): Promise<boolean> {
  const again = await readdir(directory);
  return !again.some((name) => name.startsWith(WAITING) || name.startsWith(COPY));
}

/** The name that counts; of several, which only a crash leaves, the longest has all that the others have. */
async function findCounting(directory: string, names: readonly string[]) {
  for (const isOfKind of [isWaiting, isTaken, isCopy]) {
    const files = await Promise.all(
      names.filter(isOfKind).map(async (name) => {
        const location = join(directory, name);
        const found = await findFile(location);
        return found?.isFile() ? { location, sizeBytes: found.size } : undefined;
      }),
    );
    const [longest] = files.filter((file) => file !== undefined).sort((a, b) => b.sizeBytes - a.sizeBytes);
    if (longest !== undefined) return longest;
  }
  return undefined;
}

const isWaiting = (name: string): boolean => name === WAITING;
const isTaken = (name: string): boolean => name.startsWith(TAKEN);
const isCopy = (name: string): boolean => name.startsWith(COPY);

async function openTaken(location: string): Promise<TakenFile | undefined> {
  try {
    return { location, handle: await open(location, constants.O_RDWR | constants.O_NOFOLLOW) };
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

/** @returns whether it was there */
async function renameIfThere(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

/** @returns whether it was there */
async function unlinkIfThere(location: string): Promise<boolean> {
  try {
    await unlink(location);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}
