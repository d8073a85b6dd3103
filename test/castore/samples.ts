import { createHash } from 'node:crypto';
import { type Digest, hashBytes, type Metainfo, pieceCount } from '../../src/core/index.ts';

/** The piece length of samples, the least there is, unless another is given. */
export const PIECE = 64 * 1024;

/** The same bytes for the same seed, different ones for another, and hard to compress. */
export function bytesOf(length: number, seed = 'seed'): Buffer {
  return length === 0 ? Buffer.alloc(0) : createHash('shake256', { outputLength: length }).update(seed).digest();
}

export interface Sample {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly metainfo: Metainfo;
}

/** Bytes with their digest and metainfo. */
export function sampleOf(
  length: number,
  seed = 'seed',
  algorithm: 'sha256' | 'sha512' = 'sha256',
  pieceLength = PIECE,
): Sample {
  const bytes = bytesOf(length, seed);
  const digest = hashBytes(bytes, algorithm);
  const pieces = Array.from({ length: pieceCount(length, pieceLength) }, (_, index) =>
    pieceOf(bytes, index, pieceLength),
  );
  const hashAll = (name: string) => Buffer.concat(pieces.map((piece) => createHash(name).update(piece).digest()));
  const metainfo = { digest, length, pieceLength, sha1: hashAll('sha1'), sha256: hashAll('sha256') };
  return { bytes, digest, metainfo };
}

export function pieceOf(bytes: Buffer, index: number, pieceLength = PIECE): Buffer {
  return bytes.subarray(index * pieceLength, (index + 1) * pieceLength);
}
