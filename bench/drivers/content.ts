import { createHash, randomBytes } from 'node:crypto';

/** Written again and again: an object of any size costs no more memory than this. */
const block = randomBytes(2 ** 20);

/** The bytes of every object of this size, in parts of 256 KiB at most; parts of one call share memory. */
export function* partsOf(sizeBytes: number): Iterable<Buffer> {
  const partBytes = 256 * 1024;
  for (let offset = 0; offset < sizeBytes; offset += partBytes) {
    const at = offset % block.length;
    yield block.subarray(at, Math.min(at + partBytes, at + sizeBytes - offset));
  }
}

/** All bytes of an object that fits into memory. */
export function wholeOf(sizeBytes: number): Buffer {
  return Buffer.concat([...partsOf(sizeBytes)]);
}

/** SHA-256 of an object of this size, in hexadecimal. */
export function digestOfSize(sizeBytes: number): string {
  const hash = createHash('sha256');
  for (const part of partsOf(sizeBytes)) hash.update(part);
  return hash.digest('hex');
}
