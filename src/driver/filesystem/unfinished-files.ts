import { rmdir, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hasCode } from './errno.ts';
import { findFile } from './publisher.ts';
import { type RootDirectory, unfinishedPath } from './root-directory.ts';
import type { TemporaryFiles } from './temporary-files.ts';

/**
 * Where bytes wait that a writer closed without commit: for `/a/b` in `<root>/.shoal-uncommitted/a/b/~bytes`. A `~` is in
 * no path, so the bytes of `/a` and of `/a/b` cannot stand in each other's way.
 */
export class UnfinishedFiles {
  readonly #root: RootDirectory;
  readonly #temporary: TemporaryFiles;

  constructor(root: RootDirectory, temporary: TemporaryFiles) {
    this.#root = root;
    this.#temporary = temporary;
  }

  /** The place for a path; its directory may be missing. */
  async locate(path: string): Promise<string> {
    return this.#root.locateOwn(`${unfinishedPath}${path}/~bytes`);
  }

  /** Throws the bytes of one path away; without any, does nothing. */
  async remove(path: string): Promise<void> {
    const place = await this.locate(path);
    try {
      await unlink(place);
    } catch (error) {
      if (!hasCode(error, 'ENOENT', 'ENOTDIR')) throw error;
      return;
    }
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

  async #pruneFrom(place: string): Promise<void> {
    const top = dirname(await this.#root.locateOwn(`${unfinishedPath}/any`));
    try {
      for (let directory = place; directory !== top; directory = dirname(directory)) await rmdir(directory);
    } catch {
      // In use again, or gone already. An empty directory left here does no harm.
    }
  }
}
