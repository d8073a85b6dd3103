import { KeyedMutex, NoSpaceError } from '../core/index.ts';
import type { StoreUsage } from './ca-store.ts';
import type { EvictionOrder } from './eviction.ts';
import { isDiskFull } from './files.ts';

/**
 * The bytes of the store: who takes room takes it here first, and what is least recently used goes to make it.
 *
 * Room for unfinished bytes is taken before they are written; a commit turns it into room of a blob. Downloads take the
 * whole length of their blob at once, so that one that was begun can be finished.
 */
export class Space {
  readonly #capacityBytes: number;
  readonly #order: EvictionOrder;
  /** Makes evictions one after the other, so that two that need room do not both count on the same victim. */
  readonly #evicting = new KeyedMutex();
  #blobBytes = 0;
  #unfinishedBytes = 0;

  constructor(deps: { capacityBytes: number; order: EvictionOrder }) {
    this.#capacityBytes = deps.capacityBytes;
    this.#order = deps.order;
  }

  usage(): StoreUsage {
    return {
      blobBytes: this.#blobBytes,
      unfinishedBytes: this.#unfinishedBytes,
      capacityBytes: this.#capacityBytes,
    };
  }

  /** Takes room for unfinished bytes. `what` names the taker in errors. @throws NoSpaceError */
  async take(bytes: number, what: string): Promise<void> {
    if (this.#excess(bytes) > 0) await this.#evicting.run('', () => this.#evictFor(bytes, what));
    else this.#unfinishedBytes += bytes;
  }

  /** Gives back room of unfinished bytes. */
  give(bytes: number): void {
    this.#unfinishedBytes -= bytes;
  }

  /** Unfinished bytes have become a blob. */
  commit(bytes: number): void {
    this.#unfinishedBytes -= bytes;
    this.#blobBytes += bytes;
  }

  /** A blob is gone. */
  forgetBlob(bytes: number): void {
    this.#blobBytes -= bytes;
  }

  /** Counts what was found on disk at the start, whether or not it fits. */
  found(bytes: { blobBytes?: number; unfinishedBytes?: number }): void {
    this.#blobBytes += bytes.blobBytes ?? 0;
    this.#unfinishedBytes += bytes.unfinishedBytes ?? 0;
  }

  /** Evicts until the capacity is kept; returns the bytes that are still too many, because they may not go. */
  async shrink(): Promise<number> {
    while (this.#excess(0) > 0 && (await this.#evictOldest())) {
      // The condition does the work.
    }
    return Math.max(0, this.#excess(0));
  }

  /**
   * Runs a write, and again after an eviction for as long as the disk says that it is full. The write has to be one that may
   * be repeated. @throws NoSpaceError when nothing is left to evict
   */
  async onDisk<T>(what: string, write: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await write();
      } catch (error) {
        if (!isDiskFull(error)) throw error;
        if (!(await this.#evicting.run('', () => this.#evictOldest()))) throw this.explain(what, error);
      }
    }
  }

  /** An error of a write or sync that cannot be repeated: NoSpaceError when the disk is full, else the error itself. */
  explain(what: string, error: unknown): unknown {
    if (!isDiskFull(error)) return error;
    return new NoSpaceError(
      `the disk has no room for ${what}, and nothing in the store could be evicted for it: free some space, or unpin blobs`,
      { ...this.usage() },
      { cause: error },
    );
  }

  #excess(bytes: number): number {
    return this.#blobBytes + this.#unfinishedBytes + bytes - this.#capacityBytes;
  }

  async #evictFor(bytes: number, what: string): Promise<void> {
    // Asked first, so that a taker whom nothing can help does not empty the cache.
    if (this.#excess(bytes) > this.#order.evictableBytes()) throw this.#tooLarge(bytes, what);
    while (this.#excess(bytes) > 0) if (!(await this.#evictOldest())) throw this.#tooLarge(bytes, what);
    this.#unfinishedBytes += bytes;
  }

  async #evictOldest(): Promise<boolean> {
    const victim = this.#order.findOldest();
    await victim?.evict();
    return victim !== undefined;
  }

  #tooLarge(bytes: number, what: string): NoSpaceError {
    const { blobBytes, unfinishedBytes, capacityBytes } = this.usage();
    return new NoSpaceError(
      `no room for ${bytes} bytes of ${what}: the store holds ${blobBytes} bytes of blobs and ${unfinishedBytes} unfinished ` +
        `of ${capacityBytes}, and only ${this.#order.evictableBytes()} may be evicted; give it more capacity, or unpin blobs`,
      { bytes, blobBytes, unfinishedBytes, capacityBytes },
    );
  }
}
