import { createHash, randomFillSync } from 'node:crypto';
import { type Digest, lengthOfPiece, type Metainfo, pieceCount, SHA1_BYTES } from '../../src/core/index.ts';
import type { PieceOrder } from './options.ts';

/** A blob that is not in memory: all pieces are alike but for their first eight bytes, so they can be made at any rate. */
export interface SampleBlob {
  readonly metainfo: Metainfo;
  readonly pieces: number;
  /** Fills a buffer of the piece's length. */
  fill(index: number, buffer: Buffer): void;
}

/** Makes a blob of random bytes, and hashes it. */
export function sampleBlob(length: number, pieceLength: number): SampleBlob {
  const pattern = randomFillSync(Buffer.alloc(pieceLength));
  const pieces = pieceCount(length, pieceLength);
  const fill = (index: number, buffer: Buffer) => {
    pattern.copy(buffer, 0, 0, buffer.length);
    if (buffer.length >= 8) buffer.writeDoubleLE(index, 0);
  };
  const hashes: Buffer[] = [];
  const whole = createHash('sha256');
  const buffer = Buffer.alloc(pieceLength);
  for (let index = 0; index < pieces; index += 1) {
    const piece = buffer.subarray(0, lengthOfPiece(index, length, pieceLength));
    fill(index, piece);
    hashes.push(createHash('sha256').update(piece).digest());
    whole.update(piece);
  }
  const digest = `sha256:${whole.digest('hex')}` as Digest;
  const sha1 = Buffer.alloc(pieces * SHA1_BYTES);
  return { metainfo: { digest, length, pieceLength, sha1, sha256: Buffer.concat(hashes) }, pieces, fill };
}

/** All pieces in an order. */
export function piecesIn(order: PieceOrder, pieces: number): number[] {
  const indexes = Array.from({ length: pieces }, (_, index) => index);
  if (order === 'index') return indexes;
  // Always the same order: a linear congruential generator (Numerical Recipes) and a shuffle (Fisher and Yates).
  let state = 1;
  for (let left = pieces; left > 1; left -= 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const other = state % left;
    [indexes[left - 1], indexes[other]] = [indexes[other] ?? 0, indexes[left - 1] ?? 0];
  }
  return indexes;
}
