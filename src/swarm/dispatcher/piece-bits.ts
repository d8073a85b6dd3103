/**
 * Sets of pieces as bits in 32-bit words, lowest index in the highest bit, as in a BEP 3 bitfield: `Math.clz32` finds the
 * first member of a word.
 */
export type PieceBits = Uint32Array;

/** An empty set with room for so many pieces. */
export function makeBits(pieces: number): PieceBits {
  return new Uint32Array((pieces + 31) >>> 5);
}

/** Makes the set whole; bits past the last piece stay zero. */
export function fillBits(bits: PieceBits, pieces: number): void {
  bits.fill(0xffffffff);
  if ((pieces & 31) !== 0) bits[pieces >>> 5] = ~(0xffffffff >>> (pieces & 31));
}

export function hasBit(bits: PieceBits, piece: number): boolean {
  return (bits[piece >>> 5]! & (0x80000000 >>> (piece & 31))) !== 0;
}

export function setBit(bits: PieceBits, piece: number): void {
  bits[piece >>> 5]! |= 0x80000000 >>> (piece & 31);
}

export function clearBit(bits: PieceBits, piece: number): void {
  bits[piece >>> 5]! &= ~(0x80000000 >>> (piece & 31));
}

/** One word of a BEP 3 bitfield, which may be too short; bits past the last piece are not cleared. */
export function wordOfBitfield(bitfield: Uint8Array, word: number): number {
  const at = word * 4;
  const high = ((bitfield[at] ?? 0) << 24) | ((bitfield[at + 1] ?? 0) << 16);
  return high | ((bitfield[at + 2] ?? 0) << 8) | (bitfield[at + 3] ?? 0);
}

/** The members of the last word that are pieces. */
export function maskOfWord(word: number, pieces: number): number {
  const left = pieces - word * 32;
  if (left >= 32) return -1;
  return left <= 0 ? 0 : ~(0xffffffff >>> left);
}
