import { CommandBuffer, SUGGEST } from './command-buffer.ts';
import { hasBit, maskOfWord, setBit, wordOfBitfield } from './piece-bits.ts';
import { ROOM, SuggestedPeer } from './suggested-peer.ts';
import { SuggestedPeers } from './suggested-peers.ts';
import { SuggestionBudget } from './suggestion-budget.ts';
import { NO_OWNER, UnseenPieces } from './unseen-pieces.ts';
import { WatchQueue } from './watch-queue.ts';

/**
 * Decides on an origin which piece to suggest to which of its neighbours (BEP 6), so that every piece leaves the origin
 * once, in index order, and goes on from neighbour to neighbour: without sockets, clock or randomness.
 *
 * Peers are slot numbers, used again after they left. What is to be sent is written into {@link commands}. Where a blob
 * has several origins, each suggests its own share of the pieces (index modulo how many they are), and pieces of others
 * only when they are well behind and nobody has them. The rules:
 *
 * - a piece that a neighbour has, or that was suggested already, is not suggested; seeders do not count;
 * - one suggestion a wire is open at first, then two, each until the peer has the piece; more while they do not wait for each other;
 * - all wires together have as many open as the uplink carries in a moment, whoever is next in turn gets the next one;
 * - a peer that is slow to get pieces, or to pass them on, gets one at a time, the next when the last has spread, and
 *   none of the last ones;
 * - a piece that fewer than two peers have some time after it was suggested is suggested to a faster one too;
 * - a peer that came late, far behind the others, gets suggestions only while it gets nothing from others;
 * - the pieces that are handed out keep a bounded distance from what the foremost peer has, so that they spread in order.
 */
export class Suggester {
  /** SUGGEST commands; the caller carries them out and clears them after each event. */
  readonly commands = new CommandBuffer();
  readonly #pieces: number;
  readonly #limits: SuggesterLimits;
  /** Origins of the blob. */
  readonly #of: number;
  readonly #peers = new SuggestedPeers();
  readonly #unseen: UnseenPieces;
  readonly #watched = new WatchQueue();
  readonly #budget = new SuggestionBudget();
  #nowMs: number;
  /** Whether pieces wait for the foremost peer, or for the uplink, and who got one last since they do. */
  #heldBack = false;
  #turn = 0;
  /** When a piece was last seen that another origin handed out. */
  #othersAtMs: number;
  /** Where the own share stood one and two periods of `rescueMs` ago. */
  #frontierBefore = 0;
  #frontierLast = 0;
  #frontierAtMs: number;

  constructor(options: SuggesterOptions) {
    this.#pieces = options.pieces;
    this.#limits = { ...defaultSuggesterLimits, ...options.limits };
    this.#of = options.share.of;
    this.#unseen = new UnseenPieces(options.pieces, options.share);
    this.#nowMs = options.nowMs;
    this.#frontierAtMs = options.nowMs;
    this.#othersAtMs = options.nowMs;
  }

  /** What time it is, in ms with fractions, never backwards. To be called before events. */
  advance(nowMs: number): void {
    this.#nowMs = nowMs;
  }

