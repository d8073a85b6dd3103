import type { DispatcherLimits } from './dispatcher-limits.ts';
import type { DownloadPace } from './download-pace.ts';
import type { FlightTable } from './flight-table.ts';
import type { PeerTable } from './peer-table.ts';
import { hasBit, type PieceBits } from './piece-bits.ts';
import type { PiecePicker } from './piece-picker.ts';
import type { SwarmPeer } from './swarm-peer.ts';

/** The rules of a {@link Dispatcher}: how many pieces are asked of a peer at once, and of which kind of peer what. */
export class RequestRules {
  readonly #peers: PeerTable;
  readonly #flights: FlightTable;
  readonly #free: PieceBits;
  readonly #picker: PiecePicker;
  readonly #pace: DownloadPace;
  readonly #limits: DispatcherLimits;
  /** A peer with more pieces than this has an uplink that others need more. */
  #precious = Number.POSITIVE_INFINITY;

  constructor(deps: {
    peers: PeerTable;
    flights: FlightTable;
    free: PieceBits;
    picker: PiecePicker;
    pace: DownloadPace;
    limits: DispatcherLimits;
  }) {
    this.#peers = deps.peers;
    this.#flights = deps.flights;
    this.#free = deps.free;
    this.#picker = deps.picker;
    this.#pace = deps.pace;
    this.#limits = deps.limits;
  }

  /**
   * Looks at how far the neighbours are. One that has much more than the neighbour that is just ahead of this host has an
   * uplink that others need more: late comers so take from those that came just before them, and each uplink is left to
   * those who can use no other. In a swarm where everybody began at once there is no such peer.
   *
   * @param own pieces that this host has
   */
  lookAround(own: number): void {
    const { pieces } = this.#peers;
    const nearest = this.#peers.fewestAbove(own + (pieces >> 5));
    this.#precious = nearest + Math.max(this.#limits.windowMin, pieces >> 4);
  }

  /** Pieces that may be outstanding at a peer. Of an origin as many as it suggests: it knows what its uplink takes. */
  limitOf(peer: SwarmPeer): number {
    if (peer.suggestions.count > 0) return this.#limits.outstanding;
    const spared = peer.count > this.#precious && !peer.origin && this.#flights.count >= this.#pace.enough;
    return spared ? 0 : peer.limit;
  }

  /**
   * The next piece to ask of a peer, -1 for none.
   *
   * @param endgamePatienceMs in the endgame a piece that takes longer is asked for twice; 0 when it is not the endgame
   */
  pick(peer: SwarmPeer, nowMs: number, endgamePatienceMs: number): number {
    if (endgamePatienceMs > 0) return this.#pickLate(peer, nowMs - endgamePatienceMs);
    return peer.seeder ? this.#pickFromSeeder(peer, nowMs) : this.#picker.pickFromLeecher(peer);
  }

  #pickFromSeeder(peer: SwarmPeer, nowMs: number): number {
    const idle = this.#flights.count < this.#limits.idle;
    if (peer.origin && !idle && this.#peers.otherSeeders() > 0) return -1;
    const suggested = peer.origin ? this.#pickSuggested(peer) : -1;
    if (suggested >= 0) return suggested;
    const overdue = this.#picker.pickOverdue(peer, nowMs);
    if (overdue >= 0) return overdue;
    if (peer.origin && this.#awaitsSuggestion(peer, nowMs, idle)) return -1;
    const mine = this.#picker.pickMine(peer);
    if (mine >= 0) return mine;
    const seen = peer.origin ? -1 : this.#picker.pickSeen(peer);
    if (seen >= 0) return seen;
    // With a seeder for each of them, neighbours need not share one out.
    if (!peer.origin && this.#peers.otherSeeders() > this.#peers.leechers) return this.#picker.pickFromSeeder(peer);
    // What others own they are likely to be fetching: asking for it too would cost the seeder a second copy.
    return idle ? this.#picker.pickFromSeeder(peer) : -1;
  }

  /**
   * Whether an origin is to be asked for nothing but what it suggests: from its unchoke on for a moment; once it has
   * suggested something, while others send, and for a moment after.
   */
  #awaitsSuggestion(peer: SwarmPeer, nowMs: number, idle: boolean): boolean {
    const never = peer.suggestedAtMs === Number.NEGATIVE_INFINITY;
    if (never) return nowMs - peer.unchokedAtMs < this.#limits.firstSuggestionMs;
    if (!idle) return true;
    if (peer.fellSilent) return false;
    if (peer.outstanding > 0) return true;
    peer.fellSilent = nowMs - Math.max(peer.idleSinceMs, peer.suggestedAtMs) >= this.#limits.nextSuggestionMs;
    return !peer.fellSilent;
  }

  /** What an origin suggested and nobody brings. */
  #pickSuggested(peer: SwarmPeer): number {
    for (let piece = peer.suggestions.shift(); piece >= 0; piece = peer.suggestions.shift()) {
      if (hasBit(this.#free, piece) && hasBit(peer.bits, piece)) return piece;
    }
    return -1;
  }

  /** The piece that has been on its way longest, since before `sinceMs`, and was asked of one other peer. */
  #pickLate(peer: SwarmPeer, sinceMs: number): number {
    let oldest = -1;
    let since = sinceMs;
    for (let index = 0; index < this.#flights.count; index++) {
      if (this.#flights.sinceMsAt(index) > since || this.#flights.isReceivedAt(index)) continue;
      if (this.#flights.secondAt(index) >= 0 || this.#flights.firstAt(index) === peer.slot) continue;
      if (!hasBit(peer.bits, this.#flights.pieceAt(index))) continue;
      oldest = this.#flights.pieceAt(index);
      since = this.#flights.sinceMsAt(index);
    }
    return oldest;
  }
}
