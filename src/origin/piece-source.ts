import { buffer } from 'node:stream/consumers';
import type { BlobFile, CaStore } from '../castore/index.ts';
import { BlobNotFoundError, type Digest } from '../core/index.ts';
import type { PieceSource } from '../swarm/index.ts';
import type { LocatedBlob, OriginBlobs } from './origin-blobs.ts';

/**
 * Pieces of a blob that is not on this disk yet: range reads where it is, until it has been brought here. Peers check each
 * piece against the metainfo, so that bytes which nobody has verified yet may go out.
 */
export class ColdPieceSource implements PieceSource {
  readonly #digest: Digest;
  readonly #blobs: OriginBlobs;
  readonly #castore: CaStore;
  readonly #closed: AbortController;
  #file: BlobFile | undefined;
  #elsewhere: LocatedBlob | undefined;

  constructor(deps: { readonly digest: Digest; readonly blobs: OriginBlobs; readonly castore: CaStore }) {
    this.#digest = deps.digest;
    this.#blobs = deps.blobs;
    this.#castore = deps.castore;
    this.#closed = new AbortController();
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const { signal } = this.#closed;
    signal.throwIfAborted();
    const file = await this.#findFile();
    if (file !== undefined) return file.read(offset, length);
    this.#elsewhere ??= await this.#blobs.locate(this.#digest, { signal });
    try {
      return await buffer(await this.#elsewhere.open({ offset, length }, { signal }));
    } catch (error) {
      this.#elsewhere = undefined; // It may have moved: looked for again by the next read.
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closed.abort(new BlobNotFoundError(`blob ${this.#digest} is seeded no longer`, { digest: this.#digest }));
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  async #findFile(): Promise<BlobFile | undefined> {
    if (this.#file !== undefined) return this.#file;
    let file: BlobFile;
    try {
      file = await this.#castore.blobs.openFile(this.#digest);
    } catch (error) {
      if (error instanceof BlobNotFoundError) return undefined;
      throw error;
    }
    // Two reads may have opened it at the same moment, and the source may have been closed meanwhile.
    if (this.#file !== undefined || this.#closed.signal.aborted) await file.close();
    else this.#file = file;
    this.#closed.signal.throwIfAborted();
    return this.#file;
  }
}
