import { copyBytes } from '../core/index.ts';
import type { BlockCache, CachedFile, ExtentRead } from './block-cache.ts';
import type { LentBytes } from './ca-store.ts';
import { type OpenFile, readFully } from './files.ts';
import { lendBlock, lendOwn } from './lent-bytes.ts';
import type { BlockMemory, MemoryBlock } from './memory-blocks.ts';

/** As much is read at once from a file that is read in order: four times a block of a peer that asks for the longest ones. */
const MAX_READ_BYTES = 1024 * 1024;

/** What an {@link ExtentReader} reads. */
export interface ExtentReaderDeps {
  /** Whoever opened it closes it. */
  readonly file: OpenFile;
  readonly sizeBytes: number;
  readonly cache: BlockCache;
  readonly cached: CachedFile;
  /** Whether the bytes of an extent are there and verified. */
  readonly isThere: (extent: number) => boolean;
  /** The error for a file that ends at `position`. */
  readonly cutShort: (position: number) => Error;
}

/**
 * Reads a file through memory: in whole extents, which are kept for the next who asks; several of them in one read when the
 * extent before is in memory too. Reads go through the thread pool, so that a slow disk stops nobody else.
 *
 * The caller has checked that the bytes lie inside of the file and are there.
 */
export class ExtentReader {
  readonly #deps: ExtentReaderDeps;
  readonly #memory: BlockMemory;

  constructor(deps: ExtentReaderDeps) {
    this.#deps = deps;
    this.#memory = deps.cache.memory;
  }

  /** Bytes without a copy, at once when they are in memory. */
  lend(offset: number, length: number): LentBytes | Promise<LentBytes> {
    return this.findInMemory(offset, length) ?? this.#lendFromDisk(offset, length);
  }

  /** A copy of its own. */
  async read(offset: number, length: number): Promise<Buffer> {
    const inMemory = this.findInMemory(offset, length);
    if (inMemory === undefined && length >= this.#deps.cached.extentBytes) return this.#readDirectly(offset, length);
    const lent = inMemory ?? (await this.#lendFromDisk(offset, length));
    const copy = Buffer.allocUnsafe(length);
    copyBytes(lent.bytes, copy, 0);
    lent.release();
    return copy;
  }

  /** Bytes without a copy, when they are in memory. */
  findInMemory(offset: number, length: number): LentBytes | undefined {
    const { cached } = this.#deps;
    const found = cached.find(cached.extentOf(offset));
    if (found === undefined) return undefined;
    const at = offset - found.position;
    if (at + length <= found.block.buffer.length) return lendBlock(found.block, at, length);
    found.block.release();
    return undefined;
  }

  async #lendFromDisk(offset: number, length: number): Promise<LentBytes> {
    const { cached } = this.#deps;
    const extent = cached.extentOf(offset);
    const inOne = length > 0 && cached.extentOf(offset + length - 1) === extent;
    const read = inOne ? (cached.reads.get(extent) ?? this.#begin(extent)) : undefined;
    if (read === undefined) return lendOwn(await this.#readDirectly(offset, length));
    read.block.retain();
    try {
      await read.done;
    } catch (error) {
      read.block.release();
      throw error;
    }
    return lendBlock(read.block, offset - read.position, length);
  }

  /** Begins to read an extent, and those behind it when the file is read in order; `undefined` without memory for it. */
  #begin(extent: number): ExtentRead | undefined {
    const { cached } = this.#deps;
    const count = extent > 0 && cached.has(extent - 1) ? this.#runFrom(extent) : 1;
    const block = this.#takeFor(extent, count) ?? (count > 1 ? this.#takeFor(extent, 1) : undefined);
    if (block === undefined) return undefined;
    const position = extent * cached.extentBytes;
    const extents = Array.from({ length: Math.ceil(block.buffer.length / cached.extentBytes) }, (_, i) => extent + i);
    const done = this.#fill(block, position).finally(() => {
      for (const one of extents) cached.reads.delete(one);
      block.release();
    });
    const read = { block, position, done };
    for (const one of extents) cached.reads.set(one, read);
    return read;
  }

  /** How many extents from this one on are there, and not in memory. */
  #runFrom(extent: number): number {
    const { cached, sizeBytes, isThere } = this.#deps;
    const { extentBytes } = cached;
    let next = extent + 1;
    const end = Math.min(extent + MAX_READ_BYTES / extentBytes, Math.ceil(sizeBytes / extentBytes));
    while (next < end && isThere(next) && !cached.has(next)) next += 1;
    return next - extent;
  }

  #takeFor(extent: number, count: number): MemoryBlock | undefined {
    const { extentBytes } = this.#deps.cached;
    return this.#memory.takeShared(Math.min(count * extentBytes, this.#deps.sizeBytes - extent * extentBytes));
  }

  async #fill(block: MemoryBlock, position: number): Promise<void> {
    const { file, cached, cutShort } = this.#deps;
    const count = await readFully(file, block.buffer, position);
    if (count < block.buffer.length) throw cutShort(position + count);
    cached.put(block, position);
  }

  async #readDirectly(offset: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(length);
    const count = await readFully(this.#deps.file, bytes, offset);
    if (count < length) throw this.#deps.cutShort(offset + count);
    return bytes;
  }
}
