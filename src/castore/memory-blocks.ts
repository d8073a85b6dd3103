/** Memory is taken from the system this much at a time: one piece of the greatest length, or several shorter ones. */
const SLAB_BYTES = 4 * 1024 * 1024;
/** Blocks take a power of two from here up to a slab; a shorter one wastes the rest. */
const MIN_BLOCK_BYTES = 64 * 1024;
/** How much is given back by the cache for one block, at most: shorter blocks may be scattered over many slabs. */
const RECLAIM_BYTES = 2 * SLAB_BYTES;

/** Where a block lies, so that a thread which has the slab can find it. */
export interface BlockPlace {
  readonly slab: Slab;
  readonly offset: number;
}

/** Shared memory that is cut into blocks of one length; of another length once all of it is free. */
export interface Slab {
  readonly id: number;
  readonly memory: SharedArrayBuffer;
}

interface CutSlab extends Slab {
  blockBytes: number;
  /** Offsets of free blocks. */
  free: number[];
}

/**
 * The memory of a store for pieces and for what is read: shared memory, in blocks that are used again and again.
 *
 * A block belongs to whoever holds references to it, and is used again when the last one is released. Beyond the limit, and
 * once nothing can be reclaimed, blocks are ordinary memory: not shared, not used again, and for the caller to bound.
 */
export class BlockMemory {
  readonly #limitBytes: number;
  readonly #reclaim: () => number;
  readonly #slabs: CutSlab[] = [];
  /** Blocks that were handed out as plain buffers, by the very buffer. */
  readonly #handedOut = new WeakMap<Uint8Array, MemoryBlock>();

  /** @param options.reclaim lets go of something that is kept only in case it is wanted; the bytes, 0 when there is nothing */
  constructor(options: { limitBytes: number; reclaim: () => number }) {
    this.#limitBytes = options.limitBytes;
    this.#reclaim = options.reclaim;
  }

  /** Bytes of shared memory, in use or free. Never more than the limit. */
  get slabBytes(): number {
    return this.#slabs.length * SLAB_BYTES;
  }

  /** Bytes of shared memory that somebody refers to. */
  get usedBytes(): number {
    return this.#slabs.reduce((sum, slab) => sum + SLAB_BYTES - slab.free.length * slab.blockBytes, 0);
  }

  /** A block of exactly this length, with one reference for the caller; what is in it is arbitrary. */
  take(length: number): MemoryBlock {
    return this.takeShared(length) ?? new MemoryBlock(Buffer.allocUnsafeSlow(length), undefined, () => undefined);
  }

  /** The same out of shared memory; `undefined` when there is no room. */
  takeShared(length: number): MemoryBlock | undefined {
    const blockBytes = blockBytesFor(length);
    if (blockBytes > SLAB_BYTES) return undefined;
    const slab = this.#slabFor(blockBytes) ?? this.#reclaimFor(blockBytes);
    const offset = slab?.free.pop();
    if (slab === undefined || offset === undefined) return undefined;
    const buffer = Buffer.from(slab.memory, offset, length);
    return new MemoryBlock(buffer, { slab, offset }, () => slab.free.push(offset));
  }

  /** A block with the same bytes; ordinary memory is not copied, and has to stay as it is. */
  copyOf(bytes: Uint8Array): MemoryBlock {
    const block = this.takeShared(bytes.length);
    block?.buffer.set(bytes);
    const same = () => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    return block ?? new MemoryBlock(same(), undefined, () => undefined);
  }

  /** Hands a new block out as a buffer; {@link takeBack} finds it by the very same object. */
  handOut(length: number): Buffer {
    const block = this.take(length);
    this.#handedOut.set(block.buffer, block);
    return block.buffer;
  }

  /** The block of a buffer that was handed out, with the reference that went with it; once. */
  takeBack(buffer: Uint8Array): MemoryBlock | undefined {
    const block = this.#handedOut.get(buffer);
    this.#handedOut.delete(buffer);
    return block;
  }

  #slabFor(blockBytes: number): CutSlab | undefined {
    const cut = this.#slabs.find((slab) => slab.blockBytes === blockBytes && slab.free.length > 0);
    if (cut !== undefined) return cut;
    const unused = this.#slabs.find((slab) => slab.free.length * slab.blockBytes === SLAB_BYTES) ?? this.#grow();
    if (unused === undefined) return undefined;
    unused.blockBytes = blockBytes;
    unused.free = Array.from({ length: SLAB_BYTES / blockBytes }, (_, place) => place * blockBytes).reverse();
    return unused;
  }

  #grow(): CutSlab | undefined {
    if (this.slabBytes + SLAB_BYTES > this.#limitBytes) return undefined;
    const memory = new SharedArrayBuffer(SLAB_BYTES);
    const slab = { id: this.#slabs.length, memory, blockBytes: SLAB_BYTES, free: [0] };
    this.#slabs.push(slab);
    return slab;
  }

  #reclaimFor(blockBytes: number): CutSlab | undefined {
    for (let reclaimed = 0; reclaimed < RECLAIM_BYTES; ) {
      const bytes = this.#reclaim();
      if (bytes === 0) return undefined;
      reclaimed += bytes;
      const slab = this.#slabFor(blockBytes);
      if (slab !== undefined) return slab;
    }
    return undefined;
  }
}

/** Memory with a count of those who refer to it. Made by {@link BlockMemory}. */
export class MemoryBlock {
  /** Exactly the length that was asked for. */
  readonly buffer: Buffer;
  /** `undefined` for ordinary memory. */
  readonly place: BlockPlace | undefined;
  readonly #free: () => void;
  #references = 1;

  constructor(buffer: Buffer, place: BlockPlace | undefined, free: () => void) {
    this.buffer = buffer;
    this.place = place;
    this.#free = free;
  }

  /** One reference more; whoever asks for it releases it. */
  retain(): this {
    if (this.#references === 0) throw new Error('a block of memory was retained after its last reference was released');
    this.#references += 1;
    return this;
  }

  /** One reference less; with the last one the memory is used again. */
  release(): void {
    if (this.#references === 0) throw new Error('a block of memory was released more often than it was retained');
    this.#references -= 1;
    if (this.#references === 0) this.#free();
  }
}

function blockBytesFor(length: number): number {
  let bytes = MIN_BLOCK_BYTES;
  while (bytes < length) bytes *= 2;
  return bytes;
}
