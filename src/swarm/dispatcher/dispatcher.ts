import { CANCEL, CommandBuffer, REQUEST } from './command-buffer.ts';
import { type DispatcherLimits, defaultDispatcherLimits } from './dispatcher-limits.ts';
import { DownloadPace } from './download-pace.ts';
import { FlightTable } from './flight-table.ts';
import { PeerTable } from './peer-table.ts';
import { clearBit, fillBits, hasBit, makeBits, type PieceBits, setBit } from './piece-bits.ts';
import { PiecePicker } from './piece-picker.ts';
import { RequestRules } from './request-rules.ts';
import type { SwarmPeer } from './swarm-peer.ts';

/**
 * Decides which whole piece to ask of which peer: the heart of a download, without sockets, clock or randomness of its
 * own, so that the same code runs in production, in tests and in a simulator.
 *
 * Events come in as method calls with small integers for peers (slots, used again) and pieces; what is to be done is
 * written into {@link commands}. No call allocates once a swarm has settled, and none looks at every piece but those that
 * bring or take a peer's whole bitfield. The rules, measured against others in a swarm on shaped links:
 *
 * - one piece is fetched from one peer; no piece that is on its way is asked for elsewhere, but in the endgame;
 * - from peers that are not seeders: what a reader waits for first; in its window what most neighbours have already in
 *   order; else the rarest, counting only peers that are not seeders, ties broken at random;
 * - from origins: what they suggest, in that order, while they suggest;
 * - from other seeders: pieces that no other neighbour has and of which this peer is the rendezvous owner among its
 *   neighbours, in index order, so that neighbours ask for distinct pieces; pieces that others own only while nothing
 *   else is on its way, or when a reader has waited for them too long;
 * - endgame, when every missing piece is on its way: a second request for one that takes long, and a cancel for the slower.
 */
export class Dispatcher {
  /** What is to be done; the caller carries it out and clears it after each event. */
  readonly commands = new CommandBuffer();
  readonly #pieces: number;
  readonly #random: () => number;
  readonly #limits: DispatcherLimits;
  /** Neither verified nor on its way. */
  readonly #free: PieceBits;
  readonly #peers: PeerTable;
  readonly #flights: FlightTable;
  readonly #picker: PiecePicker;
  readonly #pace: DownloadPace;
  readonly #rules: RequestRules;
  #missing: number;
  #nowMs: number;
  #pieceMs = 200;
  /** Usual time between two pieces on one wire. */
  #intervalMs = 0;

