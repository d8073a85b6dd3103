import { type ByteRange, copyBytes, lengthOfPiece, pieceCount } from '../core/index.ts';
import type { SwarmPartial } from './store.ts';

/** Bytes of verified pieces. @throws InvalidRangeError when some are not verified */
export async function readVerified(partial: SwarmPartial, offset: number, length: number): Promise<Buffer> {
  const { pieceLength } = partial.metainfo;
  const bytes = Buffer.allocUnsafe(length);
  for (let at = 0; at < length; ) {
    const piece = Math.floor((offset + at) / pieceLength);
    const inPiece = offset + at - piece * pieceLength;
    const lent = await partial.lend(piece, inPiece, Math.min(pieceLength - inPiece, length - at));
    copyBytes(lent.bytes, bytes, at);
    at += lent.bytes.length;
    lent.release();
  }
  return bytes;
}

/** Where the verified bytes end that begin at the range's start without a gap. */
export function verifiedEndOf(partial: SwarmPartial, range: ByteRange): number {
  const { pieceLength } = partial.metainfo;
  const end = range.offset + range.length;
  let at = range.offset;
  while (at < end && partial.has(Math.floor(at / pieceLength))) at = (Math.floor(at / pieceLength) + 1) * pieceLength;
  return Math.min(at, end);
}

/** How many bytes are verified. */
export function verifiedBytesOf(partial: SwarmPartial): number {
  const { length, pieceLength } = partial.metainfo;
  const last = pieceCount(length, pieceLength) - 1;
  const shortBy = last >= 0 && partial.has(last) ? pieceLength - lengthOfPiece(last, length, pieceLength) : 0;
  return partial.verifiedPieces * pieceLength - shortBy;
}
