import { constants } from 'node:fs';
import { type FileHandle, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ConflictError } from '../errors.ts';
import type { FileWriter } from '../storage-driver.ts';
import { driverName, hasCode, toDriverError } from './errno.ts';
import { findFile, type Publisher } from './publisher.ts';
import { type LastingDirectories, makeWithParents } from './sync.ts';
import type { TemporaryFiles } from './temporary-files.ts';
import type { UnfinishedFiles } from './unfinished-files.ts';

/** What writers share. */
export interface WriterDeps {
  readonly temporary: TemporaryFiles;
  readonly unfinished: UnfinishedFiles;
  readonly directories: LastingDirectories;
  readonly publisher: Publisher;
}

/**
 * Writes one object. A new one grows in a temporary file of its own, so that writers of several processes to one path
 * never meet; one that goes on grows where the earlier bytes wait. The calls come in order, `OrderedWriter` sees to that.
 */
export class DiskFileWriter implements FileWriter {
  readonly #deps: WriterDeps;
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #onClose: () => void;
  /** Where the file is; `undefined` once it is committed or thrown away. */
  #location: string | undefined;
  readonly #isKept: boolean;
  #size: number;
  #canTrustBytes = true;

  private constructor(options: {
    readonly deps: WriterDeps;
    readonly path: string;
    readonly handle: FileHandle;
    readonly location: string;
    readonly isKept: boolean;
    readonly size: number;
    readonly onClose: () => void;
  }) {
    this.#deps = options.deps;
    this.#path = options.path;
    this.#handle = options.handle;
    this.#location = options.location;
    this.#isKept = options.isKept;
    this.#size = options.size;
    this.#onClose = options.onClose;
  }

  /** Begins at nothing; bytes that an earlier writer closed are thrown away. `onClose` is called once. */
  static async create(deps: WriterDeps, path: string, onClose: () => void): Promise<DiskFileWriter> {
    await deps.unfinished.remove(path);
    const { handle, location } = await deps.temporary.create();
    return new DiskFileWriter({ deps, path, handle, location, isKept: false, size: 0, onClose });
  }

  /** Goes on with bytes that an earlier writer closed; `undefined` when there are none. `onClose` is called once. */
  static async find(deps: WriterDeps, path: string, onClose: () => void): Promise<DiskFileWriter | undefined> {
    const location = await deps.unfinished.locate(path);
    let handle: FileHandle;
    try {
      handle = await open(location, constants.O_RDWR | constants.O_NOFOLLOW);
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw error;
    }
    try {
      const { size } = await handle.stat();
      return new DiskFileWriter({ deps, path, handle, location, isKept: true, size, onClose });
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  get size(): number {
    return this.#size;
  }

  async write(bytes: Uint8Array): Promise<void> {
    let written = 0;
    try {
      while (written < bytes.length) {
        const result = await this.#handle.write(bytes, written, bytes.length - written, this.#size + written);
        written += result.bytesWritten;
      }
    } catch (error) {
      await this.#cutToSize();
      throw toDriverError(error, this.#path, 'write');
    }
    this.#size += bytes.length;
  }

  async commit(): Promise<void> {
    const location = this.#location ?? '';
    try {
      if (this.#isKept) await this.#requireOwn(location);
      const file = { location, handle: this.#handle, sync: () => this.#sync(), gone: this.#gone };
      await this.#deps.publisher.publish(file, this.#path);
    } catch (error) {
      throw toDriverError(error, this.#path, 'write');
    }
    this.#location = undefined;
    if (this.#isKept) await this.#deps.unfinished.prune(this.#path);
  }

  async cancel(): Promise<void> {
    const location = this.#location;
    this.#location = undefined;
    this.#size = 0;
    try {
      if (location !== undefined && !this.#isKept) await unlinkIfThere(location);
      await this.#deps.unfinished.remove(this.#path);
    } catch (error) {
      throw toDriverError(error, this.#path, 'write');
    }
  }

  async close(): Promise<void> {
    try {
      if (this.#location !== undefined) await this.#keep(this.#location);
    } catch (error) {
      throw toDriverError(error, this.#path, 'write');
    } finally {
      this.#onClose();
      await this.#handle.close();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Makes the bytes last, in the place where a later writer looks for them. */
  async #keep(location: string): Promise<void> {
    if (!this.#canTrustBytes) {
      await unlinkIfThere(location);
      return;
    }
    await this.#sync();
    if (this.#isKept) return;
    const kept = await this.#deps.unfinished.locate(this.#path);
    try {
      await this.#moveTo(kept, location);
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
      // Another writer has just removed the directory, because it was empty.
      if ((await findFile(location)) === undefined) throw this.#gone(error);
      await this.#moveTo(kept, location);
    }
  }

  async #moveTo(kept: string, location: string): Promise<void> {
    await makeWithParents(dirname(kept));
    await rename(location, kept);
    await this.#deps.directories.settle(dirname(kept));
  }

  /** A later writer must find what was taken and no more. */
  async #cutToSize(): Promise<void> {
    try {
      await this.#handle.truncate(this.#size);
    } catch {
      // The caller gets the error of the write, which came first; what this one means for the bytes is minded at `close`.
      this.#canTrustBytes = false;
    }
  }

  async #sync(): Promise<void> {
    try {
      await this.#handle.sync();
    } catch (error) {
      // The kernel drops pages that it could not write and reports that once: a second sync would succeed over a hole.
      this.#canTrustBytes = false;
      throw error;
    }
  }

  /** The name may have come to mean another file, when somebody broke the rule of one writer at a time. */
  async #requireOwn(location: string): Promise<void> {
    const [there, own] = await Promise.all([findFile(location), this.#handle.stat()]);
    if (there?.ino !== own.ino || there.dev !== own.dev) throw this.#gone(undefined);
  }

  readonly #gone = (cause: unknown): Error =>
    new ConflictError(driverName, this.#path, 'the unfinished bytes were removed or replaced meanwhile', { cause });
}

async function unlinkIfThere(location: string): Promise<void> {
  try {
    await unlink(location);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
}
