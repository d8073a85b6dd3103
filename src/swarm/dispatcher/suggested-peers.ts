import type { SuggestedPeer } from './suggested-peer.ts';

/** The neighbours of an origin by slot, and how each stands among them. */
export class SuggestedPeers {
  readonly #slots: (SuggestedPeer | undefined)[] = [];
  /** The most pieces that one has that is not complete. */
  foremost = 0;
  /** The most pieces of the origin's own share that one of them has. */
  foremostOwn = 0;
  /** Suggestions open to peers that are behind. */
  openBehind = 0;
  /** Peers that are neither behind nor complete. */
  inFront = 0;
  /** Usual time from a suggestion to its HAVE, in ms; 0 when nothing is known. */
  usualTurnaroundMs = 0;
  /** Usual time from a suggestion until two have the piece, in ms; 0 when nothing is known. */
  usualSpreadMs = 0;
  #sorted = new Float64Array(16);

  /** Slots that have been in use so far. */
  get slots(): number {
    return this.#slots.length;
  }

  get(slot: number): SuggestedPeer | undefined {
    return this.#slots[slot];
  }

  add(peer: SuggestedPeer): void {
    this.inFront++;
    while (this.#slots.length < peer.slot) this.#slots.push(undefined);
    this.#slots[peer.slot] = peer;
  }

  remove(slot: number): void {
    this.#slots[slot] = undefined;
    this.findForemost();
  }

  /** A peer has got pieces. */
  advanced(peer: SuggestedPeer): void {
    this.foremost = Math.max(this.foremost, peer.count);
    this.foremostOwn = Math.max(this.foremostOwn, peer.ownCount);
  }

  /** The foremost peer may be gone, or complete. */
  findForemost(): void {
    this.foremost = 0;
    this.foremostOwn = 0;
    for (const peer of this.#slots) if (peer !== undefined && !peer.complete) this.advanced(peer);
  }

  /** Finds out who is behind by so many pieces, and what is usual among the others. */
  compare(behindBy: number): void {
    this.openBehind = 0;
    this.inFront = 0;
    for (const peer of this.#slots) {
      if (peer === undefined) continue;
      peer.behind = peer.count + behindBy < this.foremost;
      if (peer.behind) this.openBehind += peer.open;
      else if (!peer.complete) this.inFront++;
    }
    this.usualTurnaroundMs = this.#usual(turnaroundOf);
    this.usualSpreadMs = this.#usual(spreadOf);
  }

  /** Whether a peer takes `factor` times as long as is usual to get pieces, or to pass them on. */
  isSlow(peer: SuggestedPeer, nowMs: number, factor: number): boolean {
    const waitsMs = peer.open > 0 ? nowMs - peer.openedAtMs(0) : 0;
    const slowest = factor * this.usualTurnaroundMs;
    if (slowest > 0 && Math.max(peer.turnaroundMs, waitsMs) > slowest) return true;
    return this.usualSpreadMs > 0 && peer.spreadMs > factor * this.usualSpreadMs;
  }

  /** The mean of the faster half of the peers that are in front. */
  #usual(of: (peer: SuggestedPeer) => number): number {
    if (this.#sorted.length < this.#slots.length) this.#sorted = new Float64Array(2 * this.#slots.length);
    let count = 0;
    for (const peer of this.#slots) {
      if (peer === undefined || peer.complete || peer.behind || of(peer) === 0) continue;
      this.#sorted[count++] = of(peer);
    }
    const values = this.#sorted.subarray(0, count).sort();
    const half = (count + 1) >> 1;
    let sum = 0;
    for (let i = 0; i < half; i++) sum += values[i]!;
    return half === 0 ? 0 : sum / half;
  }
}

function turnaroundOf(peer: SuggestedPeer): number {
  return peer.turnaroundMs;
}

function spreadOf(peer: SuggestedPeer): number {
  return peer.spreadMs;
}
