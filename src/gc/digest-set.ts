import { type Digest, hexOf } from '../core/index.ts';

const SLOTS_MIN = 64;
/** Above this share of used slots the table doubles: 11 to 22 bytes a digest. */
const LOAD_MAX = 0.7;

/**
 * A set of digests in a fraction of the memory that strings would take: of each, 64 bits are kept.
 *
 * So it may say that it has a digest which was never added (for ten million digests with a chance of 1 in 10^12 a
 * question). It is used where such a mistake keeps something that could have gone, and never the other way round.
 */
export class DigestSet {
  /** Pairs of numbers; a pair of zeros is a free slot. */
  #slots = new Uint32Array(2 * SLOTS_MIN);
  #size = 0;

  /** How many were added. */
  get size(): number {
    return this.#size;
  }

  /** Adds a digest. @returns whether it was new */
  add(digest: Digest): boolean {
    const [high, low] = keyOf(digest);
    return this.#add(high, low);
  }

  /** Adds all of {@link packDigests}. */
  addPacked(keys: Uint32Array): void {
    for (let index = 0; index < keys.length; index += 2) this.#add(keys[index] ?? 0, keys[index + 1] ?? 0);
  }

  has(digest: Digest): boolean {
    const [high, low] = keyOf(digest);
    const slot = this.#find(high, low);
    return this.#slots[slot] !== 0 || this.#slots[slot + 1] !== 0;
  }

  #add(high: number, low: number): boolean {
    const slot = this.#find(high, low);
    if (this.#slots[slot] !== 0 || this.#slots[slot + 1] !== 0) return false;
    this.#slots[slot] = high;
    this.#slots[slot + 1] = low;
    this.#size += 1;
    if (2 * this.#size > LOAD_MAX * this.#slots.length) this.#grow();
    return true;
  }

  /** The slot of a pair, or the free one where it would be. */
  #find(high: number, low: number): number {
    const mask = this.#slots.length - 1;
    // Digests are random already; the lowest bits of one half are as good as any.
    for (let slot = (2 * low) & mask; ; slot = (slot + 2) & mask) {
      const slotHigh = this.#slots[slot];
      const slotLow = this.#slots[slot + 1];
      if ((slotHigh === high && slotLow === low) || (slotHigh === 0 && slotLow === 0)) return slot;
    }
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(2 * old.length);
    this.#size = 0;
    for (let index = 0; index < old.length; index += 2) {
      const high = old[index] ?? 0;
      const low = old[index + 1] ?? 0;
      if (high !== 0 || low !== 0) this.#add(high, low);
    }
  }
}

/** Digests as a {@link DigestSet} keeps them, eight bytes each. */
export function packDigests(digests: readonly Digest[]): Uint32Array {
  const keys = new Uint32Array(2 * digests.length);
  for (const [index, digest] of digests.entries()) keys.set(keyOf(digest), 2 * index);
  return keys;
}

/** The first 64 bits; never two zeros. */
function keyOf(digest: Digest): [number, number] {
  const hex = hexOf(digest);
  const high = Number.parseInt(hex.slice(0, 8), 16);
  const low = Number.parseInt(hex.slice(8, 16), 16);
  return high === 0 && low === 0 ? [0, 1] : [high, low];
}
