import { LRUCache } from 'lru-cache';

/** Over all downloads of a store. A piece is wanted again right after it came: by a reader, by neighbours, by the digest. */
const RECENT_BYTES = 32 * 1024 * 1024;

/** The pieces of one open download that are still in memory. */
export interface RecentPiecesOfDownload {
  put(index: number, bytes: Uint8Array): void;
  /** Nobody may change the bytes. */
  find(index: number): Buffer | undefined;
}

/** Keeps the pieces that came last, verified and written, so that they need not be read back at once. */
export class RecentPieces {
  readonly #pieces = new LRUCache<string, Buffer>({
    maxSize: RECENT_BYTES,
    sizeCalculation: (bytes) => Math.max(1, bytes.length),
  });
  #opened = 0;

  /** A part of its own for each open download: the same digest may be opened again with other pieces. */
  open(): RecentPiecesOfDownload {
    const id = this.#opened++;
    return {
      put: (index, bytes) => {
        this.#pieces.set(`${id} ${index}`, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
      },
      find: (index) => this.#pieces.get(`${id} ${index}`),
    };
  }
}
