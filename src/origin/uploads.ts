import type { CaStore } from '../castore/index.ts';
import { type Digest, DigestMismatchError, ReadOnlyError, type Repository, UnavailableError } from '../core/index.ts';
import type { BackendBlobs } from './backend-blobs.ts';
import type { BlobMetainfo } from './blob-metainfo.ts';
import type { OriginMetrics } from './metrics.ts';
import type { OriginBlobs } from './origin-blobs.ts';
import type { OtherOrigins } from './other-origins.ts';
import { BLOB_OWNERS } from './protocol.ts';
import type { WriteBackQueue } from './write-back-queue.ts';

/** What {@link Uploads} needs. */
export interface UploadsDeps {
  readonly castore: CaStore;
  readonly backend: BackendBlobs;
  readonly blobs: OriginBlobs;
  readonly metainfo: BlobMetainfo;
  readonly others: OtherOrigins;
  readonly queue: WriteBackQueue;
  readonly metrics: OriginMetrics;
  /** How long a replica leaves the write-back to the origin that took the upload. */
  readonly replicaDelayMs: number;
  readonly closing: AbortSignal;
}

/** What a client tells about an upload. */
export interface UploadFacts {
  readonly repository: Repository | undefined;
  /** A copy from another origin: kept, not copied on. */
  readonly replica: boolean;
}

/**
 * Takes uploads: when {@link take} resolves, `min(2, members)` origins hold the blob verified and synced, each with its
 * write-back queued on disk. That holds for a blob that was here before, too.
 */
export class Uploads {
  readonly #deps: UploadsDeps;

  constructor(deps: UploadsDeps) {
    this.#deps = deps;
  }

  /**
   * Takes one upload, and reads `body` to its end.
   * @throws DigestMismatchError when the bytes are not the digest's: nothing is kept
   * @throws UnavailableError when too few origins took it: nothing is acknowledged, and the copy here waits for the retry
   * @throws NoSpaceError, ReadOnlyError
   */
  async take(digest: Digest, body: AsyncIterable<Uint8Array>, facts: UploadFacts): Promise<void> {
    const { metrics, metainfo } = this.#deps;
    try {
      const sizeBytes = await this.#keep(digest, body, facts);
      metainfo.offer(digest);
      if (!facts.replica) await this.#replicate(digest, sizeBytes, facts.repository);
      metrics.uploads.inc({ result: facts.replica ? 'replica' : 'acknowledged' });
    } catch (error) {
      metrics.uploads.inc({ result: error instanceof DigestMismatchError ? 'mismatch' : 'failed' });
      throw error;
    }
  }

  /** @returns the length in bytes */
  async #keep(digest: Digest, body: AsyncIterable<Uint8Array>, facts: UploadFacts): Promise<number> {
    const { backend, blobs, closing, replicaDelayMs } = this.#deps;
    if (!backend.writable) {
      throw new ReadOnlyError(`this origin takes no uploads: its backend (${backend.name}) is read-only`, { digest });
    }
    const { repository } = facts;
    const delayMs = facts.replica ? replicaDelayMs : 0;
    const held = await this.#keepHeld(digest, { repository, delayMs });
    if (held === undefined)
      return (await blobs.receive(digest, body, { repository, delayMs, signal: closing })).sizeBytes;
    // It is here already. The body is read none the less: a client that is cut off in mid-body may miss the answer.
    for await (const _chunk of body) closing.throwIfAborted();
    return held;
  }

  /** Keeps a blob that is on disk already. `undefined` when it is not, or no longer. */
  async #keepHeld(
    digest: Digest,
    options: { readonly repository: Repository | undefined; readonly delayMs: number },
  ): Promise<number | undefined> {
    const { blobs, queue } = this.#deps;
    const held = await blobs.findLocal(digest);
    if (held === undefined) return undefined;
    try {
      await queue.add(digest, options);
      return held.sizeBytes;
    } catch (error) {
      if (error instanceof UnavailableError) return undefined;
      throw error;
    }
  }

  async #replicate(digest: Digest, sizeBytes: number, repository: Repository | undefined): Promise<void> {
    const { others, castore, closing } = this.#deps;
    const copies = Math.min(BLOB_OWNERS, others.size + 1) - 1;
    const source = { sizeBytes, open: () => castore.blobs.open(digest) };
    await others.replicate(digest, source, { copies, repository, signal: closing });
  }
}
