import { createHash } from 'node:crypto';
import { type Digest, DigestMismatchError, type Metainfo, pieceLengthFor } from '../core/index.ts';

/**
 * Makes the metainfo of a blob in one pass over its bytes, in chunks of any size; holds no piece in memory.
 *
 * @param pieceLength the stored piece length if the blob has one already; else that of the table
 * @throws DigestMismatchError when the source does not have `length` bytes
 */
export async function generateMetainfo(
  digest: Digest,
  length: number,
  source: AsyncIterable<Uint8Array>,
  pieceLength: number = pieceLengthFor(length),
): Promise<Metainfo> {
  const sha1s: Buffer[] = [];
  const sha256s: Buffer[] = [];
  let sha1 = createHash('sha1');
  let sha256 = createHash('sha256');
  let inPiece = 0;
  let total = 0;
  const endPiece = () => {
    sha1s.push(sha1.digest());
    sha256s.push(sha256.digest());
    sha1 = createHash('sha1');
    sha256 = createHash('sha256');
    inPiece = 0;
  };
  for await (const chunk of source) {
    for (let offset = 0; offset < chunk.length; ) {
      const part = chunk.subarray(offset, offset + pieceLength - inPiece);
      sha1.update(part);
      sha256.update(part);
      inPiece += part.length;
      offset += part.length;
      if (inPiece === pieceLength) endPiece();
    }
    total += chunk.length;
  }
  if (inPiece > 0) endPiece();
  if (total !== length) {
    throw new DigestMismatchError(`blob ${digest} was to have ${length} bytes, ${total} came`, {
      digest,
      length,
      total,
    });
  }
  return { digest, length, pieceLength, sha1: Buffer.concat(sha1s), sha256: Buffer.concat(sha256s) };
}
