import { pipeline, type Readable, Transform, type TransformCallback } from 'node:stream';
import { algorithmOf, type Digest, DigestHasher, type LentRuns } from '../core/index.ts';
import { BlobDamagedError } from './errors.ts';

/** What the bytes of an answer have to be. */
export interface ExpectedBody {
  readonly lengthBytes: number;
  /** Set when all bytes of the blob are sent and the driver does not verify them: they are hashed on their way. */
  readonly digest: Digest | undefined;
}

/**
 * Lets a blob's bytes through and fails at the end unless they are as many, and those, that were announced. The last chunk
 * waits for that verdict, so that the client of a wrong answer sees it break off instead of ending.
 */
class BlobBody extends Transform {
  readonly #expected: ExpectedBody;
  readonly #hasher: DigestHasher | undefined;
  #received = 0;
  #held: Buffer | undefined;

  constructor(expected: ExpectedBody) {
    super();
    this.#expected = expected;
    this.#hasher = expected.digest === undefined ? undefined : new DigestHasher(algorithmOf(expected.digest));
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#received += chunk.length;
    if (this.#received > this.#expected.lengthBytes) {
      done(damaged(this.#expected, `${this.#received} bytes or more`));
      return;
    }
    this.#hasher?.update(chunk);
    const ready = this.#held;
    this.#held = chunk;
    done(null, ready);
  }

  override _flush(done: TransformCallback): void {
    const { lengthBytes, digest } = this.#expected;
    if (this.#received !== lengthBytes) {
      done(damaged(this.#expected, `${this.#received} bytes`));
    } else if (this.#hasher !== undefined && this.#hasher.digest() !== digest) {
      done(damaged(this.#expected, `bytes with the digest ${this.#hasher.digest()}`));
    } else {
      done(null, this.#held);
    }
  }
}

/** A stream of exactly the expected bytes; it fails when `source` has others. Destroying it destroys `source`. */
export function checkedBody(source: Readable, expected: ExpectedBody): Readable {
  return pipeline(source, new BlobBody(expected), () => {
    // The error, if there is one, has destroyed the returned stream: whoever reads that deals with it.
  });
}

/**
 * Lets runs of a whole blob through and fails at their end when their bytes have another digest. Whoever sends them keeps the
 * run that completes the blob until then (`sendLent` does), so that a wrong answer breaks off.
 */
export async function* checkedRuns(runs: LentRuns, digest: Digest): LentRuns {
  const hasher = new DigestHasher(algorithmOf(digest));
  let lengthBytes = 0;
  for await (const run of runs) {
    for (const { bytes } of run) {
      hasher.update(bytes);
      lengthBytes += bytes.length;
    }
    yield run;
  }
  const got = hasher.digest();
  if (got !== digest) throw damaged({ lengthBytes, digest }, `bytes with the digest ${got}`);
}

function damaged(expected: ExpectedBody, got: string): BlobDamagedError {
  const what = expected.digest === undefined ? '' : ` of ${expected.digest}`;
  return new BlobDamagedError(
    `the storage gave ${got}, expected ${expected.lengthBytes} bytes${what}; the answer breaks off`,
  );
}
