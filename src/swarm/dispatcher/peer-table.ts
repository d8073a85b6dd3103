import {
  clearBit,
  fillBits,
  hasBit,
  makeBits,
  maskOfWord,
  type PieceBits,
  setBit,
  wordOfBitfield,
} from './piece-bits.ts';
import { RarityBuckets } from './rarity-buckets.ts';
import { SwarmPeer } from './swarm-peer.ts';

/**
 * The neighbours of one download as the dispatcher sees them: what each has, how many copies of a piece are around, and
 * which pieces this host owns by rendezvous among its neighbours. Peers are slot numbers, used again after a peer left.
 */
export class PeerTable {
  readonly pieces: number;
  /** Pieces that can be asked for, by how many neighbours that are not seeders have them. */
  readonly rarity: RarityBuckets;
  /** Pieces that no neighbour but seeders has. */
  readonly unseen: PieceBits;
  readonly #self: number;
  readonly #slots: (SwarmPeer | undefined)[] = [];
  #leechers = 0;
  #mine: PieceBits | undefined;

  constructor(pieces: number, self: number) {
    this.pieces = pieces;
    this.#self = self;
    this.rarity = new RarityBuckets(pieces);
    this.unseen = makeBits(pieces);
    fillBits(this.unseen, pieces);
  }

  /** Slots that have been in use so far: peers are found below this number. */
  get slots(): number {
    return this.#slots.length;
  }

  /** Neighbours that are not seeders. */
  get leechers(): number {
    return this.#leechers;
  }

  get(slot: number): SwarmPeer | undefined {
    return this.#slots[slot];
  }

  add(slot: number, seed: number, origin: boolean, nowMs: number): void {
    if (this.#slots[slot] !== undefined) this.remove(slot);
    while (this.#slots.length < slot) this.#slots.push(undefined);
    this.#slots[slot] = new SwarmPeer({ slot, seed, origin, pieces: this.pieces, nowMs });
    this.#leechers++;
    this.#mine = undefined;
  }

  remove(slot: number): void {
    const peer = this.#slots[slot];
    if (peer === undefined) return;
    this.#slots[slot] = undefined;
    this.#mine = undefined;
    if (peer.seeder) return;
    this.#leechers--;
    this.#uncount(peer);
  }

  /** @returns whether it is new */
  addPiece(peer: SwarmPeer, piece: number): boolean {
    if (peer.seeder || hasBit(peer.bits, piece) || peer.hasRefused(piece)) return false;
    this.#count(peer, piece);
    if (peer.count === this.pieces) this.#becomeSeeder(peer);
    return true;
  }

  /** All pieces of a BEP 3 bitfield; what it had stays. */
  addBits(peer: SwarmPeer, bitfield: Uint8Array): void {
    if (peer.seeder) return;
    peer.forgive(Number.POSITIVE_INFINITY);
    for (let word = 0; word < peer.bits.length; word++) {
      const has = wordOfBitfield(bitfield, word) & maskOfWord(word, this.pieces);
      let added = has & ~peer.bits[word]!;
      while (added !== 0) {
        const bit = Math.clz32(added);
        added &= ~(0x80000000 >>> bit);
        this.#count(peer, word * 32 + bit);
      }
    }
    if (peer.count === this.pieces) this.#becomeSeeder(peer);
  }

  addAll(peer: SwarmPeer): void {
    if (!peer.seeder) this.#becomeSeeder(peer);
  }

  /** Seeders that are no origins and take requests. */
  otherSeeders(): number {
    let count = 0;
    for (const peer of this.#slots) if (peer?.seeder && !peer.origin && peer.unchoked) count++;
    return count;
  }

  /** The least number of pieces that a neighbour has among those that are no seeders and have more than `count`. */
  fewestAbove(count: number): number {
    let fewest = this.pieces;
    for (const peer of this.#slots) {
      if (peer !== undefined && !peer.seeder && peer.count > count) fewest = Math.min(fewest, peer.count);
    }
    return fewest;
  }

  /** Pieces of which this host is the rendezvous owner among itself and its neighbours that are not seeders. */
  mine(): PieceBits {
    this.#mine ??= this.#computeMine();
    return this.#mine;
  }

  #count(peer: SwarmPeer, piece: number): void {
    setBit(peer.bits, piece);
    peer.count++;
    this.rarity.increase(piece);
    clearBit(this.unseen, piece);
  }

  #uncount(peer: SwarmPeer): void {
    peer.forgive(Number.POSITIVE_INFINITY);
    for (let word = 0; word < peer.bits.length; word++) {
      for (let left = peer.bits[word]!; left !== 0; ) {
        const bit = Math.clz32(left);
        left &= ~(0x80000000 >>> bit);
        const piece = word * 32 + bit;
        this.rarity.decrease(piece);
        if (this.rarity.copies(piece) === 0) setBit(this.unseen, piece);
      }
    }
  }

  #becomeSeeder(peer: SwarmPeer): void {
    this.#uncount(peer);
    fillBits(peer.bits, this.pieces);
    peer.count = this.pieces;
    peer.seeder = true;
    this.#leechers--;
    this.#mine = undefined;
  }

  #computeMine(): PieceBits {
    const seeds: number[] = [];
    for (const peer of this.#slots) if (peer !== undefined && !peer.seeder) seeds.push(peer.seed);
    const mine = makeBits(this.pieces);
    for (let piece = 0; piece < this.pieces; piece++) {
      const own = weigh(this.#self, piece);
      let best = true;
      for (let i = 0; best && i < seeds.length; i++) best = weigh(seeds[i]!, piece) <= own;
      if (best) setBit(mine, piece);
    }
    return mine;
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
