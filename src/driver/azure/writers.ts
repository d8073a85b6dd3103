import { buffer } from 'node:stream/consumers';
import { ConflictError, PathNotFoundError } from '../errors.ts';
import type { FileWriter } from '../storage-driver.ts';
import type { BlobReads } from './blob-reads.ts';
import { BlockWriter, type BlockWriterDeps } from './block-writer.ts';
import { driverName } from './parameters.ts';
import type { Places } from './places.ts';
import type { UnfinishedBlob, UnfinishedBlobs } from './unfinished-blobs.ts';

/** With this many blocks, a short last one is written anew rather than kept: a blob may have 50 000. */
const defaultManyBlocks = 10_000;

/** Opens the writers of a driver. */
export class Writers {
  readonly #deps: BlockWriterDeps;
  readonly #reads: BlobReads;
  readonly #places: Places;
  readonly #unfinished: UnfinishedBlobs;
  readonly #manyBlocks: number;
  readonly #appending = new Set<string>();

  constructor(parts: {
    readonly deps: BlockWriterDeps;
    readonly reads: BlobReads;
    readonly places: Places;
    readonly unfinished: UnfinishedBlobs;
    /** For tests. */
    readonly manyBlocks?: number | undefined;
  }) {
    this.#deps = parts.deps;
    this.#reads = parts.reads;
    this.#places = parts.places;
    this.#unfinished = parts.unfinished;
    this.#manyBlocks = parts.manyBlocks ?? defaultManyBlocks;
  }

  /** A writer that begins at nothing; unfinished bytes of earlier ones are thrown away. */
  async begin(path: string, signal: AbortSignal | undefined): Promise<FileWriter> {
    await this.#places.requireFree(path, signal);
    for (const name of await this.#unfinished.find(path, signal)) await this.#deps.store.delete(name, { signal });
    return new BlockWriter(this.#deps, { path, earlier: undefined, obsolete: [], onClose: () => undefined });
  }

  /** A writer that goes on with unfinished bytes, or with an empty object. @throws PathNotFoundError, ConflictError */
  async append(path: string, signal: AbortSignal | undefined): Promise<FileWriter> {
    if (this.#appending.has(path)) throw new ConflictError(driverName, path, 'another writer appends to it now');
    this.#appending.add(path);
    try {
      const names = await this.#unfinished.find(path, signal);
      const last = names.pop();
      if (last === undefined) await this.#requireEmptyObject(path, signal);
      const earlier = last === undefined ? undefined : await this.#unfinished.open(last, signal);
      const tail = earlier === undefined ? undefined : await this.#readShortTail(path, earlier, signal);
      return new BlockWriter(this.#deps, {
        path,
        earlier,
        ...(tail === undefined ? {} : { tail }),
        obsolete: names,
        onClose: () => this.#appending.delete(path),
      });
    } catch (error) {
      this.#appending.delete(path);
      throw error;
    }
  }

  async #requireEmptyObject(path: string, signal: AbortSignal | undefined): Promise<void> {
    const found = await this.#places.requireFree(path, signal);
    if (found === undefined) throw new PathNotFoundError(driverName, path);
    if (found.sizeBytes > 0) {
      throw new ConflictError(driverName, path, 'committed and not empty, cannot be appended to');
    }
  }

  /** Many small appends must not use up the number of blocks that a blob may have. */
  async #readShortTail(path: string, { name, blocks, etag }: UnfinishedBlob, signal: AbortSignal | undefined) {
    const last = blocks.at(-1);
    if (last === undefined || blocks.length < this.#manyBlocks) return undefined;
    if (last.sizeBytes >= this.#deps.chunkBytes) return undefined;
    const offset = blocks.reduce((total, { sizeBytes }) => total + sizeBytes, 0) - last.sizeBytes;
    return buffer(
      await this.#reads.openBlob(name, path, { offset, length: last.sizeBytes }, { signal, ifMatch: etag }),
    );
  }
}
