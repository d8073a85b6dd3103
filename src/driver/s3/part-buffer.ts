const firstBytes = 64 * 1024;
const mib = 1024 * 1024;

/** S3's limits for an object that is uploaded in parts (Amazon S3 User Guide, "multipart upload limits"). */
export const maxParts = 10_000;

/** How many parts have the same size before it grows. */
const partsOfOneSize = 1000;

/**
 * Bytes of a part by its number, from 1: `chunkBytes` for the first thousand, twice that for the next, and so on. So an
 * object can have 55 000 times `chunkBytes` (537 GiB with the default of 10 MiB, 268 GiB with the least), and a writer of
 * 100 GB needs parts of 40 MiB at its end.
 */
export function partBytes(partNumber: number, chunkBytes: number): number {
  return chunkBytes * (1 + Math.floor((partNumber - 1) / partsOfOneSize));
}

/** Bytes of a part when an object of a known size is copied in parts of one size. */
export function copyPartBytes(sizeBytes: number, chunkBytes: number): number {
  return Math.max(chunkBytes, Math.ceil(sizeBytes / maxParts / mib) * mib);
}

/** Collects the bytes of one part. Its memory grows with what is in it, so that a small object costs little. */
export class PartBuffer {
  #memory: Buffer;
  #length = 0;

  /** `expectedBytes`: how much room it has at first. */
  constructor(first: Uint8Array = Buffer.alloc(0), expectedBytes = firstBytes) {
    this.#memory = Buffer.allocUnsafeSlow(Math.max(expectedBytes, first.length));
    this.#memory.set(first);
    this.#length = first.length;
  }

  get length(): number {
    return this.#length;
  }

  /** What it has; good until the next `append` or `clear`. */
  get bytes(): Buffer {
    return this.#memory.subarray(0, this.#length);
  }

  /** Takes a copy of as many bytes as fit below a limit. @returns how many */
  append(bytes: Uint8Array, limitBytes: number): number {
    const taken = Math.min(bytes.length, Math.max(0, limitBytes - this.#length));
    const needed = this.#length + taken;
    if (needed > this.#memory.length) {
      const grown = Buffer.allocUnsafeSlow(Math.min(limitBytes, Math.max(needed, this.#memory.length * 2)));
      grown.set(this.bytes);
      this.#memory = grown;
    }
    this.#memory.set(bytes.subarray(0, taken), this.#length);
    this.#length = needed;
    return taken;
  }

  /** Empties it; its memory is used again. */
  clear(): void {
    this.#length = 0;
  }
}
