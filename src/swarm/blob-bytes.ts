import type { LentBytes } from '../castore/index.ts';
import type { PieceSource } from './swarm.ts';

/** Reads pieces of a whole blob; the source is opened when the first peer asks. */
export class BlobBytes {
  readonly #open: () => Promise<PieceSource>;
  #opening: Promise<PieceSource> | undefined;
  #source: PieceSource | undefined;
  #closed = false;

  /** `open` may be called again after it has failed. What it opens is closed by {@link close}. */
  constructor(open: () => Promise<PieceSource>) {
    this.#open = open;
  }

  /** Bytes to be released; at once when the source is open and has them in memory. */
  lend(offset: number, length: number): LentBytes | Promise<LentBytes> {
    const source = this.#source;
    return source === undefined ? this.#lendOnceOpen(offset, length) : lendFrom(source, offset, length);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#opening?.catch(() => undefined); // It never opened: nothing to close.
    const source = this.#source;
    this.#source = undefined;
    await source?.close();
  }

  async #lendOnceOpen(offset: number, length: number): Promise<LentBytes> {
    this.#opening ??= this.#openSource();
    return lendFrom(await this.#opening, offset, length);
  }

  async #openSource(): Promise<PieceSource> {
    try {
      if (this.#closed) throw new Error('the blob is not served any more');
      const source = await this.#open();
      this.#source = source;
      return source;
    } catch (error) {
      this.#opening = undefined; // The next request tries again.
      throw error;
    }
  }
}

function lendFrom(source: PieceSource, offset: number, length: number): LentBytes | Promise<LentBytes> {
  return source.lend === undefined ? readToLend(source, offset, length) : source.lend(offset, length);
}

/** For a source that only reads: the bytes are a copy, and nobody waits for them to come back. */
async function readToLend(source: PieceSource, offset: number, length: number): Promise<LentBytes> {
  return { bytes: await source.read(offset, length), release: () => {} };
}
