import type { BlobInfo, BlobStore } from '../castore/index.ts';
import { BlobNotFoundError, type Digest, UnavailableError } from '../core/index.ts';

/** Why a pushed blob is kept from eviction until the origins have acknowledged it. */
export const PUSH_PIN = 'push';

/** Keeps blobs from eviction while they are on their way to the origins, also when one blob is pushed twice at once. */
export class PushPins {
  readonly #blobs: BlobStore;
  readonly #pushes = new Map<Digest, number>();

  constructor(blobs: BlobStore) {
    this.#blobs = blobs;
  }

  /** Runs `push` with the blob pinned. @throws UnavailableError when the blob is not in the store any more */
  async during(digest: Digest, push: (blob: BlobInfo) => Promise<void>): Promise<void> {
    this.#pushes.set(digest, (this.#pushes.get(digest) ?? 0) + 1);
    try {
      await push(await this.#pinned(digest));
    } finally {
      const left = this.#pushes.get(digest)! - 1;
      if (left > 0) this.#pushes.set(digest, left);
      else {
        this.#pushes.delete(digest);
        await this.#blobs.unpin(digest, PUSH_PIN);
      }
    }
  }

  async #pinned(digest: Digest): Promise<BlobInfo> {
    try {
      await this.#blobs.pin(digest, PUSH_PIN);
      const blob = await this.#blobs.find(digest);
      if (blob !== undefined) return blob;
    } catch (error) {
      if (!(error instanceof BlobNotFoundError)) throw error;
    }
    throw new UnavailableError(`${digest} is not in the local store, so it cannot be pushed; upload it again`, {
      digest,
    });
  }

  /** Takes away the pins of pushes that an earlier process did not end. Called before the first push. */
  async clear(): Promise<void> {
    for await (const { digest } of this.#blobs.list()) {
      if ((await this.#blobs.pins(digest)).includes(PUSH_PIN)) await this.#blobs.unpin(digest, PUSH_PIN);
    }
  }
}
