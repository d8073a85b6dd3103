import { PeerTable, type SwarmPeer } from './peer-table.ts';

/**
 * Decides which whole piece to ask of which peer: the heart of a download, without sockets, clock or randomness of its
 * own, so that the same code runs in production, in tests and in a simulator.
 *
 * Events come in as method calls with small integers for peers and pieces; what is to be done comes out of
 * {@link takeCommands}. The rules, measured against others in a swarm on shaped links:
 *
 * - one piece is fetched from one peer; no piece that is on its way is asked for elsewhere, but in the endgame;
 * - from peers that are not seeders: what a reader waits for first, then the rarest, counting only peers that are not
 *   seeders, ties broken at random, inside a window behind each reader;
 * - from seeders: pieces that no other neighbour has and of which this peer is the rendezvous owner among its neighbours,
 *   in index order, so that neighbours ask for distinct pieces and the swarm gets them in order; pieces that others own
 *   only while nothing else is on its way, or when a reader has waited for them too long;
 * - endgame, when every missing piece is on its way: a second request for one that takes long, and a cancel for the slower.
 */
export class Dispatcher {
  readonly #pieces: number;
  readonly #random: () => number;
  readonly #limits: DispatcherLimits;
  readonly #state: Uint8Array;
  readonly #peers: PeerTable;
  readonly #inFlight = new Map<number, Flight>();
  readonly #readers = new Map<number, Reader>();
  #commands: Command[] = [];
  #missing: number;
  #nowMs: number;
  #pieceMs = 200;

  constructor(options: DispatcherOptions) {
    this.#pieces = options.pieces;
    this.#random = options.random;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#state = new Uint8Array(options.pieces);
    this.#peers = new PeerTable(options.pieces, options.self);
    this.#nowMs = options.nowMs;
    this.#missing = options.pieces;
    for (let piece = 0; piece < options.pieces; piece++) {
      if (options.has(piece)) this.#markVerified(piece);
    }
  }

  /** Pieces that are not verified yet. */
  get missing(): number {
    return this.#missing;
  }

  /** Whether every missing piece is on its way, so that a second request for one is allowed. */
  get endgame(): boolean {
    return this.#missing > 0 && this.#inFlight.size === this.#missing;
  }

  /**
   * A wire is there; the peer has nothing until told.
   *
   * @param seed a number made of its peer id ({@link seedOfPeer}), the same at every neighbour
   * @param origin whether it is an origin: those are spared while other seeders are there
   */
  peerJoined(peer: number, seed: number, origin: boolean): void {
    this.#peers.add(peer, seed, origin, this.#limits.outstanding);
  }

  peerLeft(peer: number): void {
    const gone = this.#peers.remove(peer);
    if (gone === undefined) return;
    for (const piece of gone.outstanding) this.#release(piece, peer);
    this.#fillAll();
  }

