import { createHash } from 'node:crypto';
import {
  type Digest,
  encodeMetainfo,
  hashBytes,
  lengthOfPiece,
  type Metainfo,
  pieceCount,
  pieceLengthFor,
} from '../../src/core/index.ts';
import { encodeMetainfoAnswer } from '../../src/tracker/protocol.ts';

/** A blob with all that the tracker may hear about it. */
export interface TestBlob {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly metainfo: Metainfo;
  /** As an origin answers it. */
  readonly answer: Buffer;
}

/** A blob of seeded bytes; a small one comes along in its answer. */
export function makeBlob(seed: string, lengthBytes: number, algorithm: 'sha256' | 'sha512' = 'sha256'): TestBlob {
  const bytes = createHash('shake256', { outputLength: Math.max(1, lengthBytes) })
    .update(seed)
    .digest();
  return describeBlob(bytes.subarray(0, lengthBytes), algorithm);
}

function describeBlob(bytes: Buffer, algorithm: 'sha256' | 'sha512'): TestBlob {
  const digest = hashBytes(bytes, algorithm);
  const { length } = bytes;
  const pieceLength = pieceLengthFor(length);
  const pieces = Array.from({ length: pieceCount(length, pieceLength) }, (_, index) => {
    return bytes.subarray(index * pieceLength).subarray(0, lengthOfPiece(index, length, pieceLength));
  });
  const hashes = (name: string) => Buffer.concat(pieces.map((piece) => createHash(name).update(piece).digest()));
  const metainfo: Metainfo = { digest, length, pieceLength, sha1: hashes('sha1'), sha256: hashes('sha256') };
  const blob = length <= 65_536 ? bytes : undefined;
  return { bytes, digest, metainfo, answer: encodeMetainfoAnswer({ metainfo: encodeMetainfo(metainfo), blob }) };
}
