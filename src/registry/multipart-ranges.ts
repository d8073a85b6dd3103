import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { type ByteRange, mediaTypes } from '../core/index.ts';

/** Several parts of one blob in one answer (`multipart/byteranges`, RFC 9110, section 14.6). */
export interface MultipartRanges {
  readonly contentType: string;
  /** Of the whole body, what stands between the parts included. */
  readonly lengthBytes: number;
  /**
   * The body. The first part is opened at once, so that a storage that does not answer is told in the head; each other when
   * the one before has been sent, so that one is open at a time. It fails when a part does; destroying it destroys the
   * part that is open. @throws what opening the first part throws
   */
  body(open: (range: ByteRange) => Promise<Readable>): Promise<Readable>;
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
  async function* parts(first: Readable, open: (range: ByteRange) => Promise<Readable>): AsyncGenerator<Buffer> {
    for (const [index, range] of ranges.entries()) {
      yield heads[index]!;
      yield* (index === 0 ? first : await open(range)) as AsyncIterable<Buffer>;
    }
    yield end;
  }
  return {
    contentType: `multipart/byteranges; boundary=${boundary}`,
    lengthBytes,
    async body(open) {
      const first = await open(ranges[0]!);
      const body = Readable.from(parts(first, open), { objectMode: false });
      // A body that nobody has begun to read does not run the code above to its end.
      return body.once('close', () => first.destroy());
    },
  };
}
