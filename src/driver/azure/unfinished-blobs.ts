import { deleteAll } from '../object-store/index.ts';
import { isWithin } from '../paths.ts';
import { type BlobStore, type BlockFacts, sessionPathOf } from './blob-store.ts';
import type { BlobNames } from './names.ts';

/** Unfinished bytes of one path, as they were closed. */
export interface UnfinishedBlob {
  readonly name: string;
  readonly blocks: readonly BlockFacts[];
  readonly etag: string;
}

/**
 * Bytes that writers closed without commit: block blobs with hidden names, one for each writer that began anew. Blocks of a
 * writer that was killed belong to a blob that nothing lists, and the service removes them after a week.
 */
export class UnfinishedBlobs {
  readonly #store: BlobStore;
  readonly #names: BlobNames;

  constructor(store: BlobStore, names: BlobNames) {
    this.#store = store;
    this.#names = names;
  }

  /** Names of all unfinished bytes of a path, those begun last at the end. */
  async find(path: string, signal?: AbortSignal): Promise<string[]> {
    const found: string[] = [];
    for await (const { name } of this.#store.list({ prefix: this.#names.sessionsOf(path) }, signal)) found.push(name);
    return found;
  }

  /** What is in a blob now. @throws the SDK's error when it has gone */
  async open(name: string, signal?: AbortSignal): Promise<UnfinishedBlob> {
    return { name, ...(await this.#store.blockList(name, signal)) };
  }

  /** Throws away what is of a path or of any path below it. @returns whether there was something */
  async removeWithin(path: string, signal?: AbortSignal): Promise<boolean> {
    let found = false;
    for (const { prefix, isShared } of this.#names.sessionsWithin(path)) {
      const listed = this.#store.list({ prefix, withMetadata: isShared }, signal);
      const removed = await deleteAll(listed, async (entry) => {
        const isOurs = !isShared || isWithin(sessionPathOf(entry) ?? '/', path);
        return isOurs && this.#store.delete(entry.name, { signal });
      });
      found ||= removed;
    }
    return found;
  }
}
