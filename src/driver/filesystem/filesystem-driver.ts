import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, lstat, open, rmdir, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';
import Type from 'typebox';
import { type Clock, systemClock } from '../../core/index.ts';
import { ConflictError, NotAFileError, PathNotFoundError, StorageUnavailableError } from '../errors.ts';
import { type DriverParameters, readParameters } from '../parameters.ts';
import { Semaphore, SemaphoreFullError } from '../semaphore.ts';
import type {
  CallContext,
  Capabilities,
  FileInfo,
  FileWriter,
  ListPage,
  PutCondition,
  ReadRange,
  StorageDriver,
  WalkOptions,
} from '../storage-driver.ts';
import { walkTree } from '../walk.ts';
import { driverName, hasCode, toDriverError } from './errno.ts';
import { FileStream } from './file-stream.ts';
import { DiskFileWriter, type WriterDeps } from './file-writer.ts';
import { findFile } from './find-file.ts';
import { listDirectory } from './listing.ts';
import { LoopTurns } from './loop-turns.ts';
import { Publisher, removeEmptyDirectories, revisionOf } from './publisher.ts';
import { RememberedFiles } from './remembered-files.ts';
import { RootDirectory } from './root-directory.ts';
import { LastingDirectories, syncUnlessGone } from './sync.ts';
import { TemporaryFiles } from './temporary-files.ts';
import { UnfinishedFiles } from './unfinished-files.ts';

/** What the filesystem driver is configured by. */
export const FilesystemParametersSchema = Type.Object(
  {
    rootdirectory: Type.String({
      description: 'directory that holds everything; made when it is missing',
      minLength: 1,
    }),
    maxconcurrency: Type.Integer({
      description: 'calls to the file system at once; more of them wait',
      minimum: 1,
      maximum: 10_000,
      default: 100,
    }),
  },
  { additionalProperties: false },
);

// A call that waits holds little, but what holds the caller (a request, its body) counts too.
const maxWaitingCalls = 10_000;

/**
 * Opens the filesystem driver, makes its directory when it is missing, and removes what died processes left in the making.
 * @throws ConfigError for the parameters, StorageDriverError when the directory cannot be used
 */
export async function createFilesystemDriver(
  parameters: DriverParameters,
  deps: { readonly clock: Clock } = { clock: systemClock },
): Promise<StorageDriver> {
  const settings = readParameters(driverName, FilesystemParametersSchema, parameters);
  const root = await RootDirectory.open(settings.rootdirectory);
  const temporary = new TemporaryFiles(root);
  await temporary.removeLeftovers(deps.clock.nowMs());
  const remembered = await RememberedFiles.open(root.location);
  return new FilesystemDriver({ root, temporary, remembered, maxConcurrency: settings.maxconcurrency });
}

/**
 * Objects as files below one directory, at their own paths, so that a folder written by distribution is served as it is.
 * Several processes may use one directory at a time: what they make has names of its own until a rename shows it.
 */
class FilesystemDriver implements StorageDriver {
  readonly name = driverName;
  readonly capabilities: Capabilities = {
    write: true,
    anyPath: true,
    verifiesBlobs: false,
    redirect: false,
    conditionalPut: true,
  };
  readonly #root: RootDirectory;
  readonly #temporary: TemporaryFiles;
  readonly #remembered: RememberedFiles;
  readonly #turns = new LoopTurns();
  readonly #unfinished: UnfinishedFiles;
  readonly #publisher: Publisher;
  readonly #writerDeps: WriterDeps;
  readonly #semaphore: Semaphore;
  readonly #appending = new Set<string>();

  constructor(parts: {
    readonly root: RootDirectory;
    readonly temporary: TemporaryFiles;
    readonly remembered: RememberedFiles;
    readonly maxConcurrency: number;
  }) {
    const { root, temporary, maxConcurrency } = parts;
    const directories = new LastingDirectories(root.location);
    this.#root = root;
    this.#temporary = temporary;
    this.#remembered = parts.remembered;
    this.#unfinished = new UnfinishedFiles(root, temporary);
    this.#publisher = new Publisher(root, directories, temporary);
    this.#writerDeps = { temporary, unfinished: this.#unfinished, directories, publisher: this.#publisher };
    this.#semaphore = new Semaphore(maxConcurrency, maxWaitingCalls);
  }

