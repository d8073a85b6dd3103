import { LRUCache } from 'lru-cache';
import { algorithmOf, type Digest, type DigestAlgorithm, DigestHasher } from '../core/index.ts';
import type { FileWriter } from '../driver/index.ts';

/** The hash of an upload's bytes so far. */
interface RunningHash {
  readonly hasher: DigestHasher;
  sizeBytes: number;
  /** What the storage called these bytes when they were closed, if it does that. */
  revision: string | undefined;
}

/**
 * The hashes of unfinished uploads, kept between their requests, so that finishing one needs no second read.
 *
 * Only a help: a hash that is not here (the process was restarted, it was crowded out, or another process has written to
 * the upload) is computed from the stored bytes. A hash counts only while its length is the upload's length, so bytes that
 * were written past it never slip by. Equal length has to mean equal bytes: uploads only ever grow, and a writer that
 * another one has overtaken fails to close (see `UploadStore`), upon which its hash is forgotten; or the storage names the
 * bytes (`FileWriter.revision`), and the hash counts only for those that were closed here.
 */
export class RunningHashes {
  readonly #hashes: LRUCache<string, RunningHash>;

  /** @param max uploads that are remembered at once; a hash takes less than 1 KiB */
  constructor(max: number) {
    this.#hashes = new LRUCache({ max });
  }

  /** Begins the hash of an upload that has no bytes yet. */
  begin(uploadKey: string, algorithm: DigestAlgorithm): void {
    this.#hashes.set(uploadKey, { hasher: new DigestHasher(algorithm), sizeBytes: 0, revision: undefined });
  }

  /** Forgets the hash of an upload that has another length by now: somebody else has written to it. */
  keepAt(uploadKey: string, sizeBytes: number): void {
    const hash = this.#hashes.get(uploadKey);
    if (hash !== undefined && hash.sizeBytes !== sizeBytes) this.#hashes.delete(uploadKey);
  }

  /** The same for a writer that has just been opened, whose bytes the storage may name as well. */
  keepIf(uploadKey: string, { size, revision }: Pick<FileWriter, 'size' | 'revision'>): void {
    this.keepAt(uploadKey, size);
    if (this.#hashes.get(uploadKey)?.revision !== revision) this.#hashes.delete(uploadKey);
  }

  /** A writer of an upload has been closed: this is what the storage calls its bytes from now on. */
  closed(uploadKey: string, { revision }: Pick<FileWriter, 'revision'>): void {
    const hash = this.#hashes.get(uploadKey);
    if (hash !== undefined) hash.revision = revision;
  }

  /** Takes bytes that were written when the upload had `offset` bytes. */
  update(uploadKey: string, offset: number, bytes: Uint8Array): void {
    this.keepAt(uploadKey, offset);
    const hash = this.#hashes.get(uploadKey);
    if (hash === undefined) return;
    hash.hasher.update(bytes);
    hash.sizeBytes += bytes.length;
  }

  /** The digest of all bytes in the algorithm of `wanted`; `undefined` when it is not known for that length. */
  find(uploadKey: string, sizeBytes: number, wanted: Digest): Digest | undefined {
    const hash = this.#hashes.get(uploadKey);
    if (hash === undefined || hash.sizeBytes !== sizeBytes) return undefined;
    return hash.hasher.algorithm === algorithmOf(wanted) ? hash.hasher.digest() : undefined;
  }

  /** Forgets an upload. */
  delete(uploadKey: string): void {
    this.#hashes.delete(uploadKey);
  }
}
