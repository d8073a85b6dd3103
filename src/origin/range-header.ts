import { type ByteRange, InvalidRangeError } from '../core/index.ts';

const singleRange = /^bytes=(\d*)-(\d*)$/;

/**
 * Reads a `Range` header (RFC 9110, section 14.2) against the length of what it is asked of.
 *
 * @returns `undefined` for the whole: no header, another unit, several ranges, or none that can be read
 * @throws InvalidRangeError when the range begins at or past the end
 */
export function parseRangeHeader(header: string | undefined, sizeBytes: number): ByteRange | undefined {
  const [, first, last] = singleRange.exec(header ?? '') ?? [];
  if (first === undefined || last === undefined || (first === '' && last === '')) return undefined;
  if (first === '') return suffixRange(Number(last), sizeBytes, header);
  const offset = Number(first);
  const end = last === '' ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1);
  if (last !== '' && Number(last) < offset) return undefined;
  if (offset >= sizeBytes) throw unsatisfiable(header, sizeBytes);
  return { offset, length: end - offset + 1 };
}

function suffixRange(length: number, sizeBytes: number, header: string | undefined): ByteRange {
  if (length === 0 || sizeBytes === 0) throw unsatisfiable(header, sizeBytes);
  const offset = Math.max(0, sizeBytes - length);
  return { offset, length: sizeBytes - offset };
}

function unsatisfiable(header: string | undefined, sizeBytes: number): InvalidRangeError {
  return new InvalidRangeError(`range "${header}" lies outside of a blob of ${sizeBytes} bytes`, {
    range: header,
    sizeBytes,
  });
}
