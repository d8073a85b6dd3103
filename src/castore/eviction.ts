/** Something that may be thrown away to make room: a blob, or a download that nobody has open. */
export interface Evictable {
  /** Of room that its eviction gives back. */
  readonly sizeBytes: number;
  /** Milliseconds since 1970. Set by {@link EvictionOrder.touch} only. */
  lastUsedAtMs: number;
  /** Whether it may go now: not pinned, not open for writing, nobody at work on it. */
  evictable(): boolean;
  /** Throws it away and gives its room back. Called only straight after `evictable` said yes. */
  evict(): Promise<void>;
}

/** All that may ever be evicted, least recently used first. */
export class EvictionOrder {
  /** A set keeps the order in which things were added; a thing that is used is taken out and added again. */
  readonly #order = new Set<Evictable>();

  /** Adds something as the most recently used. At the start of a store, add the least recently used first. */
  add(thing: Evictable): void {
    this.#order.add(thing);
  }

  touch(thing: Evictable, nowMs: number): void {
    thing.lastUsedAtMs = nowMs;
    if (this.#order.delete(thing)) this.#order.add(thing);
  }

  remove(thing: Evictable): void {
    this.#order.delete(thing);
  }

  /** The least recently used thing that may go now. */
  findOldest(): Evictable | undefined {
    for (const thing of this.#order) if (thing.evictable()) return thing;
    return undefined;
  }

  /** Bytes that may go now. */
  evictableBytes(): number {
    let sum = 0;
    for (const thing of this.#order) if (thing.evictable()) sum += thing.sizeBytes;
    return sum;
  }
}
