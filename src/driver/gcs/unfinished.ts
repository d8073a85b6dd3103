import { deleteAll } from '../object-store/index.ts';
import type { GcsNames } from './names.ts';
import type { SourceObject } from './object-facts.ts';
import type { ObjectStore } from './object-store.ts';

/** The service's limit for the name of an object, and of what names begin with. */
const maxNameBytes = 1024;

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
    await this.#removeListed(session, signal);
  }

  /** Throws away what is of a path or of any path below it. @returns whether there was something */
  async removeWithin(path: string, signal?: AbortSignal): Promise<boolean> {
    const prefix = this.#names.unfinishedWithin(path);
    if (prefix.length > maxNameBytes) return false;
    return this.#removeListed(prefix, signal);
  }

  #removeListed(prefix: string, signal: AbortSignal | undefined): Promise<boolean> {
    return deleteAll(this.#store.list({ prefix }, signal), ({ name }) => this.#store.delete(name, { signal }));
  }
}
