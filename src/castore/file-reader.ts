import { Readable } from 'node:stream';
import { type ByteRange, InvalidRangeError, UnavailableError } from '../core/index.ts';
import type { BlockCache, CachedFile } from './block-cache.ts';
import type { BlobFile, LentBytes } from './ca-store.ts';
import { StoreDamagedError } from './errors.ts';
import { ExtentReader } from './extent-reader.ts';
import type { OpenFile } from './files.ts';

/** Bytes that a stream reads at once. Measured over HTTP on one host: 1.1 CPU s/GiB with 256 KiB, 0.7 to 0.9 with 512 KiB or 1 MiB. */
const CHUNK_BYTES = 512 * 1024;

/** What is read, for messages, and the set that a reader leaves once it is closed. */
export interface ReaderDeps {
  readonly file: OpenFile;
  /** Such as `blob sha256:…`. */
  readonly what: string;
  readonly sizeBytes: number;
  readonly openThings: Set<{ close(): Promise<void> }>;
}

/** @throws InvalidRangeError when a range does not lie inside of `sizeBytes` */
export function checkRange(range: ByteRange, sizeBytes: number, what: string): void {
  const { offset, length } = range;
  const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (whole && offset + length <= sizeBytes) return;
  throw new InvalidRangeError(`${what} has ${sizeBytes} bytes, cannot read ${length} from offset ${offset}`, {
    offset,
    length,
    sizeBytes,
  });
}

/** A run of bytes of a file as a stream, which owns the file. A file that has become too short ends it with an error. */
export class FileStream extends Readable {
  readonly #deps: ReaderDeps;
  readonly #end: number;
  readonly #closer: { close(): Promise<void> };
  #position: number;

  /** The range has been checked. */
  constructor(deps: ReaderDeps, range: ByteRange) {
    super({ highWaterMark: CHUNK_BYTES });
    this.#deps = deps;
    this.#position = range.offset;
    this.#end = range.offset + range.length;
    this.#closer = { close: () => this.#closeWithStore() };
    deps.openThings.add(this.#closer);
  }

  override _read(): void {
    const wanted = Math.min(CHUNK_BYTES, this.#end - this.#position);
    if (wanted === 0) {
      this.push(null);
      return;
    }
    const buffer = Buffer.allocUnsafeSlow(wanted);
    this.#deps.file.read(buffer, this.#position).then(
      (count) => this.#take(buffer.subarray(0, count)),
      (error: Error) => this.destroy(error),
    );
  }

  #take(bytes: Buffer): void {
    if (bytes.length === 0) {
      this.destroy(damaged(this.#deps, this.#position));
      return;
    }
    this.#position += bytes.length;
    this.push(bytes);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#deps.openThings.delete(this.#closer);
    this.#deps.file.close().then(
      () => done(error),
      (closeError: Error) => done(error ?? closeError),
    );
  }

  async #closeWithStore(): Promise<void> {
    // A stream that nobody listens to must not bring the process down with an unhandled error.
    const closing = new UnavailableError(`the store is closing, ${this.#deps.what} was not read to its end`);
    this.destroy(this.listenerCount('error') > 0 ? closing : undefined);
  }
}

/** A blob, open for many small reads. */
export class OpenBlobFile implements BlobFile {
  readonly sizeBytes: number;
  readonly #deps: ReaderDeps;
  readonly #reader: ExtentReader;

  constructor(deps: ReaderDeps, memory: { cache: BlockCache; cached: CachedFile }) {
    const { file, sizeBytes } = deps;
    this.sizeBytes = sizeBytes;
    this.#deps = deps;
    const cutShort = (position: number) => damaged(deps, position);
    this.#reader = new ExtentReader({ file, sizeBytes, ...memory, isThere: () => true, cutShort });
    deps.openThings.add(this);
  }

  async read(offset: number, length: number): Promise<Buffer> {
    checkRange({ offset, length }, this.sizeBytes, this.#deps.what);
    return this.#reader.read(offset, length);
  }

  lend(offset: number, length: number): LentBytes | Promise<LentBytes> {
    checkRange({ offset, length }, this.sizeBytes, this.#deps.what);
    return this.#reader.lend(offset, length);
  }

  /** May be called again. */
  async close(): Promise<void> {
    if (this.#deps.openThings.delete(this)) await this.#deps.file.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function damaged(deps: ReaderDeps, offset: number): StoreDamagedError {
  return new StoreDamagedError(
    `${deps.what} ends at byte ${offset} on disk, expected ${deps.sizeBytes}: the file was changed from outside, or the disk fails`,
    { offset, sizeBytes: deps.sizeBytes },
  );
}
