import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import {
  AppError,
  algorithmOf,
  type ByteRange,
  type Digest,
  DigestHasher,
  DigestMismatchError,
  UnavailableError,
} from '../core/index.ts';
import type { OriginCluster } from '../origin/client.ts';
import { pulledStream } from './pulled-stream.ts';

/** Who reads from the origins. */
export interface OriginStreamDeps {
  readonly origins: Pick<OriginCluster, 'open'>;
  readonly logger: Logger;
  /** Told of bytes as they are handed to the reader. */
  readonly onBytes?: (bytes: number) => void;
}

/** What is read from the origins. */
export interface OriginRead {
  readonly digest: Digest;
  /** Of the whole blob. */
  readonly sizeBytes: number;
  /** Lies inside of the blob. Without it the whole blob is read, and its digest checked. */
  readonly range: ByteRange | undefined;
  readonly maxResumes: number;
}

const FIRST_RESUME_DELAY_MS = 50;
const MAX_RESUME_DELAY_MS = 2_000;

/**
 * Bytes of a blob from its origins over HTTP. When one breaks off in mid-body, the read goes on where it stopped, from
 * whichever origin answers. The stream ends only when exactly the bytes asked for have come; the last chunk of a whole
 * blob is held back until the digest has matched. Errors destroy it.
 *
 * Resolves when the first origin has answered. The caller ends or destroys the stream.
 * @throws BlobNotFoundError, UnavailableError
 */
export async function openFromOrigins(
  deps: OriginStreamDeps,
  read: OriginRead,
  signal?: AbortSignal,
): Promise<Readable> {
  const body = await openBody(deps, read.digest, read.range, signal);
  return pulledStream((ended) => {
    // Also when the stream is destroyed before anybody has read from it.
    ended.addEventListener('abort', () => body.destroy(), { once: true });
    const bytes = resuming(deps, read, body, ended);
    return read.range === undefined ? heldBackUntilVerified(bytes, read.digest) : bytes;
  }, signal);
}

async function openBody(
  { origins }: OriginStreamDeps,
  digest: Digest,
  range: ByteRange | undefined,
  signal: AbortSignal | undefined,
): Promise<Readable> {
  const body = await origins.open(digest, range, signal);
  // Its reader gets errors by iteration; destroyed before or after that, an error has nobody left to tell.
  body.on('error', () => {});
  return body;
}

async function* resuming(
  deps: OriginStreamDeps,
  read: OriginRead,
  first: Readable,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const { digest, maxResumes } = read;
  let offset = read.range?.offset ?? 0;
  const end = offset + (read.range?.length ?? read.sizeBytes);
  let body = first;
  for (let resumes = 0; ; resumes++) {
    let failure: unknown = new UnavailableError(`an origin ended ${digest} at byte ${offset}, expected ${end}`);
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        offset += chunk.length;
        if (offset > end) throw new TooManyBytesError(digest, end);
        deps.onBytes?.(chunk.length);
        yield chunk;
      }
    } catch (error) {
      failure = error;
    }
    if (offset === end) return;
    if (signal.aborted || failure instanceof TooManyBytesError) throw failure;
    deps.logger.warn({ digest, offset, end, err: failure }, 'an origin broke off in mid-body');
    if (resumes >= maxResumes) {
      const message = `the origins broke off ${digest} ${resumes + 1} times, at byte ${offset} of ${end} at last; try again`;
      throw new UnavailableError(message, { digest, offset }, { cause: failure });
    }
    await delay(Math.min(MAX_RESUME_DELAY_MS, FIRST_RESUME_DELAY_MS * 2 ** resumes), undefined, { signal });
    body = await openBody(deps, digest, { offset, length: end - offset }, signal);
  }
}

/** An origin sent more than it was asked for: its bytes cannot be trusted to be the ones that were meant. */
class TooManyBytesError extends AppError {
  readonly code = 'TOO_MANY_BYTES';
  constructor(digest: Digest, end: number) {
    super(`an origin sent bytes of ${digest} behind byte ${end}, where it was to end`, { digest, end });
  }
}

async function* heldBackUntilVerified(source: AsyncIterable<Buffer>, digest: Digest): AsyncGenerator<Buffer> {
  const hasher = new DigestHasher(algorithmOf(digest));
  let held: Buffer | undefined;
  for await (const chunk of source) {
    hasher.update(chunk);
    if (held !== undefined) yield held;
    held = chunk;
  }
  const got = hasher.digest();
  if (got !== digest) {
    throw new DigestMismatchError(`the origins' bytes of ${digest} are ${got}`, { expected: digest, got });
  }
  if (held !== undefined) yield held;
}
