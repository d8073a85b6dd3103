import { LRUCache } from 'lru-cache';
import type { Digest } from '../../core/index.ts';

/** An upload whose bytes are a blob of the local store already, while the origins have not acknowledged it. */
export interface UnacknowledgedPush {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly startedAt: Buffer | undefined;
}

/** More failures than this at once are a cluster that is down: the oldest uploads then have to begin again. */
const MAX_PUSHES = 10_000;

/**
 * Remembers uploads that the local store has committed and the origins have refused, so that a client which sends its
 * last request again finds its upload as it left it. In memory only: after a restart the client begins again.
 */
export class UnacknowledgedPushes {
  readonly #pushes = new LRUCache<string, UnacknowledgedPush>({ max: MAX_PUSHES });

  find(id: string): UnacknowledgedPush | undefined {
    return this.#pushes.get(id);
  }

  add(id: string, push: UnacknowledgedPush): void {
    this.#pushes.set(id, push);
  }

  /** @returns whether it was there */
  remove(id: string): boolean {
    return this.#pushes.delete(id);
  }
}
