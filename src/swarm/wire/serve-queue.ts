import type { LentBytes } from '../../castore/index.ts';

/** A socket as blocks are written to it. */
export interface BlockSink {
  /** Bytes handed to the socket that the kernel has not taken yet. */
  readonly unsentBytes: number;
  /** Writes a block with its head, in one go; `done` comes once, when the kernel has taken it or the socket has died. */
  sendBlock(piece: number, offset: number, bytes: Buffer, done: (sent: boolean) => void): void;
}

/** What a queue is made of. */
export interface ServeQueueOptions {
  readonly sink: BlockSink;
  /** Lends bytes of a piece that this host has. */
  readonly lend: (piece: number, offset: number, length: number) => LentBytes | Promise<LentBytes>;
  /** How much of the blob the peer has, 0 to 1. */
  readonly peerShare: () => number;
  /** Whether it is seeding in the background, which has a limit of its own. */
  readonly background: () => boolean;
  /** A block has been handed to the kernel. */
  readonly onSent: (length: number) => void;
  /** A block could not be read. */
  readonly onUnreadable: (piece: number, offset: number, length: number) => void;
}

/** A block that a peer waits for. */
export interface QueuedBlock {
  readonly piece: number;
  readonly offset: number;
  readonly length: number;
}

/** Foreign clients keep up to 500 blocks of 16 KiB outstanding; one that keeps more than this is closed. */
export const MAX_QUEUED_BLOCKS = 1_024;

/** The next block is read while fewer bytes than this wait for the kernel: two blocks of the longest kind. */
const MAX_UNSENT_BYTES = 256 * 1024;

/** More than the longest piece, so that piece and offset make one number. */
const OFFSETS = 2 ** 24;

/**
 * What one peer has asked for and not got yet, in the order that it asked. A {@link ServeScheduler} takes the blocks out;
 * whatever the number, a block is taken, put in or cancelled at the same cost.
 */
export class ServeQueue {
  readonly options: ServeQueueOptions;
  /** Whether bytes are being read for it: one block at a time, so that blocks leave in order. */
  lending = false;
  readonly #wake: (queue: ServeQueue) => void;
  readonly #forget: (queue: ServeQueue) => void;
  /** Lengths by piece and offset; a Map keeps the order in which they came. */
  readonly #lengths = new Map<number, number>();
  #next = this.#lengths.keys();
  #closed = false;

  /** Made by {@link ServeScheduler.open}. */
  constructor(
    options: ServeQueueOptions,
    scheduler: { wake: (queue: ServeQueue) => void; forget: (queue: ServeQueue) => void },
  ) {
    this.options = options;
    this.#wake = scheduler.wake;
    this.#forget = scheduler.forget;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get length(): number {
    return this.#lengths.size;
  }

  /** Whether a block could be read for it now. */
  get ready(): boolean {
    return !this.#closed && !this.lending && this.length > 0 && this.options.sink.unsentBytes < MAX_UNSENT_BYTES;
  }

  /** Queues a block; one that is queued already stays where it is. @returns whether there was room */
  push(piece: number, offset: number, length: number): boolean {
    if (this.#lengths.size >= MAX_QUEUED_BLOCKS) return false;
    this.#lengths.set(piece * OFFSETS + offset, length);
    this.#wake(this);
    return true;
  }

  /** Drops a block that has not been read yet. @returns whether it was there */
  cancel(piece: number, offset: number): boolean {
    return this.#lengths.delete(piece * OFFSETS + offset);
  }

  /** The block that is due, taken out. */
  take(): QueuedBlock | undefined {
    if (this.length === 0) return undefined;
    // One iterator for long: a new one for each block would walk over the places of all that were taken out before.
    let { done, value: key } = this.#next.next();
    if (done === true) {
      this.#next = this.#lengths.keys();
      ({ done, value: key } = this.#next.next());
    }
    if (done === true || key === undefined) return undefined;
    const length = this.#lengths.get(key)!;
    this.#lengths.delete(key);
    return { piece: Math.floor(key / OFFSETS), offset: key % OFFSETS, length };
  }

  /** Takes all out, for a peer that gets nothing more for now. */
  clear(): readonly QueuedBlock[] {
    const blocks: QueuedBlock[] = [];
    for (let block = this.take(); block !== undefined; block = this.take()) blocks.push(block);
    return blocks;
  }

  /** Drops all; bytes that are on their way to the socket are given back when it has let go of them. */
  close(): void {
    this.#closed = true;
    this.#lengths.clear();
    this.#forget(this);
  }
}
