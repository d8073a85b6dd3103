import type { Clock } from '../../core/index.ts';
import { StorageFullError } from '../errors.ts';
import { isWithin } from '../paths.ts';
import { ObjectTree, sizeOf } from './object-tree.ts';

/** All bytes of an in-memory driver: objects, and what writers have closed without commit. Bounded as a whole. */
export class MemoryStore {
  readonly tree: ObjectTree;
  readonly #driverName: string;
  readonly #maxBytes: number;
  readonly #clock: Clock;
  readonly #unfinished = new Map<string, Buffer[]>();
  #usedBytes = 0;
  #puts = 0;

  constructor(driverName: string, maxBytes: number, clock: Clock) {
    this.tree = new ObjectTree(driverName);
    this.#driverName = driverName;
    this.#maxBytes = maxBytes;
    this.#clock = clock;
  }

  /** Puts an object, with a modification time behind that of the object it replaces. @throws StorageFullError */
  put(path: string, bytes: Buffer): void {
    this.tree.requireFree(path);
    const old = this.tree.find(path);
    const oldTimeMs = old === undefined || old.isDirectory ? 0 : old.modTimeMs;
    this.reserve(path, bytes.length - sizeOf(old));
    const modTimeMs = Math.max(this.#clock.nowMs(), oldTimeMs + 1);
    this.tree.put(path, { isDirectory: false, bytes, modTimeMs, revision: ++this.#puts });
  }

  /** Renames an object; nothing changes on an error. @throws PathNotFoundError, NotAFileError, NotADirectoryError */
  move(source: string, destination: string): void {
    const { bytes } = this.tree.getObject(source);
    if (source === destination) return;
    this.tree.requireFree(destination);
    this.tree.remove(source);
    this.release(bytes.length);
    this.put(destination, bytes);
  }

  /** Removes objects and unfinished bytes at and below a path; false when there were none. */
  remove(path: string): boolean {
    const removed = this.tree.remove(path);
    this.#usedBytes -= sizeOf(removed);
    let found = removed !== undefined;
    for (const key of this.#unfinished.keys()) {
      if (!isWithin(key, path)) continue;
      this.release(lengthOf(this.takeUnfinished(key) ?? []));
      found = true;
    }
    return found;
  }

  /** Counts bytes that are about to be kept; a negative number gives some back. @throws StorageFullError */
  reserve(path: string, bytes: number): void {
    if (this.#usedBytes + bytes > this.#maxBytes) throw new StorageFullError(this.#driverName, path);
    this.#usedBytes += bytes;
  }

  release(bytes: number): void {
    this.#usedBytes -= bytes;
  }

  /** Hands over what an earlier writer closed without commit; the bytes stay counted. */
  takeUnfinished(path: string): Buffer[] | undefined {
    const chunks = this.#unfinished.get(path);
    this.#unfinished.delete(path);
    return chunks;
  }

  /** Keeps a writer's bytes, which are counted already, in place of earlier ones. */
  keepUnfinished(path: string, chunks: Buffer[]): void {
    this.release(lengthOf(this.takeUnfinished(path) ?? []));
    this.#unfinished.set(path, chunks);
  }
}

/** Bytes in all chunks. */
export function lengthOf(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((total, chunk) => total + chunk.length, 0);
}
