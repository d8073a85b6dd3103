import { DigestHasher } from '../core/index.ts';

/**
 * The SHA-256 of each upload that this process writes from its first byte on, so that its commit does not read it again.
 *
 * Bounded: past the limit the upload that grew longest ago loses its hash, and is read again. Other algorithms are rare enough
 * to be read again too.
 */
export class RunningHashes {
  readonly #limit: number;
  /** Grown longest ago first. */
  readonly #hashers = new Map<string, DigestHasher>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Begins at the first byte of an upload. */
  start(id: string): void {
    this.#put(id, new DigestHasher('sha256'));
    const [oldest] = this.#hashers.keys();
    if (this.#hashers.size > this.#limit && oldest !== undefined) this.#hashers.delete(oldest);
  }

  /** The next bytes of an upload. */
  update(id: string, bytes: Uint8Array): void {
    const hasher = this.#hashers.get(id);
    if (hasher !== undefined) this.#put(id, hasher.update(bytes));
  }

  /** `undefined` when its bytes have to be read. */
  find(id: string): DigestHasher | undefined {
    return this.#hashers.get(id);
  }

  forget(id: string): void {
    this.#hashers.delete(id);
  }

  #put(id: string, hasher: DigestHasher): void {
    this.#hashers.delete(id);
    this.#hashers.set(id, hasher);
  }
}