  /** The peer has one more piece. */
  peerHas(peer: number, piece: number): void {
    if (piece < 0 || piece >= this.#pieces) return;
    this.#peers.addPiece(peer, piece);
    this.#fill(peer);
  }

  /** The peer has every piece. */
  peerHasAll(peer: number): void {
    this.#peers.addAll(peer);
    this.#fill(peer);
  }

  peerUnchoked(peer: number): void {
    const state = this.#peers.get(peer);
    if (state === undefined) return;
    state.unchoked = true;
    this.#fill(peer);
  }

  /** The peer takes no requests for now; what was asked of it is asked of others. */
  peerChoked(peer: number): void {
    const state = this.#peers.get(peer);
    if (state === undefined) return;
    state.unchoked = false;
    for (const piece of [...state.outstanding]) this.requestFailed(peer, piece);
  }

  /** Bytes of a piece came in: the peer is alive. */
  progressed(peer: number): void {
    const state = this.#peers.get(peer);
    if (state !== undefined) state.progressAtMs = this.#nowMs;
  }

  /** A piece is verified and stored. `peer` is who sent it, `undefined` for another source. */
  pieceVerified(piece: number, peer?: number): void {
    const flight = this.#inFlight.get(piece);
    const wasMissing = this.#markVerified(piece);
    if (flight !== undefined) {
      this.#inFlight.delete(piece);
      for (const other of flight.peers) {
        this.#peers.get(other)?.outstanding.delete(piece);
        if (other !== peer) this.#commands.push({ kind: 'cancel', peer: other, piece });
      }
      if (wasMissing && peer !== undefined) this.#learnPieceTime(this.#nowMs - flight.sinceMs);
    }
    if (peer !== undefined) this.#fill(peer);
    if (flight !== undefined) for (const other of flight.peers) if (other !== peer) this.#fill(other);
  }

  /** A request came to nothing: rejected, cancelled, or its bytes did not match. The piece is free again. */
  requestFailed(peer: number, piece: number): void {
    const state = this.#peers.get(peer);
    if (state?.outstanding.delete(piece) !== true) return;
    this.#release(piece, peer);
    state.refused.add(piece);
  }

  /** A reader waits for `next` and goes on to `last`. */
  readerMoved(reader: number, next: number, last: number): void {
    const known = this.#readers.get(reader);
    // Spread at random: neighbours that wait for the same piece must not all turn to the seeder at the same moment.
    const patienceMs = this.#limits.readerPatienceMs * (0.5 + this.#random());
    if (known?.next !== next) this.#readers.set(reader, { next, last, impatientAtMs: this.#nowMs + patienceMs });
    this.#fillAll();
  }

  readerClosed(reader: number): void {
    this.#readers.delete(reader);
  }

  /** Time passes: requests that hang are given up, the endgame goes on. To be called every 50 to 200 ms. */
  tick(nowMs: number): void {
    this.#nowMs = nowMs;
    for (const peer of this.#peers.all()) {
      if (peer.outstanding.size > 0 && nowMs - peer.progressAtMs > this.#limits.silenceMs) this.#giveUpOn(peer);
      peer.refused.clear();
    }
    this.#fillAll();
  }

  /** What is to be done since the last call. The caller owns the array. */
  takeCommands(): Command[] {
    const commands = this.#commands;
    this.#commands = [];
    return commands;
  }

  /** Whether a piece is on its way from a peer that answers: asked for not long ago, and bytes came in a moment ago. */
  isArriving(piece: number): boolean {
    const flight = this.#inFlight.get(piece);
    if (flight === undefined || this.#nowMs - flight.sinceMs > this.#limits.arrivalMs) return false;
    return flight.peers.some((id) => {
      const peer = this.#peers.get(id);
      return peer !== undefined && this.#nowMs - peer.progressAtMs <= this.#limits.arrivalMs / 2;
    });
  }

  #giveUpOn(peer: SwarmPeer): void {
    for (const piece of [...peer.outstanding]) {
      this.#commands.push({ kind: 'cancel', peer: peer.id, piece });
      this.requestFailed(peer.id, piece);
    }
    // One request at a time until it proves itself again: it may be slow rather than dead.
    peer.limit = 1;
    peer.progressAtMs = this.#nowMs;
  }

  #fillAll(): void {
    for (const peer of this.#peers.inRandomOrder(this.#random)) this.#fill(peer.id);
  }

  #fill(id: number): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    while (peer.unchoked && peer.outstanding.size < peer.limit && this.#missing > 0) {
      const piece = this.#pick(peer);
      if (piece < 0) return;
      this.#request(peer, piece);
    }
  }

