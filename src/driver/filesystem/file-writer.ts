import { type FileHandle, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { EarlySync } from '../../core/index.ts';
import { ConflictError } from '../errors.ts';
import type { FileWriter } from '../storage-driver.ts';
import { driverName, hasCode, toDriverError } from './errno.ts';
import { findFile } from './find-file.ts';
import type { Publisher } from './publisher.ts';
import { type LastingDirectories, makeWithParents } from './sync.ts';
import type { TemporaryFile, TemporaryFiles } from './temporary-files.ts';
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
 * never meet. One that goes on takes the bytes that wait with its first call that changes them, and not before: to look at
 * their size takes them from nobody. The calls come in order, `OrderedWriter` sees to that.
 */
export class DiskFileWriter implements FileWriter {
  readonly #deps: WriterDeps;
  readonly #path: string;
  readonly #onClose: () => void;
  /** Whether it goes on with bytes of an earlier writer. */
  readonly #isKept: boolean;
  /** `undefined` until the bytes of an earlier writer are taken. */
  #handle: FileHandle | undefined;
  /** Where the file is; `undefined` before it is taken, and once it is committed or thrown away. */
  #location: string | undefined;
  #size: number;
  readonly #earlySync = new EarlySync(async () => this.#handle?.datasync());
  #canTrustBytes = true;

  private constructor(options: {
    readonly deps: WriterDeps;
    readonly path: string;
    readonly file: TemporaryFile | undefined;
    readonly size: number;
    readonly onClose: () => void;
  }) {
    this.#deps = options.deps;
    this.#path = options.path;
    this.#isKept = options.file === undefined;
    this.#handle = options.file?.handle;
    this.#location = options.file?.location;
    this.#size = options.size;
    this.#onClose = options.onClose;
  }

  /** Begins at nothing; bytes that an earlier writer closed are thrown away. `onClose` is called once. */
  static async create(deps: WriterDeps, path: string, onClose: () => void): Promise<DiskFileWriter> {
    await deps.unfinished.remove(path);
    return new DiskFileWriter({ deps, path, file: await deps.temporary.create(), size: 0, onClose });
  }

  /** Goes on with bytes that an earlier writer closed; `undefined` when there are none. `onClose` is called once. */
  static async find(deps: WriterDeps, path: string, onClose: () => void): Promise<DiskFileWriter | undefined> {
    const size = await deps.unfinished.findSize(path);
    return size === undefined ? undefined : new DiskFileWriter({ deps, path, file: undefined, size, onClose });
  }

  get size(): number {
    return this.#size;
  }

  async write(bytes: Uint8Array): Promise<void> {
    let written = 0;
    const { handle } = await this.#taken();
    try {
      while (written < bytes.length) {
        const result = await handle.write(bytes, written, bytes.length - written, this.#size + written);
        written += result.bytesWritten;
      }
    } catch (error) {
      await this.#cutToSize(handle);
      throw toDriverError(error, this.#path, 'write');
    }
    this.#size += bytes.length;
    this.#earlySync.wrote(bytes.length);
  }

  async commit(): Promise<void> {
    try {
      const { location, handle } = await this.#taken();
      const file = { location, handle, sync: () => this.#sync(handle), gone: this.#gone };
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
    const handle = this.#handle;
    try {
      if (handle !== undefined && this.#location !== undefined) await this.#keep(this.#location, handle);
    } catch (error) {
      throw toDriverError(error, this.#path, 'write');
    } finally {
      this.#onClose();
      // Whether it has failed matters to bytes that are kept, and was asked there.
      await this.#earlySync.settled().catch(() => undefined);
      await handle?.close();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The file to write to. @throws ConflictError when the bytes of the earlier writer are not as they were found any more */
  async #taken(): Promise<TemporaryFile> {
    if (this.#handle !== undefined && this.#location !== undefined) {
      return { handle: this.#handle, location: this.#location };
    }
    try {
      const file = await this.#deps.unfinished.take(this.#path);
      if (file === undefined) throw this.#gone(undefined);
      this.#handle = file.handle;
      this.#location = file.location;
      const { size } = await file.handle.stat();
      if (size !== this.#size) throw await this.#giveBack(file, size);
      return file;
    } catch (error) {
      throw toDriverError(error, this.#path, 'write');
    }
  }

  /** Another process has written to them since; `close` has to leave them as they are. */
  async #giveBack({ location, handle }: TemporaryFile, size: number): Promise<Error> {
    await this.#keep(location, handle);
    this.#location = undefined;
    const message = `the unfinished bytes were ${this.#size} and are ${size} now: another process has written to them`;
    return new ConflictError(driverName, this.#path, message);
  }

  /** Makes the bytes last, in the place where a later writer looks for them. */
  async #keep(location: string, handle: FileHandle): Promise<void> {
    if (!this.#canTrustBytes) {
      await unlinkIfThere(location);
      return;
    }
    const kept = await this.#deps.unfinished.locate(this.#path);
    if (this.#isKept) {
      await this.#sync(handle);
      await this.#rename(location, kept);
      // Either of its names is found after a loss of power, so one sync of the directory is enough for all writers.
      await this.#deps.directories.settleOnce(dirname(kept));
      return;
    }
    // No bytes, nothing to last: an upload that has just begun does not wait for the disk.
    if (this.#size > 0) await this.#sync(handle);
    try {
      await this.#moveTo(kept, location);
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
      // Another writer has just removed the directory, because it was empty.
      if ((await findFile(location)) === undefined) throw this.#gone(error);
      await this.#moveTo(kept, location);
    }
  }

  /** @throws ConflictError when the file is in the hands of another writer by now, or thrown away */
  async #rename(location: string, kept: string): Promise<void> {
    try {
      await rename(location, kept);
    } catch (error) {
      throw hasCode(error, 'ENOENT', 'ENOTDIR') ? this.#gone(error) : error;
    }
  }

  async #moveTo(kept: string, location: string): Promise<void> {
    await makeWithParents(dirname(kept));
    await rename(location, kept);
    if (this.#size > 0) await this.#deps.directories.settle(dirname(kept));
  }

  /** A later writer must find what was taken and no more. */
  async #cutToSize(handle: FileHandle): Promise<void> {
    try {
      await handle.truncate(this.#size);
    } catch {
      // The caller gets the error of the write, which came first; what this one means for the bytes is minded at `close`.
      this.#canTrustBytes = false;
    }
  }

  async #sync(handle: FileHandle): Promise<void> {
    try {
      await this.#earlySync.settled();
      await handle.sync();
    } catch (error) {
      // The kernel drops pages that it could not write and reports that once: a second sync would succeed over a hole.
      this.#canTrustBytes = false;
      throw error;
    }
  }

  readonly #gone = (cause: unknown): Error =>
    new ConflictError(driverName, this.#path, 'another process has taken or removed the unfinished bytes', { cause });
}

async function unlinkIfThere(location: string): Promise<void> {
  try {
    await unlink(location);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
}
