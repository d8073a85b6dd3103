/** Which pieces are there, one bit each, high bit first, as BEP 3 sends it. */
export class Bitfield {
  readonly size: number;
  readonly #bytes: Uint8Array;
  #count = 0;

  /** All bits clear. */
  constructor(size: number) {
    this.size = size;
    this.#bytes = new Uint8Array(Math.ceil(size / 8));
  }

  /** How many bits are set. */
  get count(): number {
    return this.#count;
  }

  has(index: number): boolean {
    return index >= 0 && index < this.size && isSet(this.#bytes, index);
  }

  set(index: number): void {
    if (this.has(index)) return;
    this.#bytes[index >> 3] = (this.#bytes[index >> 3] ?? 0) | (0x80 >> (index & 7));
    this.#count += 1;
  }

  /** A copy; the spare bits at the end are clear. */
  bytes(): Uint8Array {
    return this.#bytes.slice();
  }
}

/** The bits that are set in bytes which may be torn, too short or too long for `size` bits; in order. */
export function* setBits(bytes: Uint8Array, size: number): Generator<number, void> {
  const end = Math.min(size, bytes.length * 8);
  for (let index = 0; index < end; index += 1) if (isSet(bytes, index)) yield index;
}

function isSet(bytes: Uint8Array, index: number): boolean {
  return ((bytes[index >> 3] ?? 0) & (0x80 >> (index & 7))) !== 0;
}
