import type { UploadStore, UploadWriter } from '../../castore/index.ts';
import type { FileWriter } from '../index.ts';

/** Writes the bytes of one upload. What order its calls may come in is checked by the driver's base. */
export class UploadFileWriter implements FileWriter {
  readonly #uploads: UploadStore;
  readonly #id: string;
  readonly #writer: UploadWriter;

  constructor(uploads: UploadStore, id: string, writer: UploadWriter) {
    this.#uploads = uploads;
    this.#id = id;
    this.#writer = writer;
  }

  get size(): number {
    return this.#writer.sizeBytes;
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#writer.write(bytes);
  }

  close(): Promise<void> {
    return this.#writer.close();
  }

  async cancel(): Promise<void> {
    await this.#uploads.cancel(this.#id);
  }

  /** The bytes are complete and synced; they become a blob by the move that follows, and only then can others see them. */
  commit(): Promise<void> {
    return this.#writer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