  #request(peer: SwarmPeer, piece: number): void {
    if (peer.outstanding.size === 0) peer.progressAtMs = this.#nowMs;
    peer.outstanding.add(piece);
    const flight = this.#inFlight.get(piece);
    if (flight === undefined) this.#inFlight.set(piece, { peers: [peer.id], sinceMs: this.#nowMs });
    else flight.peers.push(peer.id);
    this.#commands.push({ kind: 'request', peer: peer.id, piece });
  }

  /** The next piece to ask of a peer, -1 for none. */
  #pick(peer: SwarmPeer): number {
    if (this.endgame) return this.#pickEndgame(peer);
    return peer.seeder ? this.#pickFromSeeder(peer) : this.#pickFromLeecher(peer);
  }

  #pickFromLeecher(peer: SwarmPeer): number {
    for (const reader of this.#readers.values()) {
      const urgent = this.#firstFree(peer, reader.next, Math.min(reader.next + this.#limits.urgent, reader.last + 1));
      if (urgent >= 0) return urgent;
    }
    for (const reader of this.#readers.values()) {
      const rarest = this.#rarest(peer, reader.next, Math.min(reader.next + this.#window(), reader.last + 1));
      if (rarest >= 0) return rarest;
    }
    return this.#rarest(peer, 0, this.#pieces);
  }

  #pickFromSeeder(peer: SwarmPeer): number {
    if (peer.origin && this.#peers.hasOtherSeeder() && this.#inFlight.size >= this.#limits.idle) return -1;
    for (const reader of this.#readers.values()) {
      if (this.#nowMs < reader.impatientAtMs) continue;
      const overdue = this.#firstFree(peer, reader.next, Math.min(reader.next + this.#limits.urgent, reader.last + 1));
      if (overdue >= 0) return overdue;
    }
    for (const reader of this.#readers.values()) {
      const mine = this.#firstUnseen(peer, reader.next, reader.last + 1, true);
      if (mine >= 0) return mine;
    }
    const mine = this.#firstUnseen(peer, 0, this.#pieces, true);
    if (mine >= 0) return mine;
    // What others own they are likely to be fetching: asking for it too would cost the seeder a second copy.
    if (this.#inFlight.size >= this.#limits.idle) return -1;
    const next = this.#earliestReader();
    const waited = this.#firstFree(peer, next, Math.min(next + this.#limits.urgent, this.#pieces));
    if (waited >= 0) return waited;
    const unseen = this.#firstUnseen(peer, 0, this.#pieces, false);
    return unseen >= 0 ? unseen : this.#rarest(peer, 0, this.#pieces);
  }

  /** A second request for the piece that has been on its way longest, when it takes longer than pieces do. */
  #pickEndgame(peer: SwarmPeer): number {
    const patienceMs = Math.max(this.#limits.endgamePatienceMs, 4 * this.#pieceMs);
    let oldest = -1;
    let since = this.#nowMs - patienceMs;
    for (const [piece, flight] of this.#inFlight) {
      if (flight.peers.length >= 2 || flight.peers.includes(peer.id) || flight.sinceMs > since) continue;
      if (!peer.has(piece) || peer.refused.has(piece)) continue;
      oldest = piece;
      since = flight.sinceMs;
    }
    return oldest;
  }

  #firstFree(peer: SwarmPeer, from: number, to: number): number {
    for (let piece = from; piece < to; piece++) {
      if (this.#isFree(peer, piece)) return piece;
    }
    return -1;
  }

  /** The first free piece that no neighbour but seeders has; with `mine` only of those that this peer owns. */
  #firstUnseen(peer: SwarmPeer, from: number, to: number, mine: boolean): number {
    for (let piece = from; piece < to; piece++) {
      if (this.#peers.copies(piece) > 0 || (mine && !this.#peers.isMine(piece))) continue;
      if (this.#isFree(peer, piece)) return piece;
    }
    return -1;
  }

  #rarest(peer: SwarmPeer, from: number, to: number): number {
    let best = -1;
    let copies = Number.POSITIVE_INFINITY;
    let ties = 0;
    for (let piece = from; piece < to; piece++) {
      const count = this.#peers.copies(piece);
      if (count > copies || !this.#isFree(peer, piece)) continue;
      ties = count < copies ? 1 : ties + 1;
      copies = count;
      // Reservoir sampling: each of the equally rare is as likely.
      if (ties === 1 || this.#random() * ties < 1) best = piece;
    }
    return best;
  }

  #isFree(peer: SwarmPeer, piece: number): boolean {
    return this.#state[piece] === MISSING && peer.has(piece) && !this.#inFlight.has(piece) && !peer.refused.has(piece);
  }

  #earliestReader(): number {
    let earliest = this.#pieces;
    for (const reader of this.#readers.values()) earliest = Math.min(earliest, reader.next);
    return earliest === this.#pieces ? 0 : earliest;
  }

  /** About a quarter of the blob: smaller windows leave neighbours with nothing to trade. */
  #window(): number {
    return Math.max(this.#limits.windowMin, this.#pieces >> 2);
  }

  #markVerified(piece: number): boolean {
    if (this.#state[piece] === VERIFIED) return false;
    this.#state[piece] = VERIFIED;
    this.#missing--;
    return true;
  }

  #release(piece: number, peer: number): void {
    const flight = this.#inFlight.get(piece);
    if (flight === undefined) return;
    flight.peers = flight.peers.filter((other) => other !== peer);
    if (flight.peers.length === 0) this.#inFlight.delete(piece);
  }

  #learnPieceTime(ms: number): void {
    this.#pieceMs += (ms - this.#pieceMs) / 8;
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

/** Numbers that shape a download. */
export interface DispatcherLimits {
  /** Pieces outstanding on one wire. */
  readonly outstanding: number;
  /** A wire with requests and no byte for this long loses them. */
  readonly silenceMs: number;
  /** A piece that was asked for longer ago than this is not counted on. */
  readonly arrivalMs: number;
  /** Pieces in front of a reader that are fetched in order. */
  readonly urgent: number;
  /** The least window behind a reader, in pieces. */
  readonly windowMin: number;
  /** With fewer pieces than this on their way, a seeder is asked for what other neighbours own. */
  readonly idle: number;
  /** After about this long a reader's next pieces are asked of a seeder, whoever owns them. */
  readonly readerPatienceMs: number;
  /** A piece has to be on its way this long at least before it is asked for twice. */
  readonly endgamePatienceMs: number;
}

const defaultLimits: DispatcherLimits = {
  outstanding: 2,
  silenceMs: 8_000,
  arrivalMs: 2_000,
  urgent: 4,
  windowMin: 64,
  idle: 2,
  readerPatienceMs: 700,
  endgamePatienceMs: 300,
};

/** What the caller has to do. */
export type Command = {
  readonly kind: 'request' | 'cancel';
  readonly peer: number;
  readonly piece: number;
};

interface Reader {
  readonly next: number;
  readonly last: number;
  readonly impatientAtMs: number;
}

interface Flight {
  peers: number[];
  readonly sinceMs: number;
}

const MISSING = 0;
const VERIFIED = 1;
