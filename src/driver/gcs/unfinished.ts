import type { GcsNames } from './names.ts';
import type { ObjectFacts, SourceObject } from './object-facts.ts';
import type { ObjectStore } from './object-store.ts';

/** The service's limit for the name of an object, and of what names begin with. */
const maxNameBytes = 1024;

const deletesAtOnce = 8;

/**
 * Bytes that writers closed without commit: objects with hidden names, one for each writer that began anew. Pieces that a
 * writer has sent and not joined are beside them, those of a killed one until that path or a directory above it is deleted.
 */
export class Unfinished {
  readonly #store: ObjectStore;
  readonly #names: GcsNames;

  constructor(store: ObjectStore, names: GcsNames) {
    this.#store = store;
    this.#names = names;
  }

  /** All unfinished bytes of a path, those begun last at the end. */
  async find(path: string, signal?: AbortSignal): Promise<SourceObject[]> {
    const prefix = this.#names.sessionsOf(path);
    if (prefix.length > maxNameBytes) return [];
    const found: SourceObject[] = [];
    for await (const { name, generation, sizeBytes, crc32c } of this.#store.list({ prefix }, signal)) {
      if (this.#names.isSession(name, path)) found.push({ name, generation, sizeBytes, crc32c: crc32c ?? 0 });
    }
    return found;
  }

  /** Throws away unfinished bytes of this name, with all their pieces, those of killed writers included. */
  async remove(session: string, signal?: AbortSignal): Promise<void> {
    await deleteAll(this.#store, this.#store.list({ prefix: session }, signal), signal);
  }

  /** Throws away what is of a path or of any path below it. @returns whether there was something */
  async removeWithin(path: string, signal?: AbortSignal): Promise<boolean> {
    const prefix = this.#names.unfinishedWithin(path);
    if (prefix.length > maxNameBytes) return false;
    return deleteAll(this.#store, this.#store.list({ prefix }, signal), signal);
  }
}

/** Deletes what is listed, several at once. @returns whether anything was there */
export async function deleteAll(
  store: ObjectStore,
  entries: AsyncIterable<ObjectFacts>,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  let found = false;
  const iterator = entries[Symbol.asyncIterator]();
  // One listing for all: an async generator queues calls of `next`.
  const work = async () => {
    for (let step = await iterator.next(); !step.done; step = await iterator.next()) {
      if (await store.delete(step.value.name, { signal })) found = true;
    }
  };
  await Promise.all(Array.from({ length: deletesAtOnce }, work));
  return found;
}
