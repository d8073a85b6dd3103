import { TokenBucket } from './rate-limit.ts';

/** A wire whose socket can be left unread for a while; TCP then slows the sender down. */
export interface PausableWire {
  pauseReading(): void;
  resumeReading(): void;
}

/** The most that one read of a socket brings. */
const CHUNK_BYTES = 64 * 1024;

/** While the bucket has bytes and wires still wait, the next are looked at after this. */
const NEXT_LOOK_MS = 2;

/**
 * Keeps what all wires together receive under a rate by leaving sockets unread. The wire that has received least goes on
 * first, so that one with a lot to send, or with larger chunks, gets no more than the others.
 */
export class IngressLimit {
  readonly #bucket: TokenBucket;
  readonly #waiting = new Set<PausableWire>();
  /** Bytes that each wire has received, counted from where the others were when it came or came back. */
  readonly #received = new Map<PausableWire, number>();
  /** How far the wire was that went on last: nobody saves up what it did not use before. */
  #level = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(nowMs: () => number) {
    this.#bucket = new TokenBucket(nowMs);
  }

  /** Bytes a second; 0 for no limit. Takes effect at once. */
  setRate(bytesPerSecond: number): void {
    this.#bucket.setRate(bytesPerSecond);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#resume();
  }

  /** Counts a chunk that a wire has received, and pauses the wire when others are due or the limit is reached. */
  received(wire: PausableWire, bytes: number): void {
    if (!this.#bucket.limited) return;
    this.#bucket.take(bytes);
    this.#received.set(wire, Math.max(this.#level, this.#received.get(wire) ?? 0) + bytes);
    if (this.#waiting.size === 0 && this.#bucket.waitMs() === 0) return;
    wire.pauseReading();
    this.#waiting.add(wire);
    this.#schedule();
  }

  /** The wire has closed. */
  forget(wire: PausableWire): void {
    this.#waiting.delete(wire);
    this.#received.delete(wire);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#waiting.clear();
    this.#received.clear();
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#waiting.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#resume();
    }, this.#bucket.waitMs() || NEXT_LOOK_MS);
    this.#timer.unref();
  }

  /** Lets as many wires read as there are bytes for. One that has nothing to read costs the others a look. */
  #resume(): void {
    for (let chunks = Math.ceil(this.#bucket.available() / CHUNK_BYTES); chunks > 0; chunks--) {
      const wire = this.#next();
      if (wire === undefined) break;
      this.#waiting.delete(wire);
      wire.resumeReading();
    }
    this.#schedule();
  }

  /** The waiting wire that has received least. */
  #next(): PausableWire | undefined {
    let next: PausableWire | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const wire of this.#waiting) {
      const received = this.#received.get(wire) ?? 0;
      if (received >= least) continue;
      next = wire;
      least = received;
    }
    if (next !== undefined) this.#level = Math.max(this.#level, least);
    return next;
  }
}
