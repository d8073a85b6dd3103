const NONE = -1;
/** The end is in no round of its host's uplink. */
export const NOT_IN_ROUND = -2;

/** Words of 32 bits that an end takes: 64 bytes, so that what an event needs of it comes in one cache line. */
const STRIDE = 16;
const NODE = 0;
const SLOT = 1;
const OPEN = 2;
const HEARD = 3;
const OUTSTANDING = 4;
const QUEUE_HEAD = 5;
const QUEUE_TAIL = 6;
const NEXT_IN_ROUND = 7;
const LATENCY_US = 8;

const noSlots = new Int32Array(0);

/**
 * All wires that ever were. A wire has two *ends*, `2 × wire` and `2 × wire + 1`; `end ^ 1` is the other one. An end belongs
 * to a node and has a slot there, the small number by which that node's dispatcher and neighbourhood know its neighbour.
 */
export class WireTable {
  readonly #slots: Int32Array[];
  #words = new Int32Array(1024 * STRIDE);
  #ends = 0;

  constructor(nodes: number) {
    this.#slots = new Array(nodes).fill(noSlots);
  }

  /** How many wires there ever were. */
  get wires(): number {
    return this.#ends >> 1;
  }

  /** Ends by slot, -1 for an empty one. Only to be read, and not to be kept over {@link connect}. */
  slotsOf(node: number): Int32Array {
    return this.#slots[node]!;
  }

  node(end: number): number {
    return this.#words[end * STRIDE + NODE]!;
  }

  slot(end: number): number {
    return this.#words[end * STRIDE + SLOT]!;
  }

  isOpen(end: number): boolean {
    return this.#words[end * STRIDE + OPEN] === 1;
  }

  /** One way, in ms; the same in both directions. */
  latencyMs(end: number): number {
    return this.#words[end * STRIDE + LATENCY_US]! / 1000;
  }

  /** How many entries of the other end's log have come in as HAVE; -1 before its bitfield has. */
  heard(end: number): number {
    return this.#words[end * STRIDE + HEARD]!;
  }

  setHeard(end: number, count: number): void {
    this.#words[end * STRIDE + HEARD] = count;
  }

  /** The first of this end's requests that are not answered yet, -1 for none; the others are chained to it. */
  outstanding(end: number): number {
    return this.#words[end * STRIDE + OUTSTANDING]!;
  }

  setOutstanding(end: number, transfer: number): void {
    this.#words[end * STRIDE + OUTSTANDING] = transfer;
  }

  /** The first of the other end's requests that wait here for the uplink, -1 for none; the others are chained to it. */
  queueHead(end: number): number {
    return this.#words[end * STRIDE + QUEUE_HEAD]!;
  }

  queueTail(end: number): number {
    return this.#words[end * STRIDE + QUEUE_TAIL]!;
  }

  setQueueHead(end: number, transfer: number): void {
    this.#words[end * STRIDE + QUEUE_HEAD] = transfer;
  }

  setQueueTail(end: number, transfer: number): void {
    this.#words[end * STRIDE + QUEUE_TAIL] = transfer;
  }

  /** The end whose turn is after this one's at its host's uplink; -1 for the last, {@link NOT_IN_ROUND} for one that waits for none. */
  nextInRound(end: number): number {
    return this.#words[end * STRIDE + NEXT_IN_ROUND]!;
  }

  setNextInRound(end: number, next: number): void {
    this.#words[end * STRIDE + NEXT_IN_ROUND] = next;
  }

  /** @returns the first end (of `from`); the second is one more */
  connect(from: number, to: number, latencyMs: number): number {
    const end = this.#ends;
    if ((end + 2) * STRIDE > this.#words.length) {
      const larger = new Int32Array(this.#words.length * 2);
      larger.set(this.#words);
      this.#words = larger;
    }
    this.#ends += 2;
    this.#prepare(end, from, latencyMs);
    this.#prepare(end + 1, to, latencyMs);
    return end;
  }

  /** Takes both ends out of their slots. */
  disconnect(end: number): void {
    for (const side of [end, end ^ 1]) {
      this.#words[side * STRIDE + OPEN] = 0;
      this.#slots[this.node(side)]![this.slot(side)] = NONE;
    }
  }

  /** The end of `node`'s wire to `other`, or -1. */
  between(node: number, other: number): number {
    for (const end of this.#slots[node]!) if (end >= 0 && this.node(end ^ 1) === other) return end;
    return NONE;
  }

  #prepare(end: number, node: number, latencyMs: number): void {
    let slots = this.#slots[node]!;
    let slot = slots.indexOf(NONE);
    if (slot < 0) {
      slot = slots.length;
      const larger = new Int32Array(Math.max(8, slots.length * 2)).fill(NONE);
      larger.set(slots);
      slots = larger;
      this.#slots[node] = larger;
    }
    slots[slot] = end;
    const at = end * STRIDE;
    this.#words[at + NODE] = node;
    this.#words[at + SLOT] = slot;
    this.#words[at + OPEN] = 1;
    this.#words[at + HEARD] = NONE;
    this.#words[at + OUTSTANDING] = NONE;
    this.#words[at + QUEUE_HEAD] = NONE;
    this.#words[at + QUEUE_TAIL] = NONE;
    this.#words[at + NEXT_IN_ROUND] = NOT_IN_ROUND;
    this.#words[at + LATENCY_US] = Math.round(latencyMs * 1000);
  }
}
