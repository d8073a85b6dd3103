import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { type FileOps, fileErrorCode, isMissing, readFully, writeAll } from './files.ts';

/**
 * The few ways in which the store changes its folders so that a crash leaves either the old state or the new one: make a
 * folder and sync its parent, replace a small file whole, remove a tree.
 */
export class DurableFiles {
  readonly ops: FileOps;
  readonly #temp: string;
  readonly #namePrefix = randomBytes(4).toString('hex');
  /** Folders whose names in their parents were synced by this process. Bounded: shards only, 512 for each tree. */
  readonly #synced = new Set<string>();
  #tempCount = 0;

  constructor(ops: FileOps, tempDirectory: string) {
    this.ops = ops;
    this.#temp = tempDirectory;
  }

  /** A name that nothing has yet, in the folder that is emptied when the store is opened. */
  tempPath(): string {
    this.#tempCount += 1;
    return join(this.#temp, `${this.#namePrefix}-${this.#tempCount}`);
  }

  /**
   * Makes a folder, and the shards above it, below a `root` that is there. Its name has been synced afterwards. `false` when
   * it was there.
   */
  async makeDirectory(root: string, path: string): Promise<boolean> {
    const parent = dirname(path);
    if (parent !== root) await this.#makeShard(root, parent);
    const made = await makeIfMissing(this.ops, path);
    await this.ops.syncDirectory(parent);
    return made;
  }

  /** Makes a folder, and those above it, below a `root` that is there. Nothing is synced: a power failure may take them. */
  async makeVolatile(root: string, path: string): Promise<void> {
    if (path === root) return;
    await this.makeVolatile(root, dirname(path));
    await makeIfMissing(this.ops, path);
  }

  /**
   * A folder that is there may have been made by a process that died before it synced the name: so the first use in a process
   * syncs it in any case.
   */
  async #makeShard(root: string, path: string): Promise<void> {
    if (this.#synced.has(path)) return;
    await this.makeDirectory(root, path);
    this.#synced.add(path);
  }

  /** Replaces a small file whole: temporary file, sync, rename, sync of the folder. */
  async writeFile(path: string, content: Uint8Array): Promise<void> {
    const temp = this.tempPath();
    try {
      const file = await this.ops.open(temp, 'create');
      try {
        await writeAll(file, content, 0);
        await file.sync();
      } finally {
        await file.close();
      }
      await this.ops.rename(temp, path);
    } catch (error) {
      await this.discard(temp);
      throw error;
    }
    await this.ops.syncDirectory(dirname(path));
  }

  /** Makes an empty file; the caller syncs the folder. */
  async touch(path: string): Promise<void> {
    await (await this.ops.open(path, 'change')).close();
  }

  /** A small file; `undefined` when it is not there. */
  async findFile(path: string): Promise<Buffer | undefined> {
    const file = await openIfThere(this.ops, path);
    if (file === undefined) return undefined;
    try {
      const bytes = Buffer.alloc(await file.sizeBytes());
      return bytes.subarray(0, await readFully(file, bytes, 0));
    } finally {
      await file.close();
    }
  }

  /** Names in a folder; none when it is not there. */
  async list(path: string): Promise<string[]> {
    try {
      return await this.ops.readdir(path);
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  /** Removes a file; whether it was there. */
  async removeIfThere(path: string): Promise<boolean> {
    try {
      await this.ops.unlink(path);
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  /** Removes a temporary file after something else has failed. */
  async discard(path: string): Promise<void> {
    try {
      await this.removeIfThere(path);
    } catch {
      // What failed before is what the caller has to hear; temporary files go when the store is opened again.
    }
  }

  /** Removes a file or a folder with all that is in it, whether or not it is there. */
  async removeTree(path: string): Promise<void> {
    try {
      await this.ops.unlink(path);
    } catch (error) {
      if (isMissing(error)) return;
      // Linux says EISDIR when asked to unlink a folder; POSIX, and macOS, say EPERM.
      if (fileErrorCode(error) !== 'EISDIR' && fileErrorCode(error) !== 'EPERM') throw error;
      for (const name of await this.list(path)) await this.removeTree(join(path, name));
      await this.ops.rmdir(path);
    }
  }
}

/** Makes one folder; `false` when it was there. */
export async function makeIfMissing(ops: FileOps, path: string): Promise<boolean> {
  try {
    await ops.mkdir(path);
    return true;
  } catch (error) {
    if (fileErrorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Makes a folder and whatever is missing above it, and syncs the names. */
export async function makePath(ops: FileOps, path: string): Promise<void> {
  try {
    if (!(await makeIfMissing(ops, path))) return;
  } catch (error) {
    if (!isMissing(error) || dirname(path) === path) throw error;
    await makePath(ops, dirname(path));
    await makeIfMissing(ops, path);
  }
  await ops.syncDirectory(dirname(path));
}

/** Opens a file for reading; `undefined` when it is not there. The caller closes it. */
export async function openIfThere(ops: FileOps, path: string) {
  try {
    return await ops.open(path, 'read');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
