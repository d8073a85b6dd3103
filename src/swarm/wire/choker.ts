/** A peer whose state changes. */
export interface ChokeChange {
  readonly peer: number;
  readonly choked: boolean;
}

/** Peers unchoked at a time while the uplink is full, the optimistic one among them. */
export const MAX_UNCHOKED = 4;

/** How many rounds an optimistic unchoke lasts: 30 s in rounds of 10 s (BEP 3). */
const OPTIMISTIC_ROUNDS = 3;

/**
 * Tit for tat for foreign clients (BEP 3): while the uplink is full, those that send most to us are served, and one more
 * whoever it is, so that newcomers can show what they do. While it is not full, everybody is served.
 *
 * Pure: a call a round (10 s), peers by number, randomness handed in.
 */
export class Choker {
  readonly #random: () => number;
  readonly #peers = new Map<number, ForeignPeer>();
  #full = false;
  #optimistic: number | undefined;
  #roundsLeft = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  get size(): number {
    return this.#peers.size;
  }

  /** A peer comes; it is choked until it shows interest. */
  join(peer: number): void {
    this.#peers.set(peer, { interested: false, choked: true, receivedBytes: 0 });
  }

  leave(peer: number): void {
    this.#peers.delete(peer);
    if (this.#optimistic === peer) this.#optimistic = undefined;
  }

  /** Bytes that came from a peer count for it until the next round. */
  received(peer: number, bytes: number): void {
    const state = this.#peers.get(peer);
    if (state !== undefined) state.receivedBytes += bytes;
  }

  /** A peer wants something, or nothing any more. @returns whether it is unchoked by that */
  setInterested(peer: number, interested: boolean): boolean {
    const state = this.#peers.get(peer);
    if (state === undefined) return false;
    state.interested = interested;
    if (!interested || !state.choked) return false;
    if (this.#full && this.#unchoked() >= MAX_UNCHOKED) return false;
    state.choked = false;
    return true;
  }

  /** Ten seconds have passed. @returns who is choked or unchoked now and was not before */
  round(full: boolean): readonly ChokeChange[] {
    this.#full = full;
    const chosen = full ? this.#choose() : undefined;
    const changes: ChokeChange[] = [];
    for (const [peer, state] of this.#peers) {
      const choked = chosen === undefined ? !state.interested : !chosen.has(peer);
      // Whoever wants nothing is left as it is while there is room: choking it would only cost messages.
      if (choked !== state.choked && !(chosen === undefined && choked)) {
        state.choked = choked;
        changes.push({ peer, choked });
      }
      state.receivedBytes = 0;
    }
    return changes;
  }

  #choose(): ReadonlySet<number> {
    const wanting = [...this.#peers].filter(([, state]) => state.interested);
    const best = wanting.toSorted(([, a], [, b]) => b.receivedBytes - a.receivedBytes).map(([peer]) => peer);
    const chosen = new Set(best.slice(0, MAX_UNCHOKED - 1));
    const optimistic = this.#chooseOptimistic(best.slice(MAX_UNCHOKED - 1));
    if (optimistic !== undefined) chosen.add(optimistic);
    return chosen;
  }

  /** Keeps the one of the last rounds for its time, unless it is among the best by now. */
  #chooseOptimistic(others: readonly number[]): number | undefined {
    this.#roundsLeft--;
    const kept = this.#optimistic !== undefined && others.includes(this.#optimistic);
    if (kept && this.#roundsLeft > 0) return this.#optimistic;
    this.#optimistic = others[Math.floor(this.#random() * others.length)];
    this.#roundsLeft = OPTIMISTIC_ROUNDS;
    return this.#optimistic;
  }

  #unchoked(): number {
    let count = 0;
    for (const { choked, interested } of this.#peers.values()) if (!choked && interested) count++;
    return count;
  }
}

interface ForeignPeer {
  interested: boolean;
  choked: boolean;
  /** Since the last round. */
  receivedBytes: number;
}
