import { isWithin } from '../paths.ts';
import { type BlobStore, type BlockFacts, sessionPathOf } from './blob-store.ts';
import type { BlobNames } from './names.ts';

/** Unfinished bytes of one path, as they were closed. */
export interface UnfinishedBlob {
  readonly name: string;
  readonly blocks: readonly BlockFacts[];
  readonly etag: string;
}

const deletesAtOnce = 8;

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
      const removed = await deleteAll(this.#store, listed, signal, (entry) => {
        return !isShared || isWithin(sessionPathOf(entry) ?? '/', path);
      });
      found ||= removed;
    }
    return found;
  }
}

/** Deletes what is listed, several at once; when it fails, nothing is deleted any more. @returns whether anything was there */
export async function deleteAll<Entry extends { readonly name: string }>(
  store: BlobStore,
  entries: AsyncIterable<Entry>,
  signal: AbortSignal | undefined,
  isWanted: (entry: Entry) => boolean = () => true,
): Promise<boolean> {
  let found = false;
  let hasFailed = false;
  const iterator = entries[Symbol.asyncIterator]();
  // One listing for all: an async generator queues calls of `next`.
  const work = async () => {
    for (let step = await iterator.next(); !step.done && !hasFailed; step = await iterator.next()) {
      if (isWanted(step.value) && (await store.delete(step.value.name, { signal }))) found = true;
    }
  };
  const workers = Array.from({ length: deletesAtOnce }, work);
  try {
    await Promise.all(workers);
  } catch (error) {
    // Whoever hears of it may write there again.
    hasFailed = true;
    await Promise.allSettled(workers);
    throw error;
  }
  return found;
}
