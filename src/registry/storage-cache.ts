import { LRUCache } from 'lru-cache';
import type { Clock } from '../core/index.ts';
import { type CallContext, DelegatingDriver, type FileInfo, type StorageDriver } from '../driver/index.ts';
import { BLOBS_PATH, REPOSITORIES_PATH } from '../pathparser/index.ts';

/** How much a registry remembers, and for how long. */
export interface StorageCacheOptions {
  /** Bytes of links and small blobs in memory together; 0 remembers nothing. */
  readonly maxBytes: number;
  /** How long something counts after it was read. Another process may have changed it meanwhile. In milliseconds. */
  readonly maxAgeMs: number;
}

/** Above this a blob is read anew each time; manifests and configs are mostly below. */
export const SMALL_BLOB_BYTES = 64 * 1024;

/** What an entry costs beside its bytes, about. */
const ENTRY_BYTES = 512;

/**
 * A driver that remembers what is asked again and again: which digests a repository holds, how long blobs are, and the bytes
 * of small ones. All else, tags above all, goes straight to the driver behind it.
 *
 * What is changed or deleted through this driver is forgotten at once, and an answer that was on its way meanwhile is not
 * kept. What another process changes on the same storage is seen after `maxAgeMs` at the latest. That something is *not*
 * there is never remembered: a push may bring it at any moment.
 */
export class StorageCache extends DelegatingDriver {
  readonly #contents: LRUCache<string, Buffer>;
  readonly #facts: LRUCache<string, FileInfo>;
  /** Advances with every change, so that what was read before one is not kept after it. */
  #changes = 0;

  /** @param driver stays the caller's to close */
  constructor(driver: StorageDriver, { maxBytes, maxAgeMs }: StorageCacheOptions, clock: Clock) {
    super(driver);
    const shared = { ttl: maxAgeMs, ttlResolution: 0, perf: { now: () => clock.monotonicMs() } };
    this.#contents = new LRUCache({
      ...shared,
      maxSize: maxBytes,
      sizeCalculation: (content) => content.length + ENTRY_BYTES,
    });
    this.#facts = new LRUCache({ ...shared, max: Math.ceil(maxBytes / ENTRY_BYTES) });
  }

  override async getContent(path: string, context?: CallContext): Promise<Buffer> {
    if (!isLastingContent(path)) return this.inner.getContent(path, context);
    const known = this.#contents.get(path);
    if (known !== undefined) return known;
    const before = this.#changes;
    const content = await this.inner.getContent(path, context);
    if (content.length <= SMALL_BLOB_BYTES && before === this.#changes) this.#contents.set(path, content);
    return content;
  }

  override async stat(path: string, context?: CallContext): Promise<FileInfo> {
    if (!isBlobData(path)) return this.inner.stat(path, context);
    const known = this.#facts.get(path);
    if (known !== undefined) return known;
    const before = this.#changes;
    const facts = await this.inner.stat(path, context);
    if (!facts.isDirectory && before === this.#changes) this.#facts.set(path, facts);
    return facts;
  }

  override putContent(path: string, content: Uint8Array, context?: CallContext): Promise<void> {
    return this.#changing([path], () => this.inner.putContent(path, content, context));
  }

  override move(source: string, destination: string, context?: CallContext): Promise<void> {
    return this.#changing([source, destination], () => this.inner.move(source, destination, context));
  }

  override delete(path: string, context?: CallContext): Promise<void> {
    return this.#changing([path], () => this.inner.delete(path, context));
  }

  /** Forgets everything; the driver behind it stays open. */
  override async close(): Promise<void> {
    this.#contents.clear();
    this.#facts.clear();
  }

  /** Forgotten after the change, failed or not: one that timed out may have happened. */
  async #changing(paths: readonly string[], change: () => Promise<void>): Promise<void> {
    try {
      await change();
    } finally {
      for (const path of paths) this.#forget(path);
    }
  }

  #forget(path: string): void {
    if (!path.startsWith(REPOSITORIES_PATH) && !path.startsWith(BLOBS_PATH)) return;
    this.#changes += 1;
    for (const known of [this.#contents, this.#facts]) {
      if (known.delete(path)) continue;
      // A directory, or something that was not known; few things are deleted, so that looking at all costs little.
      if (isFile(path)) continue;
      for (const key of known.keys()) if (key.startsWith(`${path}/`)) known.delete(key);
    }
  }
}

/** Links of layers and revisions, and the bytes of blobs. */
function isLastingContent(path: string): boolean {
  if (isBlobData(path)) return true;
  return path.endsWith('/link') && (path.includes('/_layers/') || path.includes('/_manifests/revisions/'));
}

function isBlobData(path: string): boolean {
  return path.startsWith(`${BLOBS_PATH}/`) && path.endsWith('/data');
}

function isFile(path: string): boolean {
  return path.endsWith('/link') || path.endsWith('/data') || path.endsWith('/startedat');
}
