import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { StorageInternalError } from '../errors.ts';
import { driverName, toDriverError } from './errno.ts';

// Large enough that a blob costs few calls, small enough that hundreds of readers fit in memory.
const chunkBytes = 256 * 1024;

/**
 * Streams bytes of an open file, and closes it at the end, on an error and on `destroy`. A file that gets shorter while
 * it is read ends in an error, never in a shorter stream.
 */
export class FileStream extends Readable {
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #end: number;
  #position: number;

  /** Bytes from `start` up to and without `end`, which lies within the file. */
  constructor(options: {
    readonly handle: FileHandle;
    readonly path: string;
    readonly start: number;
    readonly end: number;
  }) {
    super({ highWaterMark: chunkBytes });
    this.#handle = options.handle;
    this.#path = options.path;
    this.#position = options.start;
    this.#end = options.end;
  }

  override _read(): void {
    const wanted = Math.min(chunkBytes, this.#end - this.#position);
    if (wanted <= 0) {
      this.push(null);
      return;
    }
    this.#handle.read(Buffer.allocUnsafe(wanted), 0, wanted, this.#position).then(
      ({ buffer, bytesRead }) => {
        if (bytesRead === 0) {
          const reason = `the file ends at byte ${this.#position}, expected ${this.#end}: it was cut while it was read`;
          this.destroy(new StorageInternalError(driverName, this.#path, reason));
          return;
        }
        this.#position += bytesRead;
        this.push(buffer.subarray(0, bytesRead));
      },
      (error: unknown) => this.destroy(this.#wrap(error)),
    );
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#handle.close().then(
      () => callback(error),
      (closeError: unknown) => callback(error ?? this.#wrap(closeError)),
    );
  }

  #wrap(error: unknown): Error {
    const known = toDriverError(error, this.#path, 'read');
    if (known !== error && known instanceof Error) return known;
    return new StorageInternalError(driverName, this.#path, `reading failed (${error})`, { cause: error });
  }
}
