/** A run of bytes: `length` of them from `offset` on. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** The pieces that a range touches, first and last; an empty range touches none (`last < first`). */
export function piecesOfRange(
  range: ByteRange,
  pieceLength: number,
): { readonly first: number; readonly last: number } {
  const first = Math.floor(range.offset / pieceLength);
  if (range.length === 0) return { first, last: first - 1 };
  return { first, last: Math.floor((range.offset + range.length - 1) / pieceLength) };
}
