import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { type ByteRange, mediaTypes } from '../core/index.ts';

/** Several parts of one blob in one answer (`multipart/byteranges`, RFC 9110, section 14.6). */
export interface MultipartRanges {
  readonly contentType: string;
  /** Of the whole body, what stands between the parts included. */
  readonly lengthBytes: number;
  /**
   * The body: each part is opened when the one before has been sent, so that one is open at a time. It fails when a part
   * does; destroying it destroys the part that is open.
   */
  body(open: (range: ByteRange) => Promise<Readable>): Readable;
}

/** Lays out parts of a blob, in the order in which they were asked for; none of them is empty. */
export function multipartRanges(ranges: readonly ByteRange[], sizeBytes: number): MultipartRanges {
  // Random and long: no blob holds it but by an accident that will not happen.
  const boundary = randomBytes(24).toString('hex');
  const heads = ranges.map(({ offset, length }, index) => {
    const before = index === 0 ? '' : '\r\n';
    const range = `bytes ${offset}-${offset + length - 1}/${sizeBytes}`;
    return Buffer.from(
      `${before}--${boundary}\r\nContent-Type: ${mediaTypes.octetStream}\r\nContent-Range: ${range}\r\n\r\n`,
    );
  });
  const end = Buffer.from(`\r\n--${boundary}--\r\n`);
  const lengthBytes = ranges.reduce((sum, { length }, index) => sum + heads[index]!.length + length, end.length);
  async function* parts(open: (range: ByteRange) => Promise<Readable>): AsyncGenerator<Buffer> {
    for (const [index, range] of ranges.entries()) {
      yield heads[index]!;
      yield* (await open(range)) as AsyncIterable<Buffer>;
    }
    yield end;
  }
  return {
    contentType: `multipart/byteranges; boundary=${boundary}`,
    lengthBytes,
    body: (open) => Readable.from(parts(open), { objectMode: false }),
  };
}
