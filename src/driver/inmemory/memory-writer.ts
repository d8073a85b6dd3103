import type { FileWriter } from '../storage-driver.ts';
import { lengthOf, type MemoryStore } from './memory-store.ts';

/** Collects the bytes of one object; only `commit` shows them. The calls come in order, `OrderedWriter` sees to that. */
export class MemoryWriter implements FileWriter {
  readonly #store: MemoryStore;
  readonly #path: string;
  readonly #onClose: () => void;
  #chunks: Buffer[] | undefined;
  #size: number;

  /** `chunks` are the bytes to go on with; the store has counted them. */
  constructor(options: {
    readonly store: MemoryStore;
    readonly path: string;
    readonly chunks: Buffer[];
    readonly onClose: () => void;
  }) {
    this.#store = options.store;
    this.#path = options.path;
    this.#chunks = options.chunks;
    this.#size = lengthOf(options.chunks);
    this.#onClose = options.onClose;
  }

  get size(): number {
    return this.#size;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#store.reserve(this.#path, bytes.length);
    this.#chunks?.push(Buffer.from(bytes));
    this.#size += bytes.length;
  }

  async commit(): Promise<void> {
    const chunks = this.#chunks ?? [];
    this.#store.release(this.#size);
    try {
      this.#store.put(this.#path, Buffer.concat(chunks));
      this.#chunks = undefined;
    } catch (error) {
      // Not shown, so still unfinished bytes, and still counted.
      this.#store.reserve(this.#path, this.#size);
      throw error;
    }
  }

  async cancel(): Promise<void> {
    this.#store.release(this.#size);
    this.#size = 0;
    this.#chunks = undefined;
  }

  async close(): Promise<void> {
    if (this.#chunks !== undefined) this.#store.keepUnfinished(this.#path, this.#chunks);
    this.#chunks = undefined;
    this.#onClose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
