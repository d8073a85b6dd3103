import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, opendir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode } from './errno.ts';
import { findFile } from './find-file.ts';
import { type RootDirectory, temporaryPath } from './root-directory.ts';

/** Older than that, a temporary file belongs to no process any more: a put or writer touches its file far more often. */
const leftoverAgeMs = 24 * 60 * 60 * 1000;

const LOCK_AGE_MS = 60_000;
const LOCK_RETRY_MS = 5;

/** A file that nobody else knows of. */
export interface TemporaryFile {
  readonly location: string;
  readonly handle: FileHandle;
}

/** The directory for files in the making and for what is about to be removed. Other processes use it at the same time. */
export class TemporaryFiles {
  readonly #root: RootDirectory;

  constructor(root: RootDirectory) {
    this.#root = root;
  }

  /** Makes an empty file with a name of its own, open for writing; whoever asked closes and renames or removes it. */
  async create(): Promise<TemporaryFile> {
    return this.#withName(async (location) => ({ location, handle: await open(location, 'wx') }));
  }

  /** Removes a file that came to nothing; one that is gone is left gone. */
  async remove(location: string): Promise<void> {
    await rm(location, { force: true });
  }

  /** Moves something out of sight in one step, then removes it with all that is below it. */
  async discard(place: string): Promise<void> {
    const location = await this.#withName(async (free) => {
      await rename(place, free);
      return free;
    });
    await rm(location, { recursive: true, force: true });
  }

  /**
   * Does something while no other process does so for the same path: it holds a file that only one can make. A file of an age
   * is of a process that has died; what is done under it takes milliseconds.
   * @throws the signal's reason while it waits for its turn
   */
  async withLock<T>(path: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const name = createHash('sha256').update(path).digest('hex');
    const location = await this.#root.locateOwn(`${temporaryPath}/lock-${name}`);
    while (!(await makeLock(location))) {
      await delay(LOCK_RETRY_MS, undefined, signal === undefined ? {} : { signal });
      const found = await findFile(location);
      if (found !== undefined && Date.now() - found.ctimeMs > LOCK_AGE_MS) await this.discard(location);
    }
    try {
      return await work();
    } finally {
      await rm(location, { force: true });
    }
  }

  /** Removes what processes that died have left here, when it is older than a day; what is younger may be in use. */
  async removeLeftovers(nowMs: number): Promise<void> {
    try {
      const directory = await this.#root.locateOwn(`${temporaryPath}/any`).then((any) => join(any, '..'));
      for await (const entry of await opendir(directory)) {
        const place = join(directory, entry.name);
        const found = await findFile(place);
        // The time of the last change to the file or its name, which no program can set back.
        if (found !== undefined && nowMs - found.ctimeMs > leftoverAgeMs)
          await rm(place, { recursive: true, force: true });
      }
    } catch (error) {
      // Never used yet, or a root that this process may only read: nothing to clean, or not ours to clean.
      if (!hasCode(error, 'ENOENT', 'EACCES', 'EPERM', 'EROFS')) throw error;
    }
  }

  /** Calls with a free place; the directory is made when the first call does not find it. */
  async #withName<T>(use: (location: string) => Promise<T>): Promise<T> {
    const location = await this.#root.locateOwn(`${temporaryPath}/${randomUUID()}`);
    try {
      return await use(location);
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
      await mkdir(join(location, '..'), { recursive: true });
      return await use(location);
    }
  }
}

async function makeLock(location: string): Promise<boolean> {
  try {
    await (await open(location, 'wx')).close();
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
}
