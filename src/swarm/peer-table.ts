/**
 * The neighbours of one download as the dispatcher sees them: what each has, how many copies of a piece are around, and
 * which pieces this host owns by rendezvous among its neighbours.
 */
export class PeerTable {
  readonly #pieces: number;
  readonly #self: number;
  readonly #peers = new Map<number, SwarmPeer>();
  readonly #copies: Uint16Array;
  #mine: Uint8Array | undefined;

  constructor(pieces: number, self: number) {
    this.#pieces = pieces;
    this.#self = self;
    this.#copies = new Uint16Array(pieces);
  }

  add(id: number, seed: number, origin: boolean, limit: number): void {
    this.#peers.set(id, new SwarmPeer({ id, seed, origin, limit, pieces: this.#pieces }));
    this.#mine = undefined;
  }

  remove(id: number): SwarmPeer | undefined {
    const peer = this.#peers.get(id);
    if (peer === undefined) return undefined;
    this.#peers.delete(id);
    if (!peer.seeder) for (let piece = 0; piece < this.#pieces; piece++) if (peer.has(piece)) this.#copies[piece]!--;
    this.#mine = undefined;
    return peer;
  }

  get(id: number): SwarmPeer | undefined {
    return this.#peers.get(id);
  }

  all(): IterableIterator<SwarmPeer> {
    return this.#peers.values();
  }

  /** So that no wire is always the first to choose. */
  inRandomOrder(random: () => number): SwarmPeer[] {
    const peers = [...this.#peers.values()];
    for (let last = peers.length - 1; last > 0; last--) {
      const other = Math.floor(random() * (last + 1));
      [peers[last], peers[other]] = [peers[other]!, peers[last]!];
    }
    return peers;
  }

  addPiece(id: number, piece: number): void {
    const peer = this.#peers.get(id);
    if (peer === undefined || !peer.add(piece)) return;
    this.#copies[piece]!++;
    if (peer.count === this.#pieces) this.#becomeSeeder(peer);
  }

  addAll(id: number): void {
    const peer = this.#peers.get(id);
    if (peer === undefined || peer.seeder) return;
    for (let piece = 0; piece < this.#pieces; piece++) if (peer.add(piece)) this.#copies[piece]!++;
    this.#becomeSeeder(peer);
  }

  /** How many neighbours that are not seeders have a piece. */
  copies(piece: number): number {
    return this.#copies[piece]!;
  }

  /** Whether a seeder that is no origin takes requests. */
  hasOtherSeeder(): boolean {
    for (const peer of this.#peers.values()) if (peer.seeder && !peer.origin && peer.unchoked) return true;
    return false;
  }

  /** Whether this host is the rendezvous owner of a piece among itself and its neighbours that are not seeders. */
  isMine(piece: number): boolean {
    this.#mine ??= this.#computeMine();
    return this.#mine[piece] === 1;
  }

  #becomeSeeder(peer: SwarmPeer): void {
    for (let piece = 0; piece < this.#pieces; piece++) this.#copies[piece]!--;
    peer.seeder = true;
    this.#mine = undefined;
  }

  #computeMine(): Uint8Array {
    const seeds = [...this.#peers.values()].filter((peer) => !peer.seeder).map((peer) => peer.seed);
    const mine = new Uint8Array(this.#pieces);
    for (let piece = 0; piece < this.#pieces; piece++) {
      const own = weigh(this.#self, piece);
      mine[piece] = seeds.every((seed) => weigh(seed, piece) <= own) ? 1 : 0;
    }
    return mine;
  }
}

/** One neighbour. */
export class SwarmPeer {
  readonly id: number;
  readonly seed: number;
  readonly origin: boolean;
  /** Pieces that may be outstanding at once. */
  limit: number;
  seeder = false;
  unchoked = false;
  progressAtMs = 0;
  readonly outstanding = new Set<number>();
  /** Asked for in vain since the last tick. */
  readonly refused = new Set<number>();
  readonly #bits: Uint8Array;
  #count = 0;

  constructor(options: { id: number; seed: number; origin: boolean; limit: number; pieces: number }) {
    this.id = options.id;
    this.seed = options.seed;
    this.origin = options.origin;
    this.limit = options.limit;
    this.#bits = new Uint8Array((options.pieces + 7) >> 3);
  }

  get count(): number {
    return this.#count;
  }

  has(piece: number): boolean {
    return (this.#bits[piece >> 3]! & (1 << (piece & 7))) !== 0;
  }

  /** @returns whether it is new */
  add(piece: number): boolean {
    if (this.has(piece)) return false;
    this.#bits[piece >> 3]! |= 1 << (piece & 7);
    this.#count++;
    return true;
  }
}

/** A peer's weight for a piece, spread evenly over 32 bits (the finaliser of MurmurHash3). */
function weigh(seed: number, piece: number): number {
  let hash = Math.imul(seed ^ Math.imul(piece + 1, 0x9e3779b1), 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The number that stands for a peer in the rendezvous: the last four bytes of its id, which are random. */
export function seedOfPeer(peerId: string): number {
  return Number.parseInt(peerId.slice(-8), 16) | 0;
}
