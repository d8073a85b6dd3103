import type { LentBytes } from '../../castore/index.ts';
import type { TokenBucket } from './rate-limit.ts';
import { type QueuedBlock, ServeQueue, type ServeQueueOptions } from './serve-queue.ts';
import { BLOCK_HEAD_BYTES } from './wire-messages.ts';

/** Bytes that are lent and not sent yet, over all wires of the process. */
const MAX_LENT_BYTES = 64 * 1024 * 1024;

/** After this many bytes other work of the event loop gets its turn. */
const TURN_BYTES = 2 * 1024 * 1024;

/** Peers that differ by less than this part of a blob are equally far. */
const HELP_STEPS = 64;
/** Among so many wires the one that is furthest behind is looked for. */
const HELP_MOST = 64;

/**
 * Serves all wires of a process: one block a wire in turn, and in every second turn one for the peer that is furthest behind,
 * while sockets take them, the limits allow it and not too many bytes are lent. Where an uplink's limit is what all wait for,
 * a host with few wires gets as far as one with many by that (docs/simulator.md). So a slow disk or a slow peer slows what it slows, and memory stays what it is.
 */
export class ServeScheduler {
  readonly #egress: TokenBucket;
  readonly #seeding: TokenBucket;
  readonly #maxLentBytes: number;
  readonly #nowMs: () => number;
  /** Wires whose turn comes, in order. */
  readonly #ready = new Set<ServeQueue>();
  /** Wires that seed in the background and wait for its limit. */
  readonly #parked = new Set<ServeQueue>();
  #immediate: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;
  #seedingTimer: NodeJS.Timeout | undefined;
  /** Whether the next block is for the peer that is furthest behind. */
  #helps = false;
  #lentBytes = 0;
  #heldSinceMs: number | undefined;
  #heldMs = 0;

  /** `egress` and `seeding` are counted by whoever writes to sockets; here they are only asked. */
  constructor(options: {
    egress: TokenBucket;
    seeding: TokenBucket;
    nowMs: () => number;
    maxLentBytes?: number;
  }) {
    this.#egress = options.egress;
    this.#seeding = options.seeding;
    this.#nowMs = options.nowMs;
    this.#maxLentBytes = options.maxLentBytes ?? MAX_LENT_BYTES;
  }

  /** A queue for one wire. The wire closes it. */
  open(options: ServeQueueOptions): ServeQueue {
    return new ServeQueue(options, {
      wake: (queue) => this.#add(queue),
      forget: (queue) => {
        this.#ready.delete(queue);
        this.#parked.delete(queue);
      },
    });
  }

  /** Bytes that are lent now, for tests and metrics. */
  get lentBytes(): number {
    return this.#lentBytes;
  }

