import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CANCEL, REQUEST } from '../../src/swarm/dispatcher/command-buffer.ts';
import { Dispatcher } from '../../src/swarm/dispatcher/dispatcher.ts';
import { take } from './dispatcher-calls.ts';
import { seededRandom } from './virtual-swarm.ts';

describe('Dispatcher', () => {
  it('never asks for a verified piece, or for one on its way outside of the endgame, whatever happens', () => {
    const event = fc.record({ what: fc.nat(13), peer: fc.nat(5), piece: fc.nat(39), ms: fc.nat(400) });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 400 }), fc.integer(), (events, seed) => {
        const model = new Model(seed);
        for (const { what, peer, piece, ms } of events) model.step(what, peer, piece, ms);
      }),
      { numRuns: 400 },
    );
  });
});

/** What a caller knows, to be compared with what the dispatcher decides. */
class Model {
  readonly #pieces = 40;
  readonly #dispatcher: Dispatcher;
  readonly #verified = new Set<number>();
  /** Of whom each piece is asked and not received. */
  readonly #asked = new Map<number, Set<number>>();
  /** Pieces that are in and not verified, with the peer that sent them, -1 when it has left. */
  readonly #received = new Map<number, number>();
  readonly #has = new Map<number, Set<number>>();
  readonly #unchoked = new Set<number>();
  #nowMs = 0;

  constructor(seed: number) {
    const random = seededRandom(seed);
    this.#dispatcher = new Dispatcher({ pieces: this.#pieces, self: 5, has: () => false, random, nowMs: 0 });
  }

  step(what: number, peer: number, piece: number, ms: number): void {
    this.#nowMs += ms;
    this.#dispatcher.advance(this.#nowMs);
    this.#tell(what, peer, piece);
    this.#check();
  }

  #tell(what: number, peer: number, piece: number): void {
    const dispatcher = this.#dispatcher;
    const has = this.#has.get(peer);
    if (what === 0) {
      this.#leave(peer);
      dispatcher.peerJoined(peer, peer * 977, peer === 0);
      this.#has.set(peer, new Set());
    } else if (what === 1) this.#leave(peer);
    else if (what === 2) {
      dispatcher.peerHas(peer, piece);
      has?.add(piece);
    } else if (what === 3) {
      dispatcher.peerHasAll(peer);
      for (let all = 0; all < this.#pieces; all++) has?.add(all);
    } else if (what === 4) {
      const bits = new Uint8Array(5).fill(piece * 6);
      dispatcher.peerHasBits(peer, bits);
      for (let i = 0; i < this.#pieces; i++) if ((bits[i >> 3]! & (0x80 >> (i & 7))) !== 0) has?.add(i);
    } else if (what === 5) {
      dispatcher.peerUnchoked(peer);
      if (has !== undefined) this.#unchoked.add(peer);
    } else if (what === 6) {
      dispatcher.peerChoked(peer);
      this.#unchoked.delete(peer);
      for (const peers of this.#asked.values()) peers.delete(peer);
    } else if (what === 7) dispatcher.peerSuggested(peer, piece);
    else if (what === 8) this.#receive();
    else if (what === 9) this.#finish(true);
    else if (what === 10) this.#finish(false);
    else if (what === 11) {
      dispatcher.requestFailed(peer, piece);
      this.#asked.get(piece)?.delete(peer);
      if (this.#received.get(piece) === peer) this.#received.delete(piece);
    } else if (what === 12) dispatcher.readerMoved(peer & 1, piece, this.#pieces - 1);
    else dispatcher.tick();
  }

  #leave(peer: number): void {
    this.#dispatcher.peerLeft(peer);
    this.#has.delete(peer);
    this.#unchoked.delete(peer);
    for (const peers of this.#asked.values()) peers.delete(peer);
    for (const [piece, sender] of this.#received) if (sender === peer) this.#received.set(piece, -1);
  }

  #receive(): void {
    for (const [piece, peers] of this.#asked) {
      const [peer] = peers;
      if (peer === undefined || this.#received.has(piece)) continue;
      peers.delete(peer);
      this.#received.set(piece, peer);
      this.#dispatcher.progressed(peer);
      this.#dispatcher.pieceReceived(peer, piece);
      return;
    }
  }

  #finish(matches: boolean): void {
    const [first] = this.#received;
    if (first === undefined) return;
    const [piece, peer] = first;
    this.#received.delete(piece);
    if (!matches) this.#dispatcher.requestFailed(peer, piece);
    else {
      this.#verified.add(piece);
      this.#dispatcher.pieceVerified(piece, peer);
    }
  }

  #check(): void {
    for (const [kind, peer, piece] of take(this.#dispatcher)) {
      const peers = this.#asked.get(piece) ?? new Set();
      this.#asked.set(piece, peers);
      if (kind === CANCEL) {
        expect(peers.delete(peer)).toBe(true);
        continue;
      }
      expect(kind).toBe(REQUEST);
      expect(this.#verified.has(piece)).toBe(false);
      expect(this.#unchoked.has(peer)).toBe(true);
      expect(this.#has.get(peer)?.has(piece)).toBe(true);
      expect(peers.has(peer)).toBe(false);
      peers.add(peer);
      const holders = peers.size + (this.#received.has(piece) ? 1 : 0);
      expect(holders).toBeLessThanOrEqual(2);
      if (holders === 2) expect(this.#dispatcher.endgame).toBe(true);
    }
    expect(this.#dispatcher.missing).toBe(this.#pieces - this.#verified.size);
    for (const piece of this.#verified) expect(this.#asked.get(piece)?.size ?? 0).toBe(0);
  }
}
