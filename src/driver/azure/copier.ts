import { randomBytes } from 'node:crypto';
import { answerOf } from './azure-errors.ts';
import {
  type BlobFacts,
  type BlobStore,
  metadataOf,
  transferTimeoutMs,
  type WriteStamp,
  within,
} from './blob-store.ts';
import type { AzureConnection, CopySource } from './connection.ts';

/** The largest blob that Copy Blob From URL takes. */
const maxSingleCopyBytes = 256 * 1024 * 1024;

/** Of a larger one, this much is copied as a block; the service takes 50 000 blocks of up to 4000 MiB. */
const copyBlockBytes = 256 * 1024 * 1024;
const maxBlocks = 50_000;

const blocksAtOnce = 4;

/** Another commit to the same name throws away blocks that are on their way; then the copy begins again. */
const maxTries = 3;

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

  async #copyAtOnce(job: CopyJob, from: CopySource): Promise<string> {
    try {
      const { etag } = await this.#store.container.getBlobClient(job.target).syncCopyFromURL(from.url, {
        abortSignal: within(transferTimeoutMs, job.signal),
        metadata: metadataOf(job.stamp),
        sourceConditions: { ifMatch: job.facts.etag },
        ...authorize(from),
      });
      return etag ?? '';
    } catch (error) {
      const status = answerOf(error)?.status;
      if (status === 412 || status === 404) throw new SourceChangedError(job.source, { cause: error });
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
        if (answerOf(error)?.code !== 'InvalidBlockList' || attempt === maxTries) throw error;
      }
    }
  }

  async #stageAll(job: CopyJob, from: CopySource): Promise<string[]> {
    const { sizeBytes } = job.facts;
    const blockBytes = Math.max(this.#blockBytes, Math.ceil(sizeBytes / maxBlocks));
    const ids = Array.from({ length: Math.ceil(sizeBytes / blockBytes) }, (_, index) => blockId(index));
    const failed = new AbortController();
    const ending = AbortSignal.any([failed.signal, ...(job.signal === undefined ? [] : [job.signal])]);
    const client = this.#store.container.getBlockBlobClient(job.target);
    const next = ids.entries();
    const work = async () => {
      for (const [index, id] of next) {
        const offset = index * blockBytes;
        await client.stageBlockFromURL(id, from.url, offset, Math.min(blockBytes, sizeBytes - offset), {
          abortSignal: within(transferTimeoutMs, ending),
          ...authorize(from),
        });
      }
    };
    try {
      await Promise.all(Array.from({ length: blocksAtOnce }, work));
    } catch (error) {
      failed.abort(error);
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
  readonly target: string;
  readonly stamp: WriteStamp;
  readonly signal?: AbortSignal | undefined;
}

/** What was to be copied is not what it was. */
export class SourceChangedError extends Error {
  constructor(name: string, options?: ErrorOptions) {
    super(`the blob ${name} has changed or gone while it was copied`, options);
  }
}

function authorize({ authorization }: CopySource) {
  return authorization === undefined ? {} : { sourceAuthorization: authorization };
}

/** A new name for a block; all names of a blob must be of the same length. */
export function blockId(index: number): string {
  return Buffer.from(`${String(index).padStart(6, '0')}-${randomBytes(8).toString('hex')}`).toString('base64');
}
