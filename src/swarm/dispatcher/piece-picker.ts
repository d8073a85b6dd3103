import type { DispatcherLimits } from './dispatcher-limits.ts';
import type { PeerTable } from './peer-table.ts';
import type { PieceBits } from './piece-bits.ts';
import type { SwarmPeer } from './swarm-peer.ts';

/** Pieces looked at for one pick, so that a pick costs the same whatever the size of the blob. */
const PROBES = 32;
/** Words of 32 pieces looked at for one pick. */
const WORDS = 256;

/** Where a reader stands. */
interface Reader {
  readonly id: number;
  next: number;
  last: number;
  /** From then on its next pieces are asked of anybody. */
  impatientAtMs: number;
}

/** Chooses the next piece to ask of a peer among those that are free. Looks at a bounded number of them. */
export class PiecePicker {
  readonly #peers: PeerTable;
  readonly #free: PieceBits;
  readonly #random: () => number;
  readonly #limits: DispatcherLimits;
  readonly #readers: Reader[] = [];
  /** Where the next search for what seeders alone have goes on; from the start again after {@link restart}. */
  #mineFrom = 0;
  #unseenFrom = 0;

  /** @param free pieces that are neither verified nor on their way, kept by the caller */
  constructor(options: { peers: PeerTable; free: PieceBits; random: () => number; limits: DispatcherLimits }) {
    this.#peers = options.peers;
    this.#free = options.free;
    this.#random = options.random;
    this.#limits = options.limits;
  }

  /** Pieces from this one on may have become free, or unseen, or this host's: searches begin there. */
  restart(piece: number): void {
    this.#mineFrom = Math.min(this.#mineFrom, piece);
    this.#unseenFrom = Math.min(this.#unseenFrom, piece);
  }

  /** @returns whether the reader waits for another piece than before */
  readerMoved(id: number, next: number, last: number, nowMs: number): boolean {
    // Spread at random: neighbours that wait for the same piece must not all turn to the seeder at the same moment.
    const impatientAtMs = nowMs + this.#limits.readerPatienceMs * (0.5 + this.#random());
    const known = this.#readers.find((reader) => reader.id === id);
    if (known === undefined) {
      this.#readers.push({ id, next, last, impatientAtMs });
      return true;
    }
    if (known.next === next) return false;
    known.next = next;
    known.last = last;
    known.impatientAtMs = impatientAtMs;
    return true;
  }

  readerClosed(id: number): void {
    const index = this.#readers.findIndex((reader) => reader.id === id);
    if (index >= 0) this.#readers.splice(index, 1);
  }

