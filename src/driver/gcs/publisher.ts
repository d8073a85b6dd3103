import { PreconditionFailedError } from '../errors.ts';
import type { PutCondition } from '../storage-driver.ts';
import { statusOf } from './errors.ts';
import type { GcsNames } from './names.ts';
import type { ObjectFacts } from './object-facts.ts';
import type { ObjectStore } from './object-store.ts';
import { driverName } from './parameters.ts';
import { isUploadSession, type Places } from './places.ts';

/** Shows objects at their paths, each in one step. */
export class Publisher {
  readonly #store: ObjectStore;
  readonly #names: GcsNames;
  readonly #places: Places;

  constructor(parts: { readonly store: ObjectStore; readonly names: GcsNames; readonly places: Places }) {
    this.#store = parts.store;
    this.#names = parts.names;
    this.#places = parts.places;
  }

  /** Puts a whole object. @throws NotADirectoryError, NotAFileError */
  async put(path: string, content: Uint8Array, signal?: AbortSignal): Promise<void> {
    await this.#places.requireFree(path, signal);
    await this.#store.put(this.#names.ofObject(path), content, { signal });
  }

  /** Puts a whole object where the condition holds. @throws PreconditionFailedError and those of {@link put} */
  async putIf(path: string, content: Uint8Array, condition: PutCondition, signal?: AbortSignal): Promise<void> {
    const existing = await this.#places.requireFree(path, signal);
    const visible = existing === undefined || isUploadSession(existing) ? undefined : existing.generation;
    if (visible !== ('ifAbsent' in condition ? undefined : condition.ifMatch)) {
      throw new PreconditionFailedError(driverName, path, condition);
    }
    const ifGeneration = existing?.generation ?? '0';
    try {
      await this.#store.put(this.#names.ofObject(path), content, { ifGeneration, signal });
    } catch (error) {
      if (statusOf(error) !== 412) throw error;
      throw new PreconditionFailedError(driverName, path, condition, { cause: error });
    }
  }

  /**
   * Shows a copy of an object, as it was under this generation, as the object at a path.
   * @returns the generation of the copy, and what it has replaced
   * @throws SourceChangedError and those of {@link put}
   */
  async copy(
    source: Pick<ObjectFacts, 'name' | 'generation' | 'sizeBytes' | 'crc32c'>,
    path: string,
    signal?: AbortSignal,
  ): Promise<{ readonly generation: string; readonly replaced: ObjectFacts | undefined }> {
    const replaced = await this.#places.requireFree(path, signal);
    const { generation } = await this.#store.rewrite(source, this.#names.ofObject(path), signal);
    return { generation, replaced };
  }
}
