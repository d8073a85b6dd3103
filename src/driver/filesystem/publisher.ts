import type { BigIntStats } from 'node:fs';
import { type FileHandle, link, readdir, rename, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { KeyedMutex } from '../../core/index.ts';
import { NotAFileError, PreconditionFailedError } from '../errors.ts';
import type { PutCondition } from '../storage-driver.ts';
import { driverName, hasCode } from './errno.ts';
import { findFile } from './find-file.ts';
import type { RootDirectory } from './root-directory.ts';
import { type LastingDirectories, makeWithParents } from './sync.ts';
import type { TemporaryFiles } from './temporary-files.ts';

// A try fails only when somebody removes the directory within the few calls that it takes.
const maxTries = 50;

/** A file that is ready to be shown. */
export interface FinishedFile {
  /** Where it is now: on the file system of the root. */
  readonly location: string;
  /** Open on it; it stays open. */
  readonly handle: FileHandle;
  /** Makes its bytes last. */
  readonly sync: () => Promise<void>;
  /** The error to throw when the file is gone from its location. */
  readonly gone: (cause: unknown) => Error;
  readonly signal?: AbortSignal | undefined;
}

/** Makes finished files visible: the one place where an object comes to be or is replaced. */
export class Publisher {
  readonly #root: RootDirectory;
  readonly #directories: LastingDirectories;
  readonly #temporary: TemporaryFiles;
  readonly #locks = new KeyedMutex();

  constructor(root: RootDirectory, directories: LastingDirectories, temporary: TemporaryFiles) {
    this.#root = root;
    this.#directories = directories;
    this.#temporary = temporary;
  }

  /**
   * Renames a file to the place of a path, replacing the object there. The bytes are synced before, the name after; the
   * rename is the only step that anybody sees. Throws NotAFileError, PreconditionFailedError, and errors of the operating
   * system.
   */
  async publish(file: FinishedFile, path: string, condition?: PutCondition): Promise<void> {
    // One at a time for each path, or two of them could take the same modification time.
    await this.#locks.run(path, async () => {
      const old = await findFile(await this.#root.locateName(path));
      if (old?.isFile()) await advanceModTime(file.handle, old.mtimeMs);
      await file.sync();
      await this.#directories.settle(dirname(await this.#show(file, path, condition)));
    });
  }

  /** Nothing slow stands between making the directory and the rename, so that a delete seldom comes between. */
  async #show(file: FinishedFile, path: string, condition: PutCondition | undefined): Promise<string> {
    for (let attempt = 1; ; attempt++) {
      try {
        const place = await this.#root.locateName(path);
        await makeWithParents(dirname(place));
        const old = await findFile(place);
        if (old?.isDirectory() && !(await removeEmptyDirectories(place))) throw new NotAFileError(driverName, path);
        file.signal?.throwIfAborted();
        if (condition === undefined) await rename(file.location, place);
        else if ('ifAbsent' in condition) await this.#showFirst(file, place, path);
        else await this.#showInsteadOf(condition.ifMatch, file, place, path);
        return place;
      } catch (error) {
        if (!hasCode(error, 'ENOENT')) throw error;
        if ((await findFile(file.location)) === undefined) throw file.gone(error);
        if (attempt === maxTries) throw error;
      }
    }
  }

  /** A second name for the file, which the system refuses when there is one already; then the first name goes. */
  async #showFirst(file: FinishedFile, place: string, path: string): Promise<void> {
    try {
      await link(file.location, place);
    } catch (cause) {
      if (!hasCode(cause, 'EEXIST')) throw cause;
      throw new PreconditionFailedError(driverName, path, { ifAbsent: true }, { cause });
    }
    await this.#temporary.remove(file.location);
  }

  /** No call of the system compares and renames in one step, so those that compare keep each other out. */
  async #showInsteadOf(revision: string, file: FinishedFile, place: string, path: string): Promise<void> {
    await this.#temporary.withLock(path, file.signal, async () => {
      const found = await stat(place, { bigint: true }).catch((error: unknown) => {
        if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
        throw error;
      });
      if (found === undefined || revisionOf(found) !== revision) {
        throw new PreconditionFailedError(driverName, path, { ifMatch: revision });
      }
      await rename(file.location, place);
    });
  }
}

/** Names what is in a file: every write by this driver, and every ordinary one by others, gives it another name. */
export function revisionOf({ ino, size, mtimeNs }: BigIntStats): string {
  return `${ino}-${size}-${mtimeNs}`;
}

/**
 * Removes a directory that holds nothing but empty directories, such as a delete leaves behind: without objects below it,
 * its name is free. False when there is anything else.
 */
export async function removeEmptyDirectories(place: string): Promise<boolean> {
  for (const entry of await readdir(place, { withFileTypes: true })) {
    if (!entry.isDirectory() || !(await removeEmptyDirectories(join(place, entry.name)))) return false;
  }
  try {
    await rmdir(place);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOTEMPTY', 'EEXIST')) return false;
    throw error;
  }
}

/**
 * Sets a file's time behind that of the one it replaces, when the clock has not moved on since. The file system may keep
 * less than milliseconds, hence the larger steps (FAT: two seconds).
 */
async function advanceModTime(handle: FileHandle, oldMs: number): Promise<void> {
  for (const stepMs of [1, 1000, 2000, 4000]) {
    const { mtimeMs } = await handle.stat();
    if (Math.floor(mtimeMs) > Math.floor(oldMs)) return;
    // Half a millisecond more, because the conversion to seconds may round down.
    await handle.utimes(new Date(), (Math.floor(oldMs) + stepMs + 0.5) / 1000);
  }
}
