import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import {
  countShortLivedBytes,
  type LendingStream,
  type LentBytes,
  type LentRuns,
  lentRunsKey,
} from '../../core/index.ts';
import { StorageInternalError } from '../errors.ts';
import { driverName, toDriverError } from './errno.ts';

// Large enough that a blob costs few calls, small enough that hundreds of slow readers fit in memory: each has the parts
// of its answer that the kernel has not taken yet, two of them when they are lent, about six through ordinary streams.
const chunkBytes = 256 * 1024;

/**
 * Streams bytes of an open file, and closes it at the end, on an error and on `destroy`. A file that gets shorter while
 * it is read ends in an error, never in a shorter stream. Who takes its runs gets each part in memory that is used again
 * as soon as it is given back, so that a reader has no more of it than it holds at a time.
 */
export class FileStream extends Readable implements LendingStream {
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
    this.#fill(Buffer.allocUnsafe(wanted)).then(
      (bytes) => {
        this.push(bytes);
        countShortLivedBytes(bytes.length);
      },
      (error: Error) => this.destroy(error),
    );
  }

  async *[lentRunsKey](): LentRuns {
    const parts = new LentParts(Math.min(chunkBytes, this.#end - this.#position));
    const read = async () => {
      const memory = parts.take();
      const bytes = await this.#fill(memory.subarray(0, this.#end - this.#position));
      return new Loan(bytes, () => parts.giveBack(memory));
    };
    let next: Promise<Loan> | undefined;
    try {
      while (next !== undefined || this.#position < this.#end) {
        const loan = await (next ?? read());
        // The next part is read while this one is sent, but only into memory that a slow reader has as well.
        next = this.#position < this.#end && parts.hasRoom ? read() : undefined;
        next?.catch(() => undefined); // Whoever asks for it gets the error, if anybody still does.
        yield [loan];
      }
    } finally {
      this.destroy();
    }
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#handle.close().then(
      () => callback(error),
      (closeError: unknown) => callback(error ?? this.#wrap(closeError)),
    );
  }

  /** The next bytes of the file, as many as the memory takes or the system gives at once. */
  async #fill(memory: Buffer): Promise<Buffer> {
    let bytesRead: number;
    try {
      ({ bytesRead } = await this.#handle.read(memory, 0, memory.length, this.#position));
    } catch (error) {
      // The handle is closed by `destroy`: its reason tells more.
      throw this.errored ?? this.#wrap(error);
    }
    if (bytesRead === 0) {
      const reason = `the file ends at byte ${this.#position}, expected ${this.#end}: it was cut while it was read`;
      throw new StorageInternalError(driverName, this.#path, reason);
    }
    this.#position += bytesRead;
    return memory.subarray(0, bytesRead);
  }

  #wrap(error: unknown): Error {
    const known = toDriverError(error, this.#path, 'read');
    if (known !== error && known instanceof Error) return known;
    return new StorageInternalError(driverName, this.#path, `reading failed (${error})`, { cause: error });
  }
}

/** Memory for the parts of one stream. The first part is the longest, so that its memory is enough for every other. */
class LentParts {
  readonly #bytes: number;
  readonly #free: Buffer[] = [];
  #made = 0;

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /** Whether one more part takes no more memory than two do: one that is sent, one that waits. */
  get hasRoom(): boolean {
    return this.#free.length > 0 || this.#made < 2;
  }

  take(): Buffer {
    const memory = this.#free.pop();
    if (memory !== undefined) return memory;
    this.#made += 1;
    return Buffer.allocUnsafeSlow(this.#bytes);
  }

  giveBack(memory: Buffer): void {
    this.#free.push(memory);
  }
}

class Loan implements LentBytes {
  readonly bytes: Buffer;
  #giveBack: (() => void) | undefined;

  constructor(bytes: Buffer, giveBack: () => void) {
    this.bytes = bytes;
    this.#giveBack = giveBack;
  }

  release(): void {
    if (this.#giveBack === undefined) throw new Error('lent bytes were released twice');
    this.#giveBack();
    this.#giveBack = undefined;
  }
}
