import { REQUEST } from '../../src/swarm/dispatcher/command-buffer.ts';
import { Dispatcher } from '../../src/swarm/dispatcher/dispatcher.ts';
import { Suggester } from '../../src/swarm/dispatcher/suggester.ts';

/** What one run did. */
export interface Work {
  readonly calls: number;
  readonly seconds: number;
}

/** Neighbours that are about as far as this host, as in a swarm where all began at once. */
const NEIGHBOURS = 10;
/** A neighbour gets its pieces in order but for so many that are mixed. */
const MIXED = 32;
/** Calls between two looks at the clock that the caller hands in. */
const TICK_CALLS = 1_000;

/**
 * Whole downloads as a dispatcher sees them: each of ten neighbours gets one piece after the other (`peerHas`), and for each
 * own piece there are `progressed`, `pieceReceived` and `pieceVerified`, with the requests that follow carried out in turn.
 * Repeated until `seconds` have passed; making a dispatcher is not counted.
 */
export function runDispatcher(pieces: number, seconds: number): Work {
  const random = makeRandom(pieces);
  const orders = Array.from({ length: NEIGHBOURS }, () => mixedOrder(pieces, random));
  let calls = 0;
  let tookMs = 0;
  while (tookMs < seconds * 1000) {
    const download = new VirtualDownload(pieces, orders, random);
    const startMs = performance.now();
    calls += download.run(0, pieces);
    tookMs += performance.now() - startMs;
  }
  return { calls, seconds: tookMs / 1000 };
}

/** Bytes of heap and array buffers that one dispatcher holds when half of its pieces are in. Needs `--expose-gc`. */
export function measureDispatcherBytes(pieces: number): number {
  const random = makeRandom(pieces);
  const orders = Array.from({ length: NEIGHBOURS }, () => mixedOrder(pieces, random));
  const count = Math.max(1, Math.min(500, Math.floor(5_000_000 / pieces)));
  const downloads: VirtualDownload[] = [];
  const beforeBytes = heldBytes();
  for (let i = 0; i < count; i++) {
    const download = new VirtualDownload(pieces, orders, random);
    download.run(0, pieces >> 1);
    downloads.push(download);
  }
  // The queue of each belongs to this workload, not to the dispatcher.
  return Math.round((heldBytes() - beforeBytes) / downloads.length) - VirtualDownload.queueBytes;
}

/** The same for an origin's suggester with that many neighbours: HAVEs, and pieces that were sent. */
export function runSuggester(pieces: number, neighbours: number, seconds: number): Work {
  let calls = 0;
  let tookMs = 0;
  while (tookMs < seconds * 1000) {
    const suggester = new Suggester({ pieces, share: { index: 0, of: 1 }, nowMs: 0 });
    const startMs = performance.now();
    calls += spread(suggester, pieces, neighbours);
    tookMs += performance.now() - startMs;
  }
  return { calls, seconds: tookMs / 1000 };
}

class VirtualDownload {
  static readonly queueBytes = 4 * 4_096;
  readonly #pieces: number;
  readonly #orders: readonly Int32Array[];
  readonly #dispatcher: Dispatcher;
  readonly #queue = new Int32Array(VirtualDownload.queueBytes / 4);
  #first = 0;
  #queued = 0;
  #calls = 0;

  constructor(pieces: number, orders: readonly Int32Array[], random: () => number) {
    this.#pieces = pieces;
    this.#orders = orders;
    this.#dispatcher = new Dispatcher({ pieces, self: 1, has: () => false, random, nowMs: 0 });
    for (let peer = 0; peer < orders.length; peer++) {
      this.#dispatcher.peerJoined(peer, Math.imul(peer + 2, 0x9e3779b1), false);
      this.#dispatcher.peerUnchoked(peer);
    }
    this.#dispatcher.readerMoved(0, 0, pieces - 1);
  }

  /** @returns calls made */
  run(from: number, to: number): number {
    this.#calls = 0;
    for (let step = from; step < to; step++) {
      for (let peer = 0; peer < this.#orders.length; peer++) {
        this.#dispatcher.peerHas(peer, this.#orders[peer]![step]!);
        this.#calls++;
        this.#takeRequests();
      }
      this.#finishOne();
      if (this.#calls % TICK_CALLS < this.#orders.length) this.#tick(step);
    }
    while (to === this.#pieces && this.#queued > 0) this.#finishOne();
    return this.#calls;
  }

  /** The oldest request comes in. */
  #finishOne(): void {
    if (this.#queued === 0) return;
    const peer = this.#queue[this.#first]!;
    const piece = this.#queue[this.#first + 1]!;
    this.#first = (this.#first + 2) % this.#queue.length;
    this.#queued--;
    this.#dispatcher.progressed(peer);
    this.#dispatcher.pieceReceived(peer, piece);
    this.#takeRequests();
    this.#dispatcher.pieceVerified(piece, peer);
    this.#takeRequests();
    this.#calls += 3;
  }

  #tick(step: number): void {
    this.#dispatcher.advance(step);
    this.#dispatcher.readerMoved(0, Math.max(0, step - MIXED), this.#pieces - 1);
    this.#dispatcher.tick();
    this.#takeRequests();
    this.#calls += 3;
  }

  #takeRequests(): void {
    const { commands } = this.#dispatcher;
    for (let i = 0; i < commands.count; i++) {
      if (commands.kind(i) !== REQUEST) continue;
      const at = (this.#first + 2 * this.#queued) % this.#queue.length;
      this.#queue[at] = commands.peer(i);
      this.#queue[at + 1] = commands.piece(i);
      this.#queued++;
    }
    commands.clear();
  }
}

/** Each suggested piece is sent, comes back as a HAVE of its peer, and then of all others. @returns calls made */
function spread(suggester: Suggester, pieces: number, neighbours: number): number {
  let calls = 0;
  for (let peer = 0; peer < neighbours; peer++) suggester.peerJoined(peer);
  const queue: number[] = [];
  for (let step = 0; ; step++) {
    for (let i = 0; i < suggester.commands.count; i++) {
      queue.push(suggester.commands.peer(i) * pieces + suggester.commands.piece(i));
    }
    suggester.commands.clear();
    const next = queue[step];
    if (next === undefined) return calls;
    const owner = Math.floor(next / pieces);
    suggester.advance(step);
    for (let peer = 0; peer < neighbours; peer++) suggester.peerHas((owner + peer) % neighbours, next % pieces);
    calls += neighbours;
  }
}

/** Pieces in index order, mixed within {@link MIXED}. */
function mixedOrder(pieces: number, random: () => number): Int32Array {
  const order = Int32Array.from({ length: pieces }, (_, piece) => piece);
  for (let from = 0; from < pieces; from++) {
    const other = Math.min(pieces - 1, from + Math.floor(random() * MIXED));
    const piece = order[from]!;
    order[from] = order[other]!;
    order[other] = piece;
  }
  return order;
}

/** Repeatable (a linear congruential generator; its high bits are good enough here). */
function makeRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** What is held now, without garbage. */
function heldBytes(): number {
  for (let i = 0; i < 3; i++) globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