  /** Milliseconds since the last call in which wires had to wait for the egress limit, or for the bound of the process. */
  takeHeldMs(): number {
    if (this.#ready.size === 0) this.#endHold();
    const nowMs = this.#nowMs();
    const heldMs = this.#heldMs + (this.#heldSinceMs === undefined ? 0 : nowMs - this.#heldSinceMs);
    if (this.#heldSinceMs !== undefined) this.#heldSinceMs = nowMs;
    this.#heldMs = 0;
    return heldMs;
  }

  /** The limits have changed. */
  limitsChanged(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#seedingTimer);
    this.#timer = undefined;
    this.#unpark();
  }

  close(): void {
    clearImmediate(this.#immediate);
    clearTimeout(this.#timer);
    clearTimeout(this.#seedingTimer);
    this.#ready.clear();
    this.#parked.clear();
  }

  #add(queue: ServeQueue): void {
    if (!queue.ready || this.#parked.has(queue)) return;
    this.#ready.add(queue);
    this.#soon();
  }

  #soon(): void {
    if (this.#timer !== undefined) return;
    // After the sockets of this turn have been read: their requests are served together.
    this.#immediate ??= setImmediate(() => {
      this.#immediate = undefined;
      this.#serve();
    });
  }

  #serve(): void {
    this.#endHold();
    let left = TURN_BYTES;
    while (this.#ready.size > 0) {
      if (this.#mustHold()) return;
      if (left <= 0) {
        this.#soon();
        return;
      }
      const queue = this.#takeNext();
      if (queue.options.background() && this.#mustPark(queue)) continue;
      left -= this.#serveOne(queue);
      if (queue.ready) this.#ready.add(queue);
    }
  }

  /** Whose turn it is; every second time that of the peer with the least of its blob, the first among such. */
  #takeNext(): ServeQueue {
    let next: ServeQueue | undefined;
    let least = Number.POSITIVE_INFINITY;
    let seen = 0;
    for (const queue of this.#ready) {
      const share = this.#helps ? Math.floor(HELP_STEPS * queue.options.peerShare()) : 0;
      if (next === undefined || share < least) [next, least] = [queue, share];
      seen++;
      if (!this.#helps || seen === HELP_MOST) break;
    }
    this.#helps = !this.#helps;
    this.#ready.delete(next!);
    return next!;
  }

  /** Whether all have to wait, for the limit or for bytes that come back. */
  #mustHold(): boolean {
    const waitMs = this.#egress.waitMs();
    if (waitMs === 0 && this.#lentBytes < this.#maxLentBytes) return false;
    this.#heldSinceMs ??= this.#nowMs();
    if (waitMs === 0) return true; // Bytes that come back call again.
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#soon();
    }, waitMs);
    this.#timer.unref();
    return true;
  }

  #endHold(): void {
    if (this.#heldSinceMs === undefined) return;
    this.#heldMs += this.#nowMs() - this.#heldSinceMs;
    this.#heldSinceMs = undefined;
  }

  #mustPark(queue: ServeQueue): boolean {
    const waitMs = this.#seeding.waitMs();
    if (waitMs === 0) return false;
    this.#parked.add(queue);
    if (this.#parked.size > 1) return true;
    this.#seedingTimer = setTimeout(() => this.#unpark(), waitMs);
    this.#seedingTimer.unref();
    return true;
  }

  #unpark(): void {
    const parked = [...this.#parked];
    this.#parked.clear();
    // In their old order, behind nobody: those that are first take what there is, and the rest is parked again.
    for (const queue of parked) this.#add(queue);
    if (this.#ready.size > 0) this.#soon();
  }

  /** @returns the bytes that it takes at most */
  #serveOne(queue: ServeQueue): number {
    const block = queue.take();
    if (block === undefined) return 0;
    this.#lentBytes += block.length;
    const lent = this.#lend(queue, block);
    if (lent instanceof Promise) {
      queue.lending = true;
      void this.#sendLater(queue, block, lent);
    } else if (lent !== undefined) this.#send(queue, block, lent);
    return block.length;
  }

  #lend(queue: ServeQueue, block: QueuedBlock): LentBytes | Promise<LentBytes> | undefined {
    try {
      return queue.options.lend(block.piece, block.offset, block.length);
    } catch {
      this.#unreadable(queue, block);
      return undefined;
    }
  }

  async #sendLater(queue: ServeQueue, block: QueuedBlock, lending: Promise<LentBytes>): Promise<void> {
    let lent: LentBytes | undefined;
    try {
      lent = await lending;
    } catch {
      // The peer is told, and whoever lends has logged why.
    }
    queue.lending = false;
    if (lent === undefined) this.#unreadable(queue, block);
    else this.#send(queue, block, lent);
    this.#add(queue);
  }

  #send(queue: ServeQueue, { piece, offset, length }: QueuedBlock, lent: LentBytes): void {
    if (queue.closed) {
      lent.release();
      this.#returned(length);
      return;
    }
    if (queue.options.background()) this.#seeding.take(length + BLOCK_HEAD_BYTES);
    queue.options.sink.sendBlock(piece, offset, lent.bytes, (sent) => {
      lent.release();
      this.#returned(length);
      if (sent) queue.options.onSent(length);
      this.#add(queue);
    });
  }

  #unreadable(queue: ServeQueue, { piece, offset, length }: QueuedBlock): void {
    this.#returned(length);
    if (!queue.closed) queue.options.onUnreadable(piece, offset, length);
  }

  #returned(bytes: number): void {
    const wasFull = this.#lentBytes >= this.#maxLentBytes;
    this.#lentBytes -= bytes;
    if (wasFull && this.#ready.size > 0) this.#soon();
  }
}
