import type { ByteRange } from '../core/index.ts';

/** What a `Range` header asks of an object: all of it, a part, or something that is not there. */
export type RequestedRange =
  | { readonly kind: 'whole' }
  | { readonly kind: 'part'; readonly range: ByteRange }
  | { readonly kind: 'unsatisfiable' };

const singleRange = /^\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*$/i;

/**
 * Reads a `Range` header (RFC 9110, section 14) for an object of `sizeBytes`.
 *
 * One range of bytes is understood: `a-b` (cut at the end), `a-`, and `-n` (the last n). Other units, several ranges and
 * what cannot be read are ignored, as the RFC permits. An inverted range (`500-0`) is `unsatisfiable`: the RFC would have
 * it ignored, but the OCI conformance suite asks for 416. A range of an empty object is ignored: there are clients that
 * send `bytes=0-` with everything, and 416 would fail them for no gain.
 */
export function parseRange(header: string | undefined, sizeBytes: number): RequestedRange {
  const match = header === undefined ? null : singleRange.exec(header);
  if (match === null || sizeBytes === 0) return { kind: 'whole' };
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return { kind: 'whole' };
  if (first === '') return part(Math.max(0, sizeBytes - Number(last)), sizeBytes - 1, sizeBytes);
  return part(Number(first), last === '' ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1), sizeBytes);
}

function part(first: number, last: number, sizeBytes: number): RequestedRange {
  if (first >= sizeBytes || last < first) return { kind: 'unsatisfiable' };
  return { kind: 'part', range: { offset: first, length: last - first + 1 } };
}

const chunkRange = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d+|\*))?$/;

/**
 * Reads the `Content-Range` of an upload's chunk: `<first>-<last>` (OCI distribution specification, "Pushing a blob in
 * chunks"), or the form of RFC 9110 with unit and total. `undefined` when it is neither, or inverted.
 */
export function findChunkRange(header: string): ByteRange | undefined {
  const match = chunkRange.exec(header.trim());
  if (match === null) return undefined;
  const first = Number(match[1]);
  const length = Number(match[2]) - first + 1;
  return length < 1 ? undefined : { offset: first, length };
}

/** The `Range` header that tells how far an upload is. An upload without bytes says `0-0`, as distribution does. */
export function formatUploadRange(sizeBytes: number): string {
  return `0-${Math.max(0, sizeBytes - 1)}`;
}
