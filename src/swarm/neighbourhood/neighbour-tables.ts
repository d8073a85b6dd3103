/** A candidate may be dialled once its time has come. */
const READY = 0;
const DIALLING = 1;

/**
 * Peers that may be dialled, as a structure of small arrays: a simulator holds tens of thousands of these. Looked through
 * from end to end, which is cheap for the few dozen that a blob keeps.
 */
export class Candidates {
  readonly #peers: Int32Array;
  readonly #eighths: Uint8Array;
  readonly #origins: Uint8Array;
  readonly #states: Uint8Array;
  readonly #failures: Uint8Array;
  /** When it may be dialled; while it is being dialled, since when. */
  readonly #atMs: Float64Array;
  #count = 0;

  constructor(capacity: number) {
    this.#peers = new Int32Array(capacity);
    this.#eighths = new Uint8Array(capacity);
    this.#origins = new Uint8Array(capacity);
    this.#states = new Uint8Array(capacity);
    this.#failures = new Uint8Array(capacity);
    this.#atMs = new Float64Array(capacity);
  }

  get count(): number {
    return this.#count;
  }

  get full(): boolean {
    return this.#count === this.#peers.length;
  }

  /** Where a peer stands in the table, or -1. */
  indexOf(peer: number): number {
    for (let index = 0; index < this.#count; index++) if (this.#peers[index] === peer) return index;
    return -1;
  }

  peer(index: number): number {
    return this.#peers[index]!;
  }

  eighths(index: number): number {
    return this.#eighths[index]!;
  }

  isOrigin(index: number): boolean {
    return this.#origins[index] === 1;
  }

  isDialling(index: number): boolean {
    return this.#states[index] === DIALLING;
  }

  isReady(index: number, nowMs: number): boolean {
    return this.#states[index] === READY && this.#atMs[index]! <= nowMs;
  }

  /** Since when it is being dialled, or from when on it may be. */
  atMs(index: number): number {
    return this.#atMs[index]!;
  }

  /** Dials in a row that failed. */
  failures(index: number): number {
    return this.#failures[index]!;
  }

  /** The caller has made room. */
  add(peer: number, eighths: number, origin: boolean, readyAtMs: number): void {
    const index = this.#count++;
    this.#peers[index] = peer;
    this.#eighths[index] = eighths;
    this.#origins[index] = origin ? 1 : 0;
    this.#states[index] = READY;
    this.#failures[index] = 0;
    this.#atMs[index] = readyAtMs;
  }

  update(index: number, eighths: number, origin: boolean): void {
    this.#eighths[index] = eighths;
    if (origin) this.#origins[index] = 1;
  }

  setDialling(index: number, nowMs: number): void {
    this.#states[index] = DIALLING;
    this.#atMs[index] = nowMs;
  }

  setFailed(index: number, readyAtMs: number): void {
    this.#states[index] = READY;
    this.#atMs[index] = readyAtMs;
    this.#failures[index] = Math.min(this.#failures[index]! + 1, 16);
  }

  /** The last one takes the place of the one that goes. */
  removeAt(index: number): void {
    const last = --this.#count;
    this.#peers[index] = this.#peers[last]!;
    this.#eighths[index] = this.#eighths[last]!;
    this.#origins[index] = this.#origins[last]!;
    this.#states[index] = this.#states[last]!;
    this.#failures[index] = this.#failures[last]!;
    this.#atMs[index] = this.#atMs[last]!;
  }
}

/** No wire in this slot. */
const EMPTY = -1;

/** Open wires by slot. Grows to the highest slot that is used. */
export class Wires {
  #peers = new Int32Array(0);
  #eighths = new Uint8Array(0);
  #outgoing = new Uint8Array(0);
  #origins = new Uint8Array(0);
  #openedAtMs = new Float64Array(0);
  #usefulAtMs = new Float64Array(0);
  #count = 0;
  #outgoingCount = 0;
  #originCount = 0;

  /** How many are open. */
  get count(): number {
    return this.#count;
  }

  /** How many of them this host dialled. */
  get outgoingCount(): number {
    return this.#outgoingCount;
  }

  /** How many of them lead to origins. */
  get originCount(): number {
    return this.#originCount;
  }

  /** One more than the highest slot that was ever used. */
  get slots(): number {
    return this.#peers.length;
  }

  isOpen(slot: number): boolean {
    return slot < this.#peers.length && this.#peers[slot] !== EMPTY;
  }

  /** The slot of a peer's wire, or -1. */
  slotOf(peer: number): number {
    return this.#peers.indexOf(peer);
  }

  peer(slot: number): number {
    return this.#peers[slot]!;
  }

  eighths(slot: number): number {
    return this.#eighths[slot]!;
  }

  isOutgoing(slot: number): boolean {
    return this.#outgoing[slot] === 1;
  }

  isOrigin(slot: number): boolean {
    return this.#origins[slot] === 1;
  }

  openedAtMs(slot: number): number {
    return this.#openedAtMs[slot]!;
  }

  /** When something useful went over it the last time; when it was opened, if nothing has. */
  usefulAtMs(slot: number): number {
    return this.#usefulAtMs[slot]!;
  }

  /** Whether anything useful ever went over it. */
  wasUseful(slot: number): boolean {
    return this.#usefulAtMs[slot]! > this.#openedAtMs[slot]!;
  }

  open(slot: number, peer: number, options: { outgoing: boolean; origin: boolean; nowMs: number }): void {
    if (slot >= this.#peers.length) this.#grow(slot + 1);
    this.#peers[slot] = peer;
    this.#eighths[slot] = 0;
    this.#outgoing[slot] = options.outgoing ? 1 : 0;
    this.#origins[slot] = options.origin ? 1 : 0;
    this.#openedAtMs[slot] = options.nowMs;
    this.#usefulAtMs[slot] = options.nowMs;
    this.#count++;
    if (options.outgoing) this.#outgoingCount++;
    if (options.origin) this.#originCount++;
  }

  setEighths(slot: number, eighths: number): void {
    this.#eighths[slot] = eighths;
  }

  setUseful(slot: number, nowMs: number): void {
    this.#usefulAtMs[slot] = nowMs;
  }

  close(slot: number): void {
    this.#peers[slot] = EMPTY;
    this.#count--;
    if (this.#outgoing[slot] === 1) this.#outgoingCount--;
    if (this.#origins[slot] === 1) this.#originCount--;
  }

  #grow(slots: number): void {
    const peers = new Int32Array(slots).fill(EMPTY);
    peers.set(this.#peers);
    this.#peers = peers;
    this.#eighths = copyOf(this.#eighths, new Uint8Array(slots));
    this.#outgoing = copyOf(this.#outgoing, new Uint8Array(slots));
    this.#origins = copyOf(this.#origins, new Uint8Array(slots));
    this.#openedAtMs = copyOf(this.#openedAtMs, new Float64Array(slots));
    this.#usefulAtMs = copyOf(this.#usefulAtMs, new Float64Array(slots));
  }
}

function copyOf<T extends Uint8Array<ArrayBuffer> | Float64Array<ArrayBuffer>>(from: T, to: T): T {
  to.set(from);
  return to;
}
