import type { ByteRange } from '../core/index.ts';

/** What a `Range` header asks of an object: all of it, a part, several parts, or something that is not there. */
export type RequestedRange =
  | { readonly kind: 'whole' }
  | { readonly kind: 'part'; readonly range: ByteRange }
  | { readonly kind: 'parts'; readonly ranges: readonly ByteRange[] }
  | { readonly kind: 'unsatisfiable' };

const rangeSet = /^\s*bytes\s*=\s*(.+)$/is;
const rangeSpec = /^\s*(\d*)\s*-\s*(\d*)\s*$/;

/** More ranges than this are ignored: each costs a read. Clients that fetch parts of layers send some hundred at most. */
const MAX_RANGES = 1_024;

/**
 * Reads a `Range` header (RFC 9110, section 14) for an object of `sizeBytes`.
 *
 * Ranges of bytes are understood: `a-b` (cut at the end), `a-`, and `-n` (the last n), one or several; of several, those
 * that lie outside are left out. Other units, what cannot be read, and ranges that are more than the object together
 * (the RFC warns of such requests) are ignored. An inverted range (`500-0`) alone is `unsatisfiable`: the RFC would have
 * it ignored, but the OCI conformance suite asks for 416. A range of an empty object is ignored: there are clients that
 * send `bytes=0-` with everything, and 416 would fail them for no gain.
 */
export function parseRange(header: string | undefined, sizeBytes: number): RequestedRange {
  const match = header === undefined ? null : rangeSet.exec(header);
  if (match === null || sizeBytes === 0) return { kind: 'whole' };
  const specs = match[1]!.split(',');
  if (specs.length > MAX_RANGES) return { kind: 'whole' };
  const ranges: ByteRange[] = [];
  for (const spec of specs) {
    const range = readSpec(spec, sizeBytes);
    if (range === undefined || (range === 'inverted' && specs.length > 1)) return { kind: 'whole' };
    if (range !== 'inverted' && range !== 'outside') ranges.push(range);
  }
  if (ranges.length === 0) return { kind: 'unsatisfiable' };
  if (ranges.length === 1) return { kind: 'part', range: ranges[0]! };
  const together = ranges.reduce((sum, { length }) => sum + length, 0);
  return together > sizeBytes ? { kind: 'whole' } : { kind: 'parts', ranges };
}

function readSpec(spec: string, sizeBytes: number): ByteRange | 'inverted' | 'outside' | undefined {
  const [, first = '', last = ''] = rangeSpec.exec(spec) ?? [];
  if (first === '' && last === '') return undefined;
  if (first !== '' && last !== '' && Number(last) < Number(first)) return 'inverted';
  const offset = first === '' ? Math.max(0, sizeBytes - Number(last)) : Number(first);
  const end = first === '' || last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
  return offset < end ? { offset, length: end - offset } : 'outside';
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
