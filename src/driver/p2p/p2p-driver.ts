import { Readable } from 'node:stream';
import { findPath, parsePath, type RegistryPath } from '../../pathparser/index.ts';
import {
  type CallContext,
  type Capabilities,
  type FileInfo,
  type FileWriter,
  type ListPage,
  NotADirectoryError,
  type ReadRange,
  type StorageDriver,
  UnsupportedError,
  type WalkOptions,
  walkTree,
} from '../index.ts';
import { blobHandlers } from './blobs.ts';
import { asDriverError } from './errors.ts';
import {
  type Call,
  DRIVER_NAME,
  directory,
  type HandlerTable,
  type KindHandlers,
  type P2pDriverDeps,
  type PathKind,
} from './handlers.ts';
import { linkHandlers } from './links.ts';
import { referrerHandlers } from './referrers.ts';
import { repositoryHandlers } from './repositories.ts';
import { tagHandlers } from './tags.ts';
import { uploadHandlers } from './uploads.ts';

/** Directories below which everything can be listed. */
const walkable: ReadonlySet<PathKind> = new Set([
  'tags',
  'tag',
  'tag-current',
  'layer',
  'revision',
  'referrers',
  'referrer',
  'uploads',
  'upload',
  'upload-hash-states',
]);

/**
 * The storage driver between a registry and the cluster: each call is sent where its path's kind belongs. What each kind
 * can do stands in the files of this folder, one a family, and in the documentation's table.
 */
export class P2pDriver implements StorageDriver {
  readonly name = DRIVER_NAME;
  readonly capabilities: Capabilities = {
    write: true,
    anyPath: false,
    verifiesBlobs: true,
    redirect: false,
    conditionalPut: false,
  };
  readonly #handlers: HandlerTable;

  constructor(deps: P2pDriverDeps) {
    this.#handlers = {
      ...repositoryHandlers(deps),
      ...linkHandlers(deps),
      ...tagHandlers(deps),
      ...referrerHandlers(deps),
      ...uploadHandlers(deps),
      ...blobHandlers(deps),
    };
  }

  getContent(path: string, context: CallContext = {}): Promise<Buffer> {
    return this.#run(path, context, (parsed, call) => {
      const { getContent } = this.#handlers[parsed.kind] as KindHandlers<RegistryPath>;
      return this.#required(getContent, 'getContent', parsed, call)(parsed, call);
    });
  }

  putContent(path: string, content: Uint8Array, context: CallContext = {}): Promise<void> {
    return this.#run(path, context, (parsed, call) => {
      const { putContent } = this.#handlers[parsed.kind] as KindHandlers<RegistryPath>;
      return this.#required(putContent, 'putContent', parsed, call)(parsed, content, call);
    });
  }

  reader(path: string, range: ReadRange, context: CallContext = {}): Promise<Readable> {
    return this.#run(path, context, async (parsed, call) => {
      const { reader, getContent } = this.#handlers[parsed.kind] as KindHandlers<RegistryPath>;
      if (reader !== undefined || getContent === undefined) {
        return this.#required(reader, 'reader', parsed, call)(parsed, range, call);
      }
      const content = await getContent(parsed, call);
      const end = range.length === undefined ? content.length : range.offset + range.length;
      const bytes = content.subarray(range.offset, end);
      return Readable.from(bytes.length === 0 ? [] : [bytes], { objectMode: false });
    });
  }

  writer(path: string, options: { readonly append: boolean }, context: CallContext = {}): Promise<FileWriter> {
    return this.#run(path, context, (parsed, call) => {
      const { writer } = this.#handlers[parsed.kind] as KindHandlers<RegistryPath>;
      return this.#required(writer, 'writer', parsed, call)(parsed, options, call);
    });
  }

  async stat(path: string, context: CallContext = {}): Promise<FileInfo> {
    if (path === '/') return { path, ...directory };
    return this.#run(path, context, async (parsed, call) => {
      const { stat } = this.#handlers[parsed.kind] as KindHandlers<RegistryPath>;
      return { path, ...(await this.#required(stat, 'stat', parsed, call)(parsed, call)) };
    });
  }

  async *list(path: string, page: ListPage = {}, context: CallContext = {}): AsyncIterable<string> {
    try {
      const parsed = parsePath(path);
      const call = { path, context };
      const { list, getContent, reader } = this.#handlers[parsed.kind] as KindHandlers<RegistryPath>;
      if (getContent !== undefined || reader !== undefined) throw new NotADirectoryError(DRIVER_NAME, path);
      yield* this.#required(list, 'list', parsed, call)(parsed, page, call);
    } catch (error) {
      throw asDriverError(error, path);
    }
  }

  move(source: string, destination: string, context: CallContext = {}): Promise<void> {
    return this.#run(source, context, async (parsed, call) => {
      const target = await this.#run(destination, context, async (parsedTarget) => parsedTarget);
      const { moveTo } = this.#handlers[parsed.kind] as KindHandlers<RegistryPath>;
      await this.#required(moveTo, 'move', parsed, call)(parsed, target, call);
    });
  }

  delete(path: string, context: CallContext = {}): Promise<void> {
    return this.#run(path, context, (parsed, call) => {
      const { delete: remove } = this.#handlers[parsed.kind] as KindHandlers<RegistryPath>;
      return this.#required(remove, 'delete', parsed, call)(parsed, call);
    });
  }

  async putContentIf(path: string): Promise<void> {
    throw new UnsupportedError(this.name, path, 'putContentIf');
  }

  async redirectURL(): Promise<undefined> {
    return undefined;
  }

  async *walk(path: string, options: WalkOptions = {}, context: CallContext = {}): AsyncIterable<FileInfo> {
    const parsed = findPath(path);
    // A walk that leaves out what cannot be listed would tell a garbage collector that it is not there.
    if (parsed !== undefined && !walkable.has(parsed.kind)) {
      throw new UnsupportedError(DRIVER_NAME, path, `walk of ${parsed.kind}`);
    }
    const source = {
      children: (directoryPath: string) => this.list(directoryPath, {}, context),
      stat: (childPath: string) => this.stat(childPath, context),
      identity: async (directoryPath: string) => directoryPath,
    };
    yield* walkTree(source, path, options);
  }

  /** Closes nothing: the transferer and the store belong to whoever made them. */
  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run<T>(
    path: string,
    context: CallContext,
    call: (parsed: RegistryPath, call: Call) => Promise<T>,
  ): Promise<T> {
    try {
      return await call(parsePath(path), { path, context });
    } catch (error) {
      throw asDriverError(error, path);
    }
  }

  #required<T>(handler: T | undefined, operation: string, { kind }: RegistryPath, { path }: Call): T {
    if (handler !== undefined) return handler;
    throw new UnsupportedError(DRIVER_NAME, path, `${operation} of ${kind}`);
  }
}
