import type { BlobRequestConditions } from '@azure/storage-blob';
import { PreconditionFailedError } from '../errors.ts';
import type { PutCondition } from '../storage-driver.ts';
import { isConditionFailure, isOtherBlobType } from './azure-errors.ts';
import { type BlobFacts, type BlobStore, type WriteStamp, writeIdOf } from './blob-store.ts';
import type { BlobCopier, CopyJob } from './copier.ts';
import type { BlobNames } from './names.ts';
import { driverName } from './parameters.ts';
import { type Places, stampAfter } from './places.ts';

/** Shows objects at their paths, each in one step. */
export class Publisher {
  readonly #store: BlobStore;
  readonly #names: BlobNames;
  readonly #places: Places;
  readonly #copier: BlobCopier;

  constructor(parts: {
    readonly store: BlobStore;
    readonly names: BlobNames;
    readonly places: Places;
    readonly copier: BlobCopier;
  }) {
    this.#store = parts.store;
    this.#names = parts.names;
    this.#places = parts.places;
    this.#copier = parts.copier;
  }

  /** Puts a whole object. @throws NotADirectoryError, NotAFileError */
  async put(path: string, content: Uint8Array, signal?: AbortSignal): Promise<void> {
    const existing = await this.#places.requireFree(path, signal);
    const name = this.#names.ofObject(path);
    const stamp = stampAfter(existing);
    await this.#overOtherTypes(name, existing, signal, () => this.#store.put(name, content, stamp, { signal }));
  }

  /** Puts a whole object where the condition holds. @throws PreconditionFailedError and those of {@link put} */
  async putIf(path: string, content: Uint8Array, condition: PutCondition, signal?: AbortSignal): Promise<void> {
    const existing = await this.#places.requireFree(path, signal);
    if (existing?.etag !== ('ifAbsent' in condition ? undefined : condition.ifMatch)) {
      throw new PreconditionFailedError(driverName, path, condition);
    }
    const name = this.#names.ofObject(path);
    const stamp = stampAfter(existing);
    const conditions: BlobRequestConditions =
      'ifAbsent' in condition ? { ifNoneMatch: '*' } : { ifMatch: condition.ifMatch };
    // Of another type, it is deleted while it is what was expected; then nothing may be there.
    const behindDeletion = { ifNoneMatch: '*' };
    try {
      await this.#overOtherTypes(name, existing, signal, (isDeleted) =>
        this.#store.put(name, content, stamp, { conditions: isDeleted ? behindDeletion : conditions, signal }),
      );
    } catch (error) {
      if (!isConditionFailure(error)) throw error;
      if ((await this.findWritten(name, stamp, signal)) !== undefined) return;
      throw new PreconditionFailedError(driverName, path, condition, { cause: error });
    }
  }

  /**
   * Shows a copy of a blob as the object at a path. @returns its ETag, and what it has replaced
   * @throws SourceChangedError and those of {@link put}
   */
  async copy(
    source: Pick<CopyJob, 'source' | 'facts'>,
    path: string,
    signal?: AbortSignal,
  ): Promise<{ readonly etag: string; readonly replaced: BlobFacts | undefined }> {
    const replaced = await this.#places.requireFree(path, signal);
    const target = this.#names.ofObject(path);
    const job = { ...source, target, path, stamp: stampAfter(replaced), signal };
    const etag = await this.#overOtherTypes(target, replaced, signal, () => this.#copier.copy(job));
    return { etag, replaced };
  }

  /**
   * The blob when it is that of this write. A request that was sent again, because its first answer was lost, finds its own blob,
   * and its condition then fails.
   */
  async findWritten(name: string, { writeId }: WriteStamp, signal?: AbortSignal): Promise<BlobFacts | undefined> {
    const found = await this.#store.find(name, signal);
    return found !== undefined && writeIdOf(found) === writeId ? found : undefined;
  }

  /**
   * Distribution writes layers as append blobs, and the service replaces none of those by a block blob. As distribution does,
   * it is deleted then, so that for a moment nothing is there.
   */
  async #overOtherTypes<T>(
    name: string,
    existing: BlobFacts | undefined,
    signal: AbortSignal | undefined,
    write: (isDeleted: boolean) => Promise<T>,
  ): Promise<T> {
    try {
      return await write(false);
    } catch (error) {
      if (existing === undefined || !isOtherBlobType(error)) throw error;
      await this.#store.delete(name, { signal, ifMatch: existing.etag });
      return write(true);
    }
  }
}
