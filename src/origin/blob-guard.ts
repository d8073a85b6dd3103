import { pipeline, type Readable, Transform, type TransformCallback } from 'node:stream';
import { algorithmOf, type Digest, DigestHasher, DigestMismatchError } from '../core/index.ts';

/** What the bytes that pass have to be. */
export interface BlobGuardOptions {
  readonly digest: Digest;
  /** Bytes that have to come. */
  readonly sizeBytes: number;
  /** For a whole blob that nobody has verified yet: its last chunk is held back until the digest has matched. */
  readonly verify: boolean;
  /** Told of every chunk that is let through, in bytes. */
  readonly onBytes?: (bytes: number) => void;
}

/**
 * Passes the bytes of `source` on, and ends with an error rather than cleanly when they are not what was announced.
 * Destroying the result destroys the source.
 */
export function guardBlob(source: Readable, options: BlobGuardOptions): Readable {
  const guard = new BlobGuard(options);
  // The error reaches whoever reads the guard; the callback only keeps `pipeline` from throwing it.
  pipeline(source, guard, () => undefined);
  return guard;
}

class BlobGuard extends Transform {
  readonly #options: BlobGuardOptions;
  readonly #hasher: DigestHasher | undefined;
  #total = 0;
  #held: Buffer | undefined;

  constructor(options: BlobGuardOptions) {
    super();
    this.#options = options;
    this.#hasher = options.verify ? new DigestHasher(algorithmOf(options.digest)) : undefined;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#total += chunk.length;
    if (this.#total > this.#options.sizeBytes) {
      done(this.#lengthError());
      return;
    }
    if (this.#hasher === undefined) this.#pass(chunk);
    else {
      this.#hasher.update(chunk);
      if (this.#held !== undefined) this.#pass(this.#held);
      this.#held = chunk;
    }
    done();
  }

  override _flush(done: TransformCallback): void {
    const { digest, sizeBytes } = this.#options;
    if (this.#total !== sizeBytes) {
      done(this.#lengthError());
      return;
    }
    const found = this.#hasher?.digest();
    if (found !== undefined && found !== digest) {
      done(new DigestMismatchError(`blob ${digest} has bytes of ${found} where it was read`, { digest, found }));
      return;
    }
    if (this.#held !== undefined) this.#pass(this.#held);
    done();
  }

  #pass(chunk: Buffer): void {
    this.#options.onBytes?.(chunk.length);
    this.push(chunk);
  }

  #lengthError(): DigestMismatchError {
    const { digest, sizeBytes } = this.#options;
    return new DigestMismatchError(`${sizeBytes} bytes of blob ${digest} were asked for, ${this.#total} came`, {
      digest,
      expected: sizeBytes,
      got: this.#total,
    });
  }
}
