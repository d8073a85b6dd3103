import { LRUCache } from 'lru-cache';
import type { Digest } from '../core/index.ts';
import { BlockMemory, type MemoryBlock } from './memory-blocks.ts';

/** Extents are at least this long, but the last one of a file. */
const MIN_EXTENT_BYTES = 64 * 1024;
/** Of blobs that were not downloaded here: a block that a peer asks for, and as much again. */
const BLOB_EXTENT_BYTES = 256 * 1024;
/** Blobs of which is known how they are cut. */
const MAX_BLOBS = 4096;

/** Bytes of a file in memory: a block that begins at `position`. */
export interface CachedBytes {
  readonly block: MemoryBlock;
  readonly position: number;
}

/** One extent of a block; the others of it have entries of their own. */
interface CachedExtent extends CachedBytes {
  readonly sizeBytes: number;
}

/** A read of some extents that is under way; those who want them share it. */
export interface ExtentRead extends CachedBytes {
  /** Rejects when they cannot be read. */
  readonly done: Promise<void>;
}

/**
 * The bytes of files that came or were read last, verified, over all files of a store: they are wanted again by neighbours,
 * by readers, and by the digest. They take what memory is there, and give it back, least recently used first, when a piece
 * or a read needs it.
 */
export class BlockCache {
  readonly memory: BlockMemory;
  readonly #extents: LRUCache<string, CachedExtent>;
  readonly #files: LRUCache<Digest, CachedFile>;
  #opened = 0;

  /** @param limitBytes of all memory: pieces that arrive, what is kept, what is lent */
  constructor(limitBytes: number) {
    this.memory = new BlockMemory({ limitBytes, reclaim: () => this.#dropOldest() });
    this.#extents = new LRUCache({
      max: Math.max(1, Math.floor(limitBytes / MIN_EXTENT_BYTES)),
      dispose: ({ block }) => block.release(),
    });
    this.#files = new LRUCache({ max: MAX_BLOBS });
  }

  /** A part of its own for a download: the same digest may be opened again with other pieces. */
  openDownload(pieceLength: number): CachedFile {
    return new CachedFile(this.#extents, this.#opened++, Math.min(pieceLength, BLOB_EXTENT_BYTES));
  }

  /** A download has become a blob: its bytes are the blob's. */
  adopt(digest: Digest, file: CachedFile): void {
    this.#files.set(digest, file);
  }

  /** The part of a blob, the same for all who read it. */
  ofBlob(digest: Digest): CachedFile {
    const known = this.#files.get(digest);
    if (known !== undefined) return known;
    const file = new CachedFile(this.#extents, this.#opened++, BLOB_EXTENT_BYTES);
    this.#files.set(digest, file);
    return file;
  }

  /** A blob is gone: when it comes again it is read again, because it may have gone because its bytes were damaged. */
  forgetBlob(digest: Digest): void {
    this.#files.get(digest)?.forget();
    this.#files.delete(digest);
  }

  /** Lets go of everything that is not lent. */
  close(): void {
    this.#extents.clear();
  }

  #dropOldest(): number {
    return this.#extents.pop()?.sizeBytes ?? 0;
  }
}

/** What of one file is in memory, in extents of one length. */
export class CachedFile {
  readonly extentBytes: number;
  /** Reads that are under way, by extent. */
  readonly reads = new Map<number, ExtentRead>();
  readonly #extents: LRUCache<string, CachedExtent>;
  readonly #id: number;

  constructor(extents: LRUCache<string, CachedExtent>, id: number, extentBytes: number) {
    this.#extents = extents;
    this.#id = id;
    this.extentBytes = extentBytes;
  }

  extentOf(position: number): number {
    return Math.floor(position / this.extentBytes);
  }

  /** The bytes around an extent, with a reference for the caller, who releases it. */
  find(extent: number): CachedBytes | undefined {
    const found = this.#extents.get(this.#key(extent));
    found?.block.retain();
    return found;
  }

  /** Whether an extent is in memory or on its way there. Does not count as use. */
  has(extent: number): boolean {
    return this.reads.has(extent) || this.#extents.has(this.#key(extent));
  }

  /** Keeps whole extents that begin at `position`. Memory that is not shared is not kept: nothing bounds it. */
  put(block: MemoryBlock, position: number): void {
    if (block.place === undefined) return;
    const { extentBytes } = this;
    for (let at = 0; at < block.buffer.length; at += extentBytes) {
      const sizeBytes = Math.min(extentBytes, block.buffer.length - at);
      this.#extents.set(this.#key(this.extentOf(position + at)), { block: block.retain(), position, sizeBytes });
    }
  }

  /** Drops what is kept of this file. */
  forget(): void {
    const prefix = `${this.#id} `;
    for (const key of [...this.#extents.keys()]) if (key.startsWith(prefix)) this.#extents.delete(key);
  }

  #key(extent: number): string {
    return `${this.#id} ${extent}`;
  }
}
