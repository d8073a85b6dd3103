import type { LentBytes } from './ca-store.ts';
import type { MemoryBlock } from './memory-blocks.ts';

/** Lends a part of a block. Takes over one reference of the caller's, which ends with the loan. */
export function lendBlock(block: MemoryBlock, offset: number, length: number): LentBytes {
  return new Loan(block.buffer.subarray(offset, offset + length), block);
}

/** Lends bytes that nobody else has. */
export function lendOwn(bytes: Buffer): LentBytes {
  return new Loan(bytes, undefined);
}

class Loan implements LentBytes {
  readonly bytes: Buffer;
  #block: MemoryBlock | undefined;
  #released = false;

  constructor(bytes: Buffer, block: MemoryBlock | undefined) {
    this.bytes = bytes;
    this.#block = block;
  }

  release(): void {
    if (this.#released) throw new Error('lent bytes were released twice');
    this.#released = true;
    this.#block?.release();
    this.#block = undefined;
  }
}
