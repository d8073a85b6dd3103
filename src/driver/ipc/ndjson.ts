import { MAX_LINE_BYTES } from './protocol.ts';

/** A line is longer than any of the protocol. */
export class LineTooLongError extends Error {}

/** The lines of a stream, without their ends; a last one without an end counts. @throws LineTooLongError */
export async function* readLines(bytes: AsyncIterable<Buffer>): AsyncIterable<string> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of bytes) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let start = 0;
    for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10, start)) {
      yield rest.toString('utf8', start, end);
      start = end + 1;
    }
    rest = rest.subarray(start);
    if (rest.length > MAX_LINE_BYTES) throw new LineTooLongError(`a line of more than ${MAX_LINE_BYTES} bytes`);
  }
  if (rest.length > 0) yield rest.toString('utf8');
}
