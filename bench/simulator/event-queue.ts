/** Words of 32 bits that one event takes: kind, two integers, the next event of its slot, and its time as a double. */
const STRIDE = 8;
const SLOTS = 1 << 16;

/**
 * Events in the order of their virtual time, without an object an event: a wheel of 65,536 slots for what comes soon, a heap
 * for the slot that is being worked off, and a second heap for what lies beyond the wheel.
 *
 * A binary heap alone costs a dozen cache misses an event when 300,000 are pending; here the heap that is worked on holds
 * one slot's events. Events of the same time come in an order that depends on nothing but the calls made, so a run is
 * repeatable. Grows as needed.
 */
export class EventQueue {
  /** Of the event that {@link pop} took: its time in ms, its kind, and what was handed to {@link push}. */
  timeMs = 0;
  kind = 0;
  a = 0;
  b = 0;

  readonly #slotMs: number;
  readonly #slots = new Int32Array(SLOTS).fill(-1);
  readonly #near = new Heap();
  readonly #far = new Heap();
  #times: Float64Array;
  #words: Int32Array;
  #free = -1;
  #used = 0;
  /** The slot that `near` holds, counted from time 0. */
  #current = 0;
  #inWheel = 0;

  /** @param slotMs how long one slot is; the fewer events fall into one, the cheaper, down to a few dozen */
  constructor(slotMs: number) {
    this.#slotMs = slotMs;
    const buffer = new ArrayBuffer(1024 * STRIDE * 4);
    this.#times = new Float64Array(buffer);
    this.#words = new Int32Array(buffer);
  }

  /** How many events are pending. */
  get size(): number {
    return this.#near.size + this.#inWheel + this.#far.size;
  }

  /** An event for `timeMs`; one in the past comes next. */
  push(timeMs: number, kind: number, a: number, b: number): void {
    const event = this.#allocate();
    const at = event * STRIDE;
    this.#words[at] = kind;
    this.#words[at + 1] = a;
    this.#words[at + 2] = b;
    this.#times[(at >> 1) + 2] = timeMs;
    this.#place(event, timeMs);
  }

  /** Takes the next event into the fields. @returns whether there was one */
  pop(): boolean {
    while (this.#near.size === 0) {
      if (this.#inWheel === 0 && this.#far.size === 0) return false;
      this.#advance();
    }
    this.timeMs = this.#near.topKey;
    const event = this.#near.take();
    const at = event * STRIDE;
    this.kind = this.#words[at]!;
    this.a = this.#words[at + 1]!;
    this.b = this.#words[at + 2]!;
    this.#words[at + 3] = this.#free;
    this.#free = event;
    return true;
  }

  #place(event: number, timeMs: number): void {
    const slot = Math.floor(timeMs / this.#slotMs);
    if (slot <= this.#current) {
      this.#near.put(timeMs, event);
      return;
    }
    if (slot - this.#current >= SLOTS) {
      this.#far.put(timeMs, event);
      return;
    }
    const index = slot & (SLOTS - 1);
    this.#words[event * STRIDE + 3] = this.#slots[index]!;
    this.#slots[index] = event;
    this.#inWheel++;
  }

  /** To the next slot that has events; what the wheel reaches now comes out of the far heap. */
  #advance(): void {
    if (this.#inWheel === 0) this.#current = Math.floor(this.#far.topKey / this.#slotMs) - 1;
    this.#current++;
    const horizonMs = (this.#current + SLOTS - 1) * this.#slotMs;
    while (this.#far.size > 0 && this.#far.topKey < horizonMs) {
      const timeMs = this.#far.topKey;
      this.#place(this.#far.take(), timeMs);
    }
    const index = this.#current & (SLOTS - 1);
    let event = this.#slots[index]!;
    this.#slots[index] = -1;
    while (event >= 0) {
      this.#inWheel--;
      this.#near.put(this.#times[((event * STRIDE) >> 1) + 2]!, event);
      event = this.#words[event * STRIDE + 3]!;
    }
  }

  #allocate(): number {
    if (this.#free >= 0) {
      const event = this.#free;
      this.#free = this.#words[event * STRIDE + 3]!;
      return event;
    }
    if ((this.#used + 1) * STRIDE > this.#words.length) {
      const buffer = new ArrayBuffer(this.#words.byteLength * 2);
      const words = new Int32Array(buffer);
      words.set(this.#words);
      this.#words = words;
      this.#times = new Float64Array(buffer);
    }
    return this.#used++;
  }
}

/** A binary heap of (key, event), the smallest key on top. */
class Heap {
  #keys = new Float64Array(256);
  #events = new Int32Array(256);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get topKey(): number {
    return this.#keys[0]!;
  }

  put(key: number, event: number): void {
    if (this.#size === this.#keys.length) this.#grow();
    const keys = this.#keys;
    const events = this.#events;
    let at = this.#size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (keys[parent]! <= key) break;
      keys[at] = keys[parent]!;
      events[at] = events[parent]!;
      at = parent;
    }
    keys[at] = key;
    events[at] = event;
  }

  take(): number {
    const keys = this.#keys;
    const events = this.#events;
    const top = events[0]!;
    const size = --this.#size;
    const key = keys[size]!;
    const event = events[size]!;
    let at = 0;
    for (let child = 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && keys[child + 1]! < keys[child]!) child++;
      if (key <= keys[child]!) break;
      keys[at] = keys[child]!;
      events[at] = events[child]!;
      at = child;
    }
    keys[at] = key;
    events[at] = event;
    return top;
  }

  #grow(): void {
    const keys = new Float64Array(this.#keys.length * 2);
    keys.set(this.#keys);
    this.#keys = keys;
    const events = new Int32Array(this.#events.length * 2);
    events.set(this.#events);
    this.#events = events;
  }
}
