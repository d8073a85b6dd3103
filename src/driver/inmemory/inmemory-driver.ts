import { Readable } from 'node:stream';
import Type from 'typebox';
import { type Clock, systemClock } from '../../core/index.ts';
import { ConflictError, NotADirectoryError, PathNotFoundError, PreconditionFailedError } from '../errors.ts';
import { type DriverParameters, readParameters } from '../parameters.ts';
import { comparePaths, joinPath } from '../paths.ts';
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
import { lengthOf, MemoryStore } from './memory-store.ts';
import { MemoryWriter } from './memory-writer.ts';
import type { ObjectNode } from './object-tree.ts';

/** What the in-memory driver is configured by. */
export const InMemoryParametersSchema = Type.Object(
  {
    maxbytes: Type.Integer({
      description: 'bytes that all objects and unfinished uploads may take together',
      minimum: 1,
      default: 1024 ** 3,
    }),
  },
  { additionalProperties: false },
);

const driverName = 'inmemory';
const readChunkBytes = 64 * 1024;

/** Opens an empty in-memory driver. @throws ConfigError */
export async function createInMemoryDriver(parameters: DriverParameters): Promise<StorageDriver> {
  const { maxbytes } = readParameters(driverName, InMemoryParametersSchema, parameters);
  return new InMemoryDriver({ maxBytes: maxbytes, clock: systemClock });
}

/**
 * The contract at its strictest, for tests and for trying out: what works here works on every driver. A directory is there
 * as long as there is an object in it. All is lost with the process.
 */
class InMemoryDriver implements StorageDriver {
  readonly name = driverName;
  readonly capabilities: Capabilities = {
    write: true,
    anyPath: true,
    verifiesBlobs: false,
    redirect: false,
    conditionalPut: true,
  };
  readonly #store: MemoryStore;
  readonly #appending = new Set<string>();

  constructor(options: { readonly maxBytes: number; readonly clock: Clock }) {
    this.#store = new MemoryStore(driverName, options.maxBytes, options.clock);
  }

  async getContent(path: string): Promise<Buffer> {
    return Buffer.from(this.#store.tree.getObject(path).bytes);
  }

  async putContent(path: string, content: Uint8Array): Promise<void> {
    this.#store.put(path, Buffer.from(content));
  }

  async putContentIf(path: string, content: Uint8Array, condition: PutCondition): Promise<void> {
    const node = this.#store.tree.find(path);
    const revision = node === undefined || node.isDirectory ? undefined : revisionOf(node);
    if (revision !== ('ifAbsent' in condition ? undefined : condition.ifMatch)) {
      throw new PreconditionFailedError(driverName, path, condition);
    }
    this.#store.put(path, Buffer.from(content));
  }

  async reader(path: string, range: ReadRange): Promise<Readable> {
    const { bytes } = this.#store.tree.getObject(path);
    const end = range.length === undefined ? bytes.length : range.offset + range.length;
    return Readable.from(copyInChunks(bytes.subarray(range.offset, end)), { objectMode: false });
  }

  async writer(path: string, options: { readonly append: boolean }): Promise<FileWriter> {
    this.#store.tree.requireFree(path);
    if (!options.append) {
      this.#store.release(lengthOf(this.#store.takeUnfinished(path) ?? []));
      return new MemoryWriter({ store: this.#store, path, chunks: [], onClose: () => undefined });
    }
    if (this.#appending.has(path)) throw new ConflictError(driverName, path, 'another writer appends to it now');
    const earlier = this.#store.takeUnfinished(path);
    if (earlier === undefined && this.#store.tree.getObject(path).bytes.length > 0) {
      throw new ConflictError(driverName, path, 'committed and not empty, cannot be appended to');
    }
    this.#appending.add(path);
    return new MemoryWriter({
      store: this.#store,
      path,
      chunks: earlier ?? [],
      onClose: () => this.#appending.delete(path),
    });
  }

  async stat(path: string): Promise<FileInfo> {
    const node = this.#store.tree.find(path);
    if (node === undefined) throw new PathNotFoundError(driverName, path);
    if (node.isDirectory) return { path, size: 0, modTime: new Date(0), isDirectory: true };
    const modTime = new Date(node.modTimeMs);
    return { path, size: node.bytes.length, modTime, isDirectory: false, revision: revisionOf(node) };
  }

  async *list(path: string, page: ListPage = {}): AsyncIterable<string> {
    const { after, limit = Number.POSITIVE_INFINITY } = page;
    const node = this.#store.tree.find(path);
    if (node === undefined) throw new PathNotFoundError(driverName, path);
    if (!node.isDirectory) throw new NotADirectoryError(driverName, path);
    const children = [...node.children.keys()].map((name) => joinPath(path, name));
    const behind = children.filter((child) => after === undefined || comparePaths(child, after) > 0);
    yield* behind.sort(comparePaths).slice(0, limit);
  }

  async move(source: string, destination: string): Promise<void> {
    this.#store.move(source, destination);
  }

  async delete(path: string): Promise<void> {
    if (!this.#store.remove(path)) throw new PathNotFoundError(driverName, path);
  }

  async redirectURL(): Promise<string | undefined> {
    return undefined;
  }

  walk(path: string, options: WalkOptions = {}, context?: CallContext): AsyncIterable<FileInfo> {
    const source = {
      children: (directory: string) => this.list(directory, {}),
      stat: (entry: string) => this.stat(entry),
      identity: async (directory: string) => directory,
    };
    context?.signal?.throwIfAborted();
    return walkTree(source, path, options);
  }

  async close(): Promise<void> {}

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function revisionOf({ revision }: ObjectNode): string {
  return String(revision);
}

/** Copies, because the chunk of a stream belongs to whoever reads it. */
function* copyInChunks(bytes: Buffer): Iterable<Buffer> {
  for (let offset = 0; offset < bytes.length; offset += readChunkBytes) {
    yield Buffer.from(bytes.subarray(offset, offset + readChunkBytes));
  }
}
