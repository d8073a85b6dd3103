import type { BlobFile } from '../castore/index.ts';
import type { ByteRange, LendingStream, LentBytes } from '../core/index.ts';
import { lendingStream } from './pulled-stream.ts';

/** What is lent at once of a file: the store keeps it in memory in parts of this length, or of one piece if that is shorter. */
const PART_BYTES = 256 * 1024;
/** Parts are handed on in runs up to this length: each run costs a wake-up. */
const RUN_BYTES = 512 * 1024;

/**
 * A blob of the store as a stream, which owns the file from now on.
 *
 * @param range lies inside of the blob
 */
export function fileStream(file: BlobFile, range: ByteRange, signal?: AbortSignal): LendingStream {
  return lendingStream((ended) => {
    // Also when the stream is destroyed before anybody has read from it. A file that cannot be closed harms nobody here.
    ended.addEventListener('abort', () => void file.close().catch(() => {}), { once: true });
    return runsOf(file, range);
  }, signal);
}

async function* runsOf(file: BlobFile, { offset, length }: ByteRange): AsyncGenerator<readonly LentBytes[]> {
  const end = offset + length;
  for (let at = offset; at < end; ) {
    const runEnd = Math.min(end, (Math.floor(at / RUN_BYTES) + 1) * RUN_BYTES);
    const run = await lendFile(file, { offset: at, length: runEnd - at });
    at = runEnd;
    yield run;
  }
}

/** Bytes of a file, in parts. */
export function lendFile(file: BlobFile, range: ByteRange): Promise<readonly LentBytes[]> {
  return lendParts(range, PART_BYTES, (offset, length) => file.lend(offset, length));
}

/** Borrows a range in parts that end at multiples of `partBytes`. When one cannot be had, those before it go back. */
export async function lendParts(
  { offset, length }: ByteRange,
  partBytes: number,
  lend: (offset: number, length: number) => LentBytes | Promise<LentBytes>,
): Promise<readonly LentBytes[]> {
  const parts: LentBytes[] = [];
  const end = offset + length;
  try {
    for (let at = offset; at < end; ) {
      const partEnd = Math.min(end, (Math.floor(at / partBytes) + 1) * partBytes);
      const lent = lend(at, partEnd - at);
      parts.push(lent instanceof Promise ? await lent : lent);
      at = partEnd;
    }
    return parts;
  } catch (error) {
    for (const lent of parts) lent.release();
    throw error;
  }
}
