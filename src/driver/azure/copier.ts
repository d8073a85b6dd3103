import { randomBytes } from 'node:crypto';
import { StorageUnavailableError } from '../errors.ts';
import { answerOf, isConditionFailure, isMissing } from './azure-errors.ts';
import type { BlobFacts, BlobStore, WriteStamp } from './blob-store.ts';
import type { AzureConnection, CopySource } from './connection.ts';
import { driverName } from './parameters.ts';

/** The largest blob that Copy Blob From URL takes. */
const maxSingleCopyBytes = 256 * 1024 * 1024;

/** Of a larger one, this much is copied as a block; the service takes 50 000 blocks of up to 4000 MiB. */
const copyBlockBytes = 256 * 1024 * 1024;
const maxBlocks = 50_000;

const blocksAtOnce = 4;

/**
 * Another commit to the same name throws away blocks that are on their way; then the copy begins again. Each time somebody has
 * succeeded, so as many as this may copy to one name at once.
 */
const maxTries = 20;

/** Copies blobs within the container, by the service itself. The target changes in one step, when all has been copied. */
export class BlobCopier {
  readonly #store: BlobStore;
  readonly #copySource: AzureConnection['copySource'];
  readonly #maxSingleBytes: number;
  readonly #blockBytes: number;

  constructor(options: {
    readonly store: BlobStore;
    readonly copySource: AzureConnection['copySource'];
    /** For tests; what is larger is copied by blocks of this size. */
    readonly maxSingleBytes?: number | undefined;
  }) {
    this.#store = options.store;
    this.#copySource = options.copySource;
    this.#maxSingleBytes = options.maxSingleBytes ?? maxSingleCopyBytes;
    this.#blockBytes = options.maxSingleBytes ?? copyBlockBytes;
  }

  /**
   * Copies what the source was when `facts` were asked for. @returns the ETag of the target
   * @throws SourceChangedError when it has changed or gone since; the target is as it was
   */
  async copy(job: CopyJob): Promise<string> {
    const from = await this.#copySource(job.source);
    if (job.facts.sizeBytes <= this.#maxSingleBytes) return this.#copyAtOnce(job, from);
    try {
      return await this.#copyByBlocks(job, from);
    } catch (error) {
      // Azurite copies no blocks, and has no limit for a whole blob either.
      if (answerOf(error)?.status !== 501) throw error;
      return this.#copyAtOnce(job, from);
    }
  }

  async #copyAtOnce({ source, facts, target, stamp, signal }: CopyJob, from: CopySource): Promise<string> {
    try {
      return await this.#store.copy(target, from, { ifMatch: facts.etag, stamp, signal });
    } catch (error) {
      if (isConditionFailure(error) || isMissing(error)) throw new SourceChangedError(source, { cause: error });
      throw error;
    }
  }

  async #copyByBlocks(job: CopyJob, from: CopySource): Promise<string> {
    for (let attempt = 1; ; attempt++) {
      const ids = await this.#stageAll(job, from);
      // The blocks were read one after the other; an ETag that is the same now says that they are of the same bytes.
      const now = await this.#store.find(job.source, job.signal);
      if (now?.etag !== job.facts.etag) throw new SourceChangedError(job.source);
      try {
        const options = { contentType: job.facts.contentType, signal: job.signal };
        return await this.#store.commitBlocks(job.target, ids, job.stamp, options);
      } catch (error) {
        if (answerOf(error)?.code !== 'InvalidBlockList') throw error;
        if (attempt === maxTries) {
          const what = `others have replaced it ${maxTries} times while a copy to it was under way`;
          throw new StorageUnavailableError(driverName, job.path, what, { cause: error });
        }
      }
    }
  }

  async #stageAll(job: CopyJob, from: CopySource): Promise<string[]> {
    const { sizeBytes } = job.facts;
    const blockBytes = Math.max(this.#blockBytes, Math.ceil(sizeBytes / maxBlocks));
    const ids = Array.from({ length: Math.ceil(sizeBytes / blockBytes) }, (_, index) => blockId(index));
    const failed = new AbortController();
    const ending = AbortSignal.any([failed.signal, ...(job.signal === undefined ? [] : [job.signal])]);
    const next = ids.entries();
    const work = async () => {
      for (const [index, id] of next) {
        const offset = index * blockBytes;
        const length = Math.min(blockBytes, sizeBytes - offset);
        await this.#store.stageCopy(job.target, id, { from, offset, length }, ending);
      }
    };
    const workers = Array.from({ length: blocksAtOnce }, work);
    try {
      await Promise.all(workers);
    } catch (error) {
      failed.abort(error);
      // Whoever hears of the error may count on it that nothing is sent any more.
      await Promise.allSettled(workers);
      throw error;
    }
    return ids;
  }
}

/** See {@link BlobCopier.copy}. */
export interface CopyJob {
  /** Name of the blob to be copied. */
  readonly source: string;
  readonly facts: BlobFacts;
  /** Name of the copy, and its path. */
  readonly target: string;
  readonly path: string;
  readonly stamp: WriteStamp;
  readonly signal?: AbortSignal | undefined;
}

/** What was to be copied is not what it was. */
export class SourceChangedError extends Error {
  constructor(name: string, options?: ErrorOptions) {
    super(`the blob ${name} has changed or gone while it was copied`, options);
  }
}

/** A new name for a block; all names of a blob must be of the same length. */
export function blockId(index: number): string {
  return Buffer.from(`${String(index).padStart(6, '0')}-${randomBytes(8).toString('hex')}`).toString('base64');
}
