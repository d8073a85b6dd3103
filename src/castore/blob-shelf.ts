import { join } from 'node:path';
import { BlobNotFoundError, type Digest, digestAlgorithms } from '../core/index.ts';
import type { BlobInfo } from './ca-store.ts';
import type { StoreContext } from './context.ts';
import type { Evictable } from './eviction.ts';
import { type BlobPaths, decodeName, digestOfPath } from './layout.ts';
import type { UsedFile, UseTimes } from './use-times.ts';

/** One committed blob, as memory knows it. */
export interface BlobEntry extends Evictable, UsedFile, BlobInfo {
  readonly paths: BlobPaths;
  readonly pins: Set<string>;
}

/** Which blobs there are, with their pins and when they were used. Memory is the truth while the store is open. */
export class BlobShelf {
  readonly #context: StoreContext;
  readonly #useTimes: UseTimes;
  readonly #entries = new Map<Digest, BlobEntry>();

  constructor(context: StoreContext, useTimes: UseTimes) {
    this.#context = context;
    this.#useTimes = useTimes;
  }

  find(digest: Digest): BlobEntry | undefined {
    return this.#entries.get(digest);
  }

  /** @throws BlobNotFoundError */
  get(digest: Digest): BlobEntry {
    const entry = this.#entries.get(digest);
    if (entry !== undefined) return entry;
    throw new BlobNotFoundError(`blob ${digest} is not in the store`, { digest });
  }

  /** The digests of now; a copy, because every use changes the order. */
  digests(): readonly Digest[] {
    return [...this.#entries.keys()];
  }

  use(entry: BlobEntry): void {
    if (this.#entries.get(entry.digest) !== entry) return;
    this.#context.order.touch(entry, this.#context.clock.nowMs());
    this.#useTimes.used(entry);
  }

  /** A blob that has just become visible on disk. */
  add(facts: BlobFacts): BlobEntry {
    const entry = this.#makeEntry(facts);
    this.#entries.set(facts.digest, entry);
    return entry;
  }

  /** Takes a blob away, data first. The caller holds the blob's lock. */
  async remove(entry: BlobEntry): Promise<void> {
    const { files, order, space, cache, logger } = this.#context;
    await files.removeIfThere(entry.paths.data);
    cache.forgetBlob(entry.digest);
    if (this.#entries.get(entry.digest) === entry) {
      this.#entries.delete(entry.digest);
      order.remove(entry);
      this.#useTimes.forget(entry);
      space.forgetBlob(entry.sizeBytes);
    }
    try {
      await files.removeTree(entry.paths.directory);
    } catch (error) {
      // Without its data it is no blob, and the next start, or commit, cleans the folder.
      logger.warn({ err: error, digest: entry.digest }, 'cannot remove all that belonged to a blob');
    }
  }

  /** Reads what is on disk, and removes blobs without data: what a crash left of a commit, or of an eviction. */
  async load(): Promise<void> {
    const { files, layout } = this.#context;
    for (const algorithm of digestAlgorithms) {
      const top = join(layout.blobs, algorithm);
      for (const shard of await files.list(top)) {
        const names = await files.list(join(top, shard));
        await Promise.all(names.map((hex) => this.#loadOne(digestOfPath(algorithm, shard, hex))));
      }
    }
  }

  async #loadOne(digest: Digest | undefined): Promise<void> {
    if (digest === undefined) return;
    const { files, layout, ops, space } = this.#context;
    const paths = layout.blob(digest);
    const names = await files.list(paths.directory);
    if (!names.includes('data')) return files.removeTree(paths.directory);
    const { sizeBytes, accessedAtMs, modifiedAtMs } = await ops.stat(paths.data);
    const pins = names.includes('pins') ? await files.list(paths.pins) : [];
    const reasons = pins.map(decodeName).filter((reason) => reason !== undefined);
    const committedAtMs = Math.round(modifiedAtMs);
    this.add({ digest, sizeBytes, committedAtMs, lastUsedAtMs: Math.round(accessedAtMs), pins: reasons });
    space.found({ blobBytes: sizeBytes });
  }

  /** All blobs, for the order of eviction. */
  entries(): readonly BlobEntry[] {
    return [...this.#entries.values()];
  }

  #makeEntry(facts: BlobFacts): BlobEntry {
    const paths = this.#context.layout.blob(facts.digest);
    const pins = new Set(facts.pins);
    const { locks } = this.#context;
    const entry: BlobEntry = {
      ...facts,
      paths,
      path: paths.data,
      times: () => ({ accessedAtMs: entry.lastUsedAtMs, modifiedAtMs: entry.committedAtMs }),
      pins,
      evictable: () => pins.size === 0 && !locks.isHeld(blobKey(facts.digest)),
      evict: () => locks.run(blobKey(facts.digest), () => this.remove(entry)),
    };
    return entry;
  }
}

interface BlobFacts extends BlobInfo {
  readonly lastUsedAtMs: number;
  readonly pins: Iterable<string>;
}

/** The key under which a blob is locked. */
export function blobKey(digest: Digest): string {
  return `blob ${digest}`;
}