  /** A piece of a peer that is not a seeder, -1 for none. */
  pickFromLeecher(peer: SwarmPeer): number {
    for (const reader of this.#readers) {
      const urgent = this.#firstAt(peer, reader.next, Math.min(reader.next + this.#limits.urgent, reader.last + 1));
      if (urgent >= 0) return urgent;
    }
    for (const reader of this.#readers) {
      const next = this.#commonAt(peer, reader);
      if (next >= 0) return next;
    }
    if (this.#random() < this.#limits.lowestShare) return this.#lowest(peer);
    const rarest = this.#peers.rarity.rarest(peer.bits, PROBES, this.#random);
    return rarest >= 0 ? rarest : this.#lowest(peer);
  }

  /** A piece of a seeder that another neighbour has too, -1 for none. */
  pickSeen(peer: SwarmPeer): number {
    for (const reader of this.#readers) {
      const next = this.#commonAt(peer, reader);
      if (next >= 0) return next;
    }
    return this.#peers.rarity.rarest(peer.bits, PROBES, this.#random);
  }

  /** The first of a reader's next pieces that a peer has, when the reader has waited long; -1 for none. */
  pickOverdue(peer: SwarmPeer, nowMs: number): number {
    for (const reader of this.#readers) {
      if (nowMs < reader.impatientAtMs) continue;
      const overdue = this.#firstAt(peer, reader.next, Math.min(reader.next + this.#limits.urgent, reader.last + 1));
      if (overdue >= 0) return overdue;
    }
    return -1;
  }

  /** A piece that no neighbour but seeders has and that this host owns among them, in index order; -1 for none. */
  pickMine(peer: SwarmPeer): number {
    const mine = this.#peers.mine();
    for (const reader of this.#readers) {
      const piece = this.#firstUnseen(peer, reader.next, reader.last + 1, mine);
      if (piece >= 0) return piece;
    }
    const piece = this.#firstUnseen(peer, this.#mineFrom, this.#peers.pieces, mine);
    this.#mineFrom = piece >= 0 ? piece : this.#mineFrom + WORDS * 32;
    return piece;
  }

  /** Any piece of a seeder: what readers wait for, then what nobody else has, then the rest. */
  pickFromSeeder(peer: SwarmPeer): number {
    for (const reader of this.#readers) {
      const waited = this.#firstAt(peer, reader.next, Math.min(reader.next + this.#limits.urgent, reader.last + 1));
      if (waited >= 0) return waited;
    }
    const unseen = this.#firstUnseen(peer, this.#unseenFrom, this.#peers.pieces, this.#peers.unseen);
    this.#unseenFrom = unseen >= 0 ? unseen : this.#unseenFrom + WORDS * 32;
    return unseen >= 0 ? unseen : this.pickFromLeecher(peer);
  }

  /** In front of a reader: the first piece that about every other neighbour has too, now and then a rare one instead. */
  #commonAt(peer: SwarmPeer, reader: Reader): number {
    const common = Math.max(2, this.#peers.leechers >> 1);
    const window = Math.max(this.#limits.windowMin, this.#peers.pieces >> 2);
    const first = this.#firstAt(peer, reader.next, Math.min(reader.next + window, reader.last + 1));
    if (first < 0 || this.#peers.rarity.copies(first) < common) return -1;
    return this.#random() < this.#limits.rareShare ? -1 : first;
  }

  /** The first free piece of a range that a peer has, looked for in so many words at most. */
  #firstAt(peer: SwarmPeer, from: number, to: number): number {
    const end = Math.min((to + 31) >>> 5, (from >>> 5) + WORDS);
    for (let word = Math.max(from >>> 5, peer.lowWord); word < end; word++) {
      let candidates = this.#free[word]! & peer.bits[word]!;
      if (word === from >>> 5) candidates &= 0xffffffff >>> (from & 31);
      if (candidates === 0) continue;
      const piece = word * 32 + Math.clz32(candidates);
      return piece < to ? piece : -1;
    }
    return -1;
  }

  /** The first free piece of a set from `from` on that a seeder has and no other neighbour; -1 for none. */
  #firstUnseen(peer: SwarmPeer, from: number, to: number, set: PieceBits): number {
    const end = Math.min((to + 31) >>> 5, (from >>> 5) + WORDS);
    for (let word = from >>> 5; word < end; word++) {
      let candidates = this.#free[word]! & peer.bits[word]! & this.#peers.unseen[word]! & set[word]!;
      if (word === from >>> 5) candidates &= 0xffffffff >>> (from & 31);
      if (candidates === 0) continue;
      const piece = word * 32 + Math.clz32(candidates);
      return piece < to ? piece : -1;
    }
    return -1;
  }

  /** The free piece of lowest index that a peer has; remembers how far it has looked in vain. */
  #lowest(peer: SwarmPeer): number {
    const end = Math.min(peer.bits.length, peer.lowWord + WORDS);
    for (let word = peer.lowWord; word < end; word++) {
      const candidates = this.#free[word]! & peer.bits[word]!;
      if (candidates !== 0) return word * 32 + Math.clz32(candidates);
      peer.lowWord = word + 1;
    }
    return -1;
  }
}