  /** A wire is there; the peer has nothing until told. */
  peerJoined(slot: number): void {
    this.peerLeft(slot);
    const peer = new SuggestedPeer(slot, this.#pieces);
    this.#peers.add(peer);
    this.#fill(peer);
  }

  peerLeft(slot: number): void {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return;
    while (peer.open > 0) this.#withdraw(peer, 0);
    this.#peers.remove(slot);
    if (!peer.complete) this.#uncount(peer);
  }

  /** The peer has one more piece. */
  peerHas(slot: number, piece: number): void {
    const peer = this.#peers.get(slot);
    if (peer === undefined || peer.complete || piece < 0 || piece >= this.#pieces) return;
    if (hasBit(peer.bits, piece)) return;
    const index = peer.find(piece);
    if (index < 0) peer.fedAtMs = this.#nowMs;
    else this.#returned(peer, index);
    this.#count(peer, piece);
    this.#afterPieces(peer);
  }

  /** The peer has the pieces of a BEP 3 bitfield. */
  peerHasBits(slot: number, bits: Uint8Array): void {
    const peer = this.#peers.get(slot);
    if (peer === undefined || peer.complete) return;
    for (let word = 0; word < peer.bits.length; word++) {
      let added = wordOfBitfield(bits, word) & maskOfWord(word, this.#pieces) & ~peer.bits[word]!;
      while (added !== 0) {
        const bit = Math.clz32(added);
        added &= ~(0x80000000 >>> bit);
        const piece = word * 32 + bit;
        this.#count(peer, piece);
        const index = peer.find(piece);
        if (index >= 0) this.#withdraw(peer, index);
      }
    }
    this.#afterPieces(peer);
  }

  /** The peer has every piece: it is not suggested any. */
  peerHasAll(slot: number): void {
    const peer = this.#peers.get(slot);
    if (peer !== undefined) this.#completed(peer);
  }

  /** Time passes: what is stuck is suggested to others. To be called every 50 to 200 ms, after {@link advance}. */
  tick(): void {
    if (this.#nowMs - this.#frontierAtMs >= this.#limits.rescueMs) {
      this.#frontierAtMs = this.#nowMs;
      this.#frontierBefore = this.#frontierLast;
      this.#frontierLast = this.#unseen.frontier;
    }
    this.#peers.compare(Math.max(this.#limits.behindMin, this.#pieces >> 4));
    this.#suggestAgain();
    for (let slot = 0; slot < this.#peers.slots; slot++) {
      const peer = this.#peers.get(slot);
      if (peer === undefined) continue;
      while (peer.open > 0 && this.#nowMs - peer.openedAtMs(0) > this.#limits.forgetMs) this.#withdraw(peer, 0);
      if (!this.#heldBack) this.#fill(peer);
    }
    if (this.#heldBack) this.#fillInTurn();
  }

  /** A suggested piece has reached its peer. */
  #returned(peer: SuggestedPeer, index: number): void {
    const tookMs = this.#nowMs - peer.openedAtMs(index);
    peer.onTurnaround(tookMs, this.#limits);
    this.#budget.onTurnaround(tookMs, this.#nowMs);
    this.#close(peer, index);
  }

  /** A suggestion is not open any more. */
  #close(peer: SuggestedPeer, index: number): void {
    peer.removeAt(index);
    this.#budget.open--;
    if (peer.behind) this.#peers.openBehind--;
  }

  #count(peer: SuggestedPeer, piece: number): void {
    setBit(peer.bits, piece);
    peer.count++;
    if (this.#unseen.isOwn(piece)) peer.ownCount++;
    else if (this.#unseen.isUnseen(piece)) this.#othersAtMs = this.#nowMs;
    this.#unseen.increase(piece);
    if (this.#unseen.copies(piece) !== 2) return;
    const owner = this.#peers.get(this.#unseen.owner(piece));
    if (owner === undefined) return;
    owner.onSpread(this.#nowMs - this.#unseen.ownedAtMs(piece));
    this.#disown(piece);
    if (owner !== peer) this.#fill(owner);
  }

  #uncount(peer: SuggestedPeer): void {
    for (let word = 0; word < peer.bits.length; word++) {
      for (let left = peer.bits[word]!; left !== 0; ) {
        const bit = Math.clz32(left);
        left &= ~(0x80000000 >>> bit);
        const piece = word * 32 + bit;
        if (this.#unseen.owner(piece) === peer.slot) this.#unseen.setOwner(piece, NO_OWNER, this.#nowMs);
        this.#unseen.decrease(piece);
      }
    }
  }

  #afterPieces(peer: SuggestedPeer): void {
    if (peer.count === this.#pieces) {
      this.#completed(peer);
      return;
    }
    this.#peers.advanced(peer);
    // While pieces are held back, whoever gets one first would get them all.
    if (this.#heldBack) this.#fillInTurn();
    else this.#fill(peer);
  }

  /** There is room for more pieces to be handed out: one for each peer, beginning after the one that was last. */
  #fillInTurn(): void {
    this.#heldBack = false;
    for (let i = 0; i < this.#peers.slots && !this.#heldBack; i++) {
      this.#turn = (this.#turn + 1) % this.#peers.slots;
      const peer = this.#peers.get(this.#turn);
      if (peer !== undefined) this.#fill(peer, 1);
    }
  }

  #completed(peer: SuggestedPeer): void {
    if (peer.complete) return;
    peer.complete = true;
    while (peer.open > 0) this.#withdraw(peer, 0);
    this.#uncount(peer);
    this.#peers.findForemost();
  }

  /** A suggestion is not counted on any more. */
  #withdraw(peer: SuggestedPeer, index: number): void {
    const piece = peer.pieceAt(index);
    this.#close(peer, index);
    if (this.#unseen.owner(piece) !== peer.slot) return;
    this.#disown(piece);
    this.#unseen.reopen(piece);
  }

  #disown(piece: number): void {
    const owner = this.#peers.get(this.#unseen.owner(piece));
    if (owner !== undefined) owner.unspread--;
    this.#unseen.setOwner(piece, NO_OWNER, this.#nowMs);
  }

  #fill(peer: SuggestedPeer, most = ROOM): void {
    for (let i = 0; i < most && !peer.complete && peer.open < this.#limitOf(peer); i++) {
      const piece = this.#pick();
      if (piece < 0) return;
      this.#watched.push(piece, this.#nowMs);
      this.#suggest(peer, piece);
    }
  }

  #suggest(peer: SuggestedPeer, piece: number): void {
    peer.add(piece, this.#nowMs);
    this.#budget.open++;
    peer.suggestedAtMs = this.#nowMs;
    if (peer.behind) this.#peers.openBehind++;
    peer.unspread++;
    this.#unseen.setOwner(piece, peer.slot, this.#nowMs);
    this.commands.push(SUGGEST, peer.slot, piece);
  }

  /** How many suggestions may be open to a peer now. */
  #limitOf(peer: SuggestedPeer): number {
    const fedBehind = peer.behind && this.#isFed(peer);
    if (!fedBehind && !this.#peers.isSlow(peer, this.#nowMs, this.#limits.slowFactor)) return peer.limit;
    if (this.#nearsEnd() && this.#peers.inFront > 1) return 0;
    if (fedBehind) return this.#peers.openBehind < this.#limits.behind ? 1 : 0;
    return peer.unspread === 0 || this.#nowMs - peer.suggestedAtMs > this.#patienceMs() ? 1 : 0;
  }

  /** Whether all pieces will have been handed out before a slow peer has passed one on: everybody would wait for that. */
  #nearsEnd(): boolean {
    const perPeriod = this.#frontierLast - this.#frontierBefore;
    const periods = (2 * this.#patienceMs()) / this.#limits.rescueMs;
    return this.#pieces - this.#unseen.frontier < perPeriod * periods;
  }

  /** After so long a suggested piece should have reached two peers. */
  #patienceMs(): number {
    return Math.max(this.#limits.againMs, 4 * this.#peers.usualTurnaroundMs);
  }

  #isFed(peer: SuggestedPeer): boolean {
    return this.#nowMs - peer.fedAtMs < Math.max(this.#limits.fedMs, 3 * peer.turnaroundMs);
  }

  /** The next piece that nobody has and nobody was told of, -1 for none. */
  #pick(): number {
    // Pieces of others that should be around by now come first: readers wait for them.
    const rescued = this.#unseen.nextOther(this.#rescueEnd());
    if (rescued >= 0) return rescued;
    const own = this.#unseen.nextOwn();
    const ahead = own < 0 ? 0 : this.#unseen.ownBefore(own) - this.#peers.foremostOwn;
    this.#heldBack = ahead > this.#aheadMost() || this.#budget.spent;
    if (this.#heldBack) return -1;
    return own >= 0 ? own : this.#unseen.farOther(this.#limits.rescuePieces);
  }

  /** Pieces of the own share that may be handed out ahead of the foremost peer: as many as all wires take, at least. */
  #aheadMost(): number {
    const together = Math.max(this.#limits.aheadMin, this.#pieces >> 4);
    return Math.max(together / this.#of, this.#limits.usual * this.#peers.inFront);
  }

  /** Pieces of other origins before this one should have been seen by now. */
  #rescueEnd(): number {
    // Nothing comes of others at all: they are gone, or not known here.
    if (this.#nowMs - this.#othersAtMs > this.#limits.rescueMs) return this.#unseen.frontier;
    return this.#frontierBefore < this.#pieces ? this.#frontierBefore - this.#limits.rescuePieces : this.#pieces;
  }

  /** What was suggested some time ago and is not passed on is suggested to a faster peer as well. */
  #suggestAgain(): void {
    const patienceMs = this.#patienceMs();
    while (this.#watched.count > 0 && this.#nowMs - this.#watched.firstAtMs() >= patienceMs) {
      const piece = this.#watched.shift();
      const owner = this.#unseen.owner(piece);
      if (owner === NO_OWNER) continue;
      const faster = this.#fastestWithout(piece);
      if (faster !== undefined) {
        this.#peers.get(owner)?.onSpread(this.#nowMs - this.#unseen.ownedAtMs(piece));
        this.#disown(piece);
        this.#suggest(faster, piece);
      } else if (this.#unseen.copies(piece) > 0) this.#disown(piece);
      if (this.#unseen.owner(piece) !== NO_OWNER) this.#watched.push(piece, this.#nowMs);
    }
  }

  /** The fastest peer that neither has a piece nor was told of it. */
  #fastestWithout(piece: number): SuggestedPeer | undefined {
    let fastest: SuggestedPeer | undefined;
    for (let slot = 0; slot < this.#peers.slots; slot++) {
      const peer = this.#peers.get(slot);
      if (peer === undefined || peer.complete || peer.isFull || hasBit(peer.bits, piece)) continue;
      if (peer.find(piece) >= 0 || this.#peers.isSlow(peer, this.#nowMs, this.#limits.slowFactor)) continue;
      // Those far behind do not want it yet; that it waits for them does not make its owner slow.
      if (this.#unseen.copies(piece) > 0 && peer.behind) continue;
      if (fastest === undefined || peer.spreadMs < fastest.spreadMs) fastest = peer;
    }
    return fastest;
  }
}

/** What a suggester starts from. */
export interface SuggesterOptions {
  readonly pieces: number;
  /** Which of the blob's origins this is, and how many there are. */
  readonly share: { readonly index: number; readonly of: number };
  readonly nowMs: number;
  readonly limits?: Partial<SuggesterLimits>;
}

/** Numbers that shape what an origin suggests. */
export interface SuggesterLimits {
  /** Suggestions open on one wire. */
  readonly usual: number;
  /** Suggestions open on one wire whose way takes more. */
  readonly most: number;
  /** A peer is slow when it takes this many times as long as others. */
  readonly slowFactor: number;
  /** A piece that fewer than two peers have after this time is suggested again. */
  readonly againMs: number;
  /** A suggestion that was not heeded for so long is not counted on. */
  readonly forgetMs: number;
  /** A peer that has so many pieces less than the foremost is behind; a sixteenth of the blob when that is more. */
  readonly behindMin: number;
  /** Suggestions open to peers that are behind and have others to take from, to all of them together. */
  readonly behind: number;
  /** A peer that got a piece from others within this time has somebody to take from. */
  readonly fedMs: number;
  /**
   * Pieces are handed out so far ahead of what the foremost peer has, by all origins together; a sixteenth of the blob when
   * that is more, and in any case what all wires take.
   */
  readonly aheadMin: number;
  /** Pieces of other origins have to be behind by so many... */
  readonly rescuePieces: number;
  /** ...and by what was suggested in this time, before they are suggested here. */
  readonly rescueMs: number;
}

const defaultSuggesterLimits: SuggesterLimits = {
  usual: 2,
  most: 48,
  slowFactor: 2.5,
  againMs: 800,
  forgetMs: 10_000,
  behindMin: 32,
  behind: 1,
  fedMs: 500,
  aheadMin: 64,
  rescuePieces: 32,
  rescueMs: 1_000,
};