  constructor(options: DispatcherOptions) {
    const { pieces, random } = options;
    this.#pieces = pieces;
    this.#random = random;
    this.#limits = { ...defaultDispatcherLimits, ...options.limits };
    this.#free = makeBits(pieces);
    fillBits(this.#free, pieces);
    this.#peers = new PeerTable(pieces, options.self);
    this.#flights = new FlightTable(pieces);
    this.#picker = new PiecePicker({ peers: this.#peers, free: this.#free, random, limits: this.#limits });
    this.#pace = new DownloadPace(options.nowMs);
    this.#rules = new RequestRules({
      peers: this.#peers,
      flights: this.#flights,
      free: this.#free,
      picker: this.#picker,
      pace: this.#pace,
      limits: this.#limits,
    });
    this.#nowMs = options.nowMs;
    this.#missing = pieces;
    for (let piece = 0; piece < pieces; piece++) {
      if (!options.has(piece)) continue;
      this.#take(piece);
      this.#missing--;
    }
  }

  /** Pieces that are not verified yet. */
  get missing(): number {
    return this.#missing;
  }

  /** Whether every missing piece is on its way, so that a second request for one is allowed. */
  get endgame(): boolean {
    return this.#missing > 0 && this.#flights.count === this.#missing;
  }

  /** What time it is, in ms with fractions, never backwards. To be called before events. */
  advance(nowMs: number): void {
    this.#nowMs = nowMs;
  }

  /**
   * A wire is there; the peer has nothing until told.
   *
   * @param peer a small number that no other peer has now
   * @param seed a number made of its peer id ({@link seedOfPeer}), the same at every neighbour
   * @param origin whether it is an origin: those are spared while other seeders are there, and may suggest pieces
   */
  peerJoined(peer: number, seed: number, origin: boolean): void {
    this.#peers.add(peer, seed, origin, this.#nowMs);
    this.#picker.restart(0);
  }

  peerLeft(slot: number): void {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return;
    for (let index = this.#flights.count - 1; index >= 0; index--) {
      if (this.#flights.firstAt(index) !== slot && this.#flights.secondAt(index) !== slot) continue;
      if (this.#flights.awaits(index, slot)) this.#release(index, slot);
      else this.#flights.forget(index, slot);
    }
    this.#peers.remove(slot);
    this.#picker.restart(0);
    this.#fillAll();
  }

  /** The peer has one more piece. */
  peerHas(slot: number, piece: number): void {
    const peer = this.#peers.get(slot);
    if (peer === undefined || piece < 0 || piece >= this.#pieces) return;
    if (!this.#peers.addPiece(peer, piece) || !hasBit(this.#free, piece)) return;
    peer.lowWord = Math.min(peer.lowWord, piece >>> 5);
    this.#fill(peer);
  }

  /** The peer has the pieces of a BEP 3 bitfield. */
  peerHasBits(slot: number, bits: Uint8Array): void {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return;
    this.#peers.addBits(peer, bits);
    peer.lowWord = 0;
    this.#fill(peer);
  }

  /** The peer has every piece. */
  peerHasAll(slot: number): void {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return;
    this.#peers.addAll(peer);
    this.#picker.restart(0);
    peer.lowWord = 0;
    this.#fill(peer);
  }

  peerUnchoked(slot: number): void {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return;
    peer.unchoked = true;
    peer.unchokedAtMs = this.#nowMs;
    this.#fill(peer);
  }

  /** The peer takes no requests for now; what was asked of it is asked of others. */
  peerChoked(slot: number): void {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return;
    peer.unchoked = false;
    this.#dropRequests(peer, false);
  }

  /** An origin suggests a piece (BEP 6). From others it is not heeded. */
  peerSuggested(slot: number, piece: number): void {
    const peer = this.#peers.get(slot);
    if (peer === undefined || !peer.origin || piece < 0 || piece >= this.#pieces) return;
    peer.suggestedAtMs = this.#nowMs;
    peer.fellSilent = false;
    if (!hasBit(this.#free, piece)) return;
    peer.suggestions.push(piece);
    this.#fill(peer);
  }

  /** Bytes of a piece came in: the peer is alive. */
  progressed(slot: number): void {
    this.#peers.get(slot)?.onProgress(this.#nowMs);
  }

  /**
   * All bytes of a piece came in: its wire is free for the next request. The piece is not asked for elsewhere until
   * {@link pieceVerified} or {@link requestFailed} tells how it ended.
   */
  pieceReceived(slot: number, piece: number): void {
    const peer = this.#peers.get(slot);
    const index = this.#flights.find(piece);
    if (peer === undefined || index < 0 || !this.#flights.awaits(index, slot)) return;
    this.#pieceMs += (this.#nowMs - this.#flights.sinceMsAt(index) - this.#pieceMs) / 8;
    this.#flights.markReceived(index, slot);
    this.#measure(peer);
    this.#fill(peer);
  }

  /** A piece is verified and stored. `from` is who sent it; -1 for another source, or a peer that has left. */
  pieceVerified(piece: number, from = -1): void {
    const index = this.#flights.find(piece);
    if (index < 0) {
      if (!hasBit(this.#free, piece)) return;
      this.#take(piece);
      this.#missing--;
      return;
    }
    const first = this.#flights.awaits(index, this.#flights.firstAt(index)) ? this.#flights.firstAt(index) : -1;
    const second = this.#flights.awaits(index, this.#flights.secondAt(index)) ? this.#flights.secondAt(index) : -1;
    this.#flights.removeAt(index);
    this.#missing--;
    if (first >= 0) this.#endRequest(first, piece, from);
    if (second >= 0) this.#endRequest(second, piece, from);
  }

  /**
   * A request came to nothing: rejected, cancelled, closed, or its bytes did not match. The piece is free again.
   *
   * @param slot -1 when its bytes did not match and the peer has left meanwhile
   */
  requestFailed(slot: number, piece: number): void {
    const index = this.#flights.find(piece);
    if (index < 0) return;
    if (this.#flights.firstAt(index) !== slot && this.#flights.secondAt(index) !== slot) return;
    const peer = this.#peers.get(slot);
    const awaited = this.#flights.awaits(index, slot);
    this.#release(index, slot);
    if (peer === undefined) return;
    if (awaited) peer.onEnd(this.#nowMs);
    peer.refuse(piece, this.#nowMs);
  }

  /** A reader waits for `next` and goes on to `last`. */
  readerMoved(reader: number, next: number, last: number): void {
    if (this.#picker.readerMoved(reader, next, last, this.#nowMs)) this.#fillAll();
  }

  readerClosed(reader: number): void {
    this.#picker.readerClosed(reader);
  }

  /** Requests that hang are given up, the endgame goes on. To be called every 50 to 200 ms, after {@link advance}. */
  tick(): void {
    this.#pace.tick(this.#nowMs, this.#flights.count);
    this.#picker.restart(0);
    this.#rules.lookAround(this.#pieces - this.#missing);
    for (let slot = 0; slot < this.#peers.slots; slot++) {
      const peer = this.#peers.get(slot);
      if (peer === undefined) continue;
      peer.forgive(this.#nowMs - this.#limits.refusalMs);
      if (peer.outstanding > 0 && this.#nowMs - peer.progressAtMs > this.#limits.silenceMs) this.#giveUpOn(peer);
    }
    this.#fillAll();
  }

  /** Whether a piece is on its way from a peer that answers: asked for not long ago, and bytes came in a moment ago. */
  isArriving(piece: number): boolean {
    const index = this.#flights.find(piece);
    if (index < 0) return false;
    if (this.#flights.isReceivedAt(index)) return true;
    if (this.#nowMs - this.#flights.sinceMsAt(index) > this.#limits.arrivalMs) return false;
    return this.#answers(this.#flights.firstAt(index)) || this.#answers(this.#flights.secondAt(index));
  }

  #answers(slot: number): boolean {
    const peer = this.#peers.get(slot);
    return peer !== undefined && this.#nowMs - peer.progressAtMs <= this.#limits.arrivalMs / 2;
  }

  #giveUpOn(peer: SwarmPeer): void {
    this.#dropRequests(peer, true);
    // One request at a time until it proves itself again: it may be slow rather than dead.
    peer.limit = 1;
    peer.progressAtMs = this.#nowMs;
  }

  /** A whole piece came in: how fast is this wire, compared with the others? */
  #measure(peer: SwarmPeer): void {
    this.#pace.onPiece();
    peer.onPiece(this.#nowMs, this.#limits.outstanding);
    this.#intervalMs += (peer.intervalMs - this.#intervalMs) / (this.#intervalMs === 0 ? 1 : 32);
    // What is asked of a slow peer others cannot ask elsewhere meanwhile.
    if (peer.intervalMs > this.#limits.slowFactor * this.#intervalMs) peer.limit = 1;
  }

  /** Frees all that a peer was asked for. With `cancel` it is told, and not asked for the same again at once. */
  #dropRequests(peer: SwarmPeer, cancel: boolean): void {
    for (let index = this.#flights.count - 1; index >= 0; index--) {
      if (!this.#flights.awaits(index, peer.slot)) continue;
      const piece = this.#flights.pieceAt(index);
      this.#release(index, peer.slot);
      peer.onEnd(this.#nowMs);
      if (!cancel) continue;
      this.commands.push(CANCEL, peer.slot, piece);
      peer.refuse(piece, this.#nowMs);
    }
  }

  #fillAll(): void {
    const { slots } = this.#peers;
    // From a random place on, so that no wire is always the first to choose.
    const start = Math.floor(this.#random() * slots);
    for (let i = 0; i < slots; i++) {
      const peer = this.#peers.get((start + i) % slots);
      if (peer !== undefined) this.#fill(peer);
    }
  }

  #fill(peer: SwarmPeer): void {
    while (peer.unchoked && peer.outstanding < this.#rules.limitOf(peer) && this.#missing > 0 && !peer.refusing) {
      const piece = this.#rules.pick(peer, this.#nowMs, this.endgame ? this.#endgamePatienceMs() : 0);
      if (piece < 0) return;
      this.#request(peer, piece);
    }
  }

  #request(peer: SwarmPeer, piece: number): void {
    peer.onRequest(this.#nowMs);
    const index = this.#flights.find(piece);
    if (index >= 0) this.#flights.addSecond(index, peer.slot);
    else {
      this.#take(piece);
      this.#flights.add(piece, peer.slot, this.#nowMs);
    }
    this.commands.push(REQUEST, peer.slot, piece);
  }

  /** A piece is asked for twice when it takes longer than pieces do. */
  #endgamePatienceMs(): number {
    return Math.max(this.#limits.endgamePatienceMs, 4 * this.#pieceMs);
  }

  /** A request whose piece is verified ends; when another was faster, it is cancelled. */
  #endRequest(slot: number, piece: number, from: number): void {
    const peer = this.#peers.get(slot);
    if (peer === undefined) return;
    peer.onEnd(this.#nowMs);
    if (slot !== from) this.commands.push(CANCEL, slot, piece);
    this.#fill(peer);
  }

  /** Takes a piece out of those that may be asked for. */
  #take(piece: number): void {
    clearBit(this.#free, piece);
    this.#peers.rarity.remove(piece);
  }

  /** One peer does not bring a piece; it is free again when no other does. */
  #release(index: number, slot: number): void {
    const piece = this.#flights.pieceAt(index);
    if (!this.#flights.release(index, slot)) return;
    setBit(this.#free, piece);
    this.#peers.rarity.insert(piece);
    this.#picker.restart(piece);
    for (let other = 0; other < this.#peers.slots; other++) {
      const peer = this.#peers.get(other);
      if (peer !== undefined) peer.lowWord = Math.min(peer.lowWord, piece >>> 5);
    }
  }
}

/** What a dispatcher starts from. */
export interface DispatcherOptions {
  readonly pieces: number;
  /** The number made of this host's own peer id, as neighbours compute it. */
  readonly self: number;
  readonly has: (piece: number) => boolean;
  /** 0 to 1, handed in so that runs can be repeated. */
  readonly random: () => number;
  readonly nowMs: number;
  readonly limits?: Partial<DispatcherLimits>;
}
