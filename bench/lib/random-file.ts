import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, type Metainfo, parseDigest, pieceLengthFor } from '../../src/core/index.ts';
import { generateMetainfo } from '../../src/swarm/index.ts';

/** A blob of random bytes on disk. */
export interface RandomBlob {
  /** Named by the blob's hex digest, as its metainfo has it, in {@link directory}. */
  readonly file: string;
  readonly directory: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly metainfo: Metainfo;
}

const CHUNK_BYTES = 1024 * 1024;

/** Writes a new one into a folder that exists. Its metainfo has the stored piece length of the table, or the one asked for. */
export async function makeRandomBlob(
  directory: string,
  sizeBytes: number,
  pieceLength: number = pieceLengthFor(sizeBytes),
): Promise<RandomBlob> {
  const unnamed = join(directory, 'blob');
  const hash = createHash('sha256');
  const handle = await open(unnamed, 'w');
  try {
    for (let at = 0; at < sizeBytes; at += CHUNK_BYTES) {
      const chunk = randomBytes(Math.min(CHUNK_BYTES, sizeBytes - at));
      hash.update(chunk);
      await handle.writeFile(chunk);
    }
  } finally {
    await handle.close();
  }
  const hex = hash.digest('hex');
  const file = join(directory, hex);
  await rename(unnamed, file);
  const digest = parseDigest(`sha256:${hex}`);
  const metainfo = await generateMetainfo(digest, sizeBytes, createReadStream(file), pieceLength);
  return { file, directory, digest, sizeBytes, metainfo };
}