  getContent(path: string, context?: CallContext): Promise<Buffer> {
    return this.#run('read', path, context, async () => {
      const known = this.#remembered.find(path);
      if (known !== undefined) {
        await this.#turns.take();
        return known;
      }
      const { handle, size, identity } = await this.#openFile(path);
      try {
        const content = await readWhole(handle, size, context?.signal);
        this.#remembered.remember(path, content, identity);
        return content;
      } finally {
        await handle.close();
      }
    });
  }

  putContent(path: string, content: Uint8Array, context?: CallContext): Promise<void> {
    return this.#put(path, content, undefined, context);
  }

  putContentIf(path: string, content: Uint8Array, condition: PutCondition, context?: CallContext): Promise<void> {
    return this.#put(path, content, condition, context);
  }

  reader(path: string, range: ReadRange, context?: CallContext): Promise<Readable> {
    return this.#run('read', path, context, async () => {
      const { handle, size } = await this.#openFile(path);
      const end = range.length === undefined ? size : Math.min(size, range.offset + range.length);
      return new FileStream({ handle, path, start: range.offset, end });
    });
  }

  writer(path: string, options: { readonly append: boolean }, context?: CallContext): Promise<FileWriter> {
    return this.#run('write', path, context, async () => {
      await this.#requireFree(path);
      return options.append ? this.#append(path) : DiskFileWriter.create(this.#writerDeps, path, () => undefined);
    });
  }

  stat(path: string, context?: CallContext): Promise<FileInfo> {
    return this.#run('read', path, context, () => this.#stat(path));
  }

  async *list(path: string, page: ListPage = {}, context?: CallContext): AsyncIterable<string> {
    yield* await this.#run('read', path, context, () => listDirectory(this.#root, path, page, context?.signal));
  }

  move(source: string, destination: string, context?: CallContext): Promise<void> {
    return this.#run('write', destination, context, () => this.#move(source, destination, context?.signal));
  }

  delete(path: string, context?: CallContext): Promise<void> {
    return this.#run('write', path, context, async () => {
      const place = await this.#root.locateName(path);
      // First what no listing shows: whoever is killed in between leaves something that can be found and deleted again.
      const wasUnfinished = await this.#unfinished.removeBelow(path);
      const wasThere = await this.#remove(place);
      if (!wasThere && !wasUnfinished) throw new PathNotFoundError(driverName, path);
    });
  }

  async redirectURL(): Promise<string | undefined> {
    return undefined;
  }

  walk(path: string, options: WalkOptions = {}, context?: CallContext): AsyncIterable<FileInfo> {
    const source = {
      children: (directory: string) => this.list(directory, {}, context),
      stat: (entry: string) => this.stat(entry, context),
      identity: (directory: string) => this.#root.locate(directory),
    };
    return walkTree(source, path, options);
  }

  async close(): Promise<void> {}

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #run<T>(
    access: 'read' | 'write',
    path: string,
    context: CallContext | undefined,
    task: () => Promise<T>,
  ): Promise<T> {
    try {
      return await this.#semaphore.run(task, context?.signal);
    } catch (error) {
      if (error instanceof SemaphoreFullError) {
        throw new StorageUnavailableError(driverName, path, error.message, { cause: error });
      }
      throw toDriverError(error, path, access);
    }
  }

  /**
   * Opens an object for reading. The length cannot change: what is visible under a name is replaced by another file, never
   * written to. @throws PathNotFoundError, NotAFileError
   */
  async #openFile(
    path: string,
  ): Promise<{ readonly handle: FileHandle; readonly size: number; readonly identity: BigIntStats }> {
    const place = await this.#root.locate(path);
    // Without O_NONBLOCK, opening a named pipe would wait for a writer for ever.
    const handle = await open(place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const identity = await handle.stat({ bigint: true });
      if (identity.isDirectory()) throw new NotAFileError(driverName, path);
      if (!identity.isFile()) throw new PathNotFoundError(driverName, path);
      return { handle, size: Number(identity.size), identity };
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  #put(
    path: string,
    content: Uint8Array,
    condition: PutCondition | undefined,
    context: CallContext | undefined,
  ): Promise<void> {
    return this.#run('write', path, context, async () => {
      const { location, handle } = await this.#temporary.create();
      try {
        await handle.writeFile(content);
        const file = { location, handle, sync: () => handle.sync(), gone: gone(path), signal: context?.signal };
        await this.#publisher.publish(file, path, condition);
      } catch (error) {
        await this.#temporary.remove(location);
        throw error;
      } finally {
        await handle.close();
      }
    });
  }

  async #stat(path: string): Promise<FileInfo> {
    const found = await stat(await this.#root.locate(path), { bigint: true });
    if (!found.isFile() && !found.isDirectory()) throw new PathNotFoundError(driverName, path);
    const modTime = found.mtime;
    if (found.isDirectory()) return { path, size: 0, modTime, isDirectory: true };
    return { path, size: Number(found.size), modTime, isDirectory: false, revision: revisionOf(found) };
  }

  /** @throws NotAFileError when there are objects below the path; ENOTDIR when a parent is an object */
  async #requireFree(path: string): Promise<void> {
    const place = await this.#root.locateName(path);
    try {
      const found = await lstat(place);
      if (found.isDirectory() && !(await removeEmptyDirectories(place))) throw new NotAFileError(driverName, path);
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
    }
  }

  async #append(path: string): Promise<FileWriter> {
    if (this.#appending.has(path)) throw new ConflictError(driverName, path, 'another writer appends to it now');
    this.#appending.add(path);
    const end = () => this.#appending.delete(path);
    try {
      const earlier = await DiskFileWriter.find(this.#writerDeps, path, end);
      if (earlier !== undefined) return earlier;
      const { size, isDirectory } = await this.#stat(path);
      if (isDirectory) throw new NotAFileError(driverName, path);
      if (size > 0) throw new ConflictError(driverName, path, 'committed and not empty, cannot be appended to');
      return await DiskFileWriter.create(this.#writerDeps, path, end);
    } catch (error) {
      end();
      throw error;
    }
  }

  async #move(source: string, destination: string, signal: AbortSignal | undefined): Promise<void> {
    try {
      const { handle: opened } = await this.#openFile(source);
      await using handle = opened;
      if (source === destination) return;
      const location = await this.#root.locateName(source);
      if ((await lstat(location)).isSymbolicLink()) {
        throw new ConflictError(driverName, source, 'a symbolic link, which cannot be moved');
      }
      const file = { location, handle, sync: () => handle.sync(), gone: gone(source), signal };
      await this.#publisher.publish(file, destination);
      await syncUnlessGone(dirname(location));
      await this.#prune(dirname(location));
    } catch (error) {
      throw hasCode(error, 'ENOENT') ? toDriverError(error, source, 'read') : error;
    }
  }

  /** Removes what has this name, in one step for everybody who looks; false when nothing has. */
  async #remove(place: string): Promise<boolean> {
    const found = await findFile(place);
    if (found === undefined) return false;
    try {
      if (found.isDirectory()) await this.#temporary.discard(place);
      else await unlink(place);
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false;
      throw error;
    }
    await syncUnlessGone(dirname(place));
    if (!found.isDirectory()) await this.#prune(dirname(place));
    return true;
  }

  /**
   * Removes directories that an object has left empty. What is not empty stays, by the system's own check; whoever writes
   * there makes it again.
   */
  async #prune(from: string): Promise<void> {
    try {
      for (let place = from; place !== this.#root.location; place = dirname(place)) await rmdir(place);
    } catch {
      // In use, or gone already. An empty directory that stays does no harm.
    }
  }
}

/** All `size` bytes of a file, in as few calls as it takes. */
async function readWhole(handle: FileHandle, size: number, signal: AbortSignal | undefined): Promise<Buffer> {
  // Not from the shared pool: whoever keeps a link of 71 bytes would keep 8 KiB with it.
  const bytes = Buffer.allocUnsafeSlow(size);
  for (let offset = 0; offset < size; ) {
    const { bytesRead } = await handle.read(bytes, offset, size - offset, offset);
    signal?.throwIfAborted();
    // Somebody else has cut the file short: who verifies what it reads will see.
    if (bytesRead === 0) return bytes.subarray(0, offset);
    offset += bytesRead;
  }
  return bytes;
}

function gone(path: string): (cause: unknown) => Error {
  return (cause) => new PathNotFoundError(driverName, path, { cause });
}
