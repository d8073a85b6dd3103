import { describe, expect, it } from 'vitest';
import { CANCEL, REQUEST } from '../../src/swarm/dispatcher/command-buffer.ts';
import { Dispatcher } from '../../src/swarm/dispatcher/dispatcher.ts';
import type { DispatcherLimits } from '../../src/swarm/dispatcher/dispatcher-limits.ts';
import { PeerTable } from '../../src/swarm/dispatcher/peer-table.ts';
import { hasBit } from '../../src/swarm/dispatcher/piece-bits.ts';
import { take } from './dispatcher-calls.ts';
import { bitfieldOf, seededRandom } from './virtual-swarm.ts';

function makeDispatcher(pieces: number, options: { has?: (piece: number) => boolean; limits?: object } = {}) {
  const { has = () => false, limits = {} as Partial<DispatcherLimits> } = options;
  return new Dispatcher({ pieces, self: 1, has, random: seededRandom(7), nowMs: 0, limits });
}

/** The pieces that are asked for by the commands so far. */
function takeRequests(dispatcher: Dispatcher): number[] {
  return take(dispatcher).flatMap(([kind, , piece]) => (kind === REQUEST ? [piece] : []));
}

function joinSeeder(dispatcher: Dispatcher, peer: number, origin: boolean): void {
  dispatcher.peerJoined(peer, peer * 11, origin);
  dispatcher.peerHasAll(peer);
  dispatcher.peerUnchoked(peer);
}

/** A piece comes in and matches. */
function bring(dispatcher: Dispatcher, peer: number, piece: number): void {
  dispatcher.progressed(peer);
  dispatcher.pieceReceived(peer, piece);
  dispatcher.pieceVerified(piece, peer);
}

describe('Dispatcher', () => {
  it('asks a lone seeder in index order, two pieces at a time to begin with', () => {
    const dispatcher = makeDispatcher(5);
    dispatcher.peerJoined(1, 11, false);
    dispatcher.peerHasAll(1);
    expect(take(dispatcher)).toEqual([]);
    dispatcher.peerUnchoked(1);
    expect(takeRequests(dispatcher)).toEqual([0, 1]);
    bring(dispatcher, 1, 0);
    expect(takeRequests(dispatcher)[0]).toBe(2);
  });

  it('asks for the next piece as soon as one has come in, before it is verified', () => {
    const dispatcher = makeDispatcher(5);
    joinSeeder(dispatcher, 1, false);
    expect(takeRequests(dispatcher)).toEqual([0, 1]);
    dispatcher.advance(10);
    dispatcher.progressed(1);
    dispatcher.pieceReceived(1, 0);
    expect(takeRequests(dispatcher)).toContain(2);
    expect(dispatcher.missing).toBe(5);
    joinSeeder(dispatcher, 2, false);
    expect(takeRequests(dispatcher)).not.toContain(0);
  });

  it('asks for nothing that it has', () => {
    const dispatcher = makeDispatcher(4, { has: (piece) => piece !== 2 });
    joinSeeder(dispatcher, 1, false);
    expect(takeRequests(dispatcher)).toEqual([2]);
    expect(dispatcher.missing).toBe(1);
  });

  it('asks for the rarest first, counting only peers that are not seeders', () => {
    const dispatcher = makeDispatcher(3, { limits: { lowestShare: 0 } });
    for (const peer of [1, 2, 3]) dispatcher.peerJoined(peer, peer, false);
    for (const peer of [1, 2, 3]) dispatcher.peerHas(peer, 0);
    for (const peer of [1, 2]) dispatcher.peerHas(peer, 1);
    dispatcher.peerUnchoked(1);
    expect(takeRequests(dispatcher)).toEqual([1, 0]);
  });

  it('asks for what a reader waits for before what is rare', () => {
    const dispatcher = makeDispatcher(100);
    for (const peer of [1, 2]) dispatcher.peerJoined(peer, peer, false);
    for (let piece = 0; piece < 99; piece++) {
      dispatcher.peerHas(1, piece);
      if (piece >= 40 && piece < 44) dispatcher.peerHas(2, piece);
    }
    dispatcher.readerMoved(0, 40, 99);
    dispatcher.peerUnchoked(1);
    expect(takeRequests(dispatcher)).toEqual([40, 41]);
  });

  it('serves several readers', () => {
    const dispatcher = makeDispatcher(1_000, { limits: { urgent: 1 } });
    dispatcher.peerJoined(1, 1, false);
    dispatcher.peerHasBits(1, bitfieldOf(new Uint8Array(1_000).fill(1, 0, 999)));
    dispatcher.readerMoved(0, 100, 999);
    dispatcher.readerMoved(1, 700, 999);
    dispatcher.peerUnchoked(1);
    expect(takeRequests(dispatcher)).toEqual([100, 700]);
  });

  it('takes in order what most neighbours have, but for a small share', () => {
    const dispatcher = makeDispatcher(1_000);
    const have = new Uint8Array(1_000).fill(1, 0, 900);
    for (const peer of [1, 2, 3, 4]) {
      dispatcher.peerJoined(peer, peer, false);
      dispatcher.peerHasBits(peer, bitfieldOf(have));
    }
    dispatcher.peerHas(1, 950);
    dispatcher.readerMoved(0, 0, 999);
    for (const peer of [1, 2, 3, 4]) dispatcher.peerUnchoked(peer);
    let inOrder = 0;
    let asked = 0;
    for (let round = 0; round < 50; round++) {
      for (const [, peer, piece] of take(dispatcher)) {
        asked++;
        if (piece < 2 * asked) inOrder++;
        bring(dispatcher, peer, piece);
      }
    }
    expect(inOrder / asked).toBeGreaterThan(0.7);
    expect(inOrder / asked).toBeLessThan(1);
  });

  it('asks an origin for what it suggests, in that order, and drops what is on its way', () => {
    const dispatcher = makeDispatcher(100);
    joinSeeder(dispatcher, 1, true);
    dispatcher.peerJoined(2, 5, false);
    dispatcher.peerHas(2, 30);
    dispatcher.peerUnchoked(2);
    expect(takeRequests(dispatcher)).toEqual([30]);
    for (const piece of [50, 30, 20, 21]) dispatcher.peerSuggested(1, piece);
    expect(take(dispatcher)).toEqual([50, 20, 21].map((piece) => [REQUEST, 1, piece]));
  });

  it('asks an origin that suggests for nothing else while others send', () => {
    const dispatcher = makeDispatcher(100);
    joinSeeder(dispatcher, 1, true);
    dispatcher.peerJoined(2, 5, false);
    for (let piece = 30; piece < 40; piece++) dispatcher.peerHas(2, piece);
    dispatcher.peerUnchoked(2);
    dispatcher.peerSuggested(1, 50);
    take(dispatcher);
    bring(dispatcher, 1, 50);
    for (let nowMs = 100; nowMs < 2_000; nowMs += 100) {
      dispatcher.advance(nowMs);
      dispatcher.tick();
    }
    expect(take(dispatcher)).toEqual([]);
  });

  it.each([
    { silent: 'never suggested', suggests: false, fallsBackAtMs: 300 },
    { silent: 'suggested before', suggests: true, fallsBackAtMs: 500 },
  ])('asks an origin that $silent by its own rules after a while without', ({ suggests, fallsBackAtMs }) => {
    const dispatcher = makeDispatcher(100);
    joinSeeder(dispatcher, 1, true);
    if (suggests) {
      dispatcher.peerSuggested(1, 50);
      expect(takeRequests(dispatcher)).toEqual([50]);
      bring(dispatcher, 1, 50);
    }
    dispatcher.advance(fallsBackAtMs - 50);
    dispatcher.tick();
    expect(take(dispatcher)).toEqual([]);
    dispatcher.advance(fallsBackAtMs + 1);
    dispatcher.tick();
    expect(takeRequests(dispatcher)).toEqual([0, 1]);
  });

  it('heeds no suggestion of a peer that is no origin, and none of what does not exist', () => {
    const dispatcher = makeDispatcher(100);
    joinSeeder(dispatcher, 1, true);
    dispatcher.peerJoined(2, 5, false);
    dispatcher.peerHas(2, 60);
    dispatcher.peerSuggested(2, 60);
    for (const piece of [-1, 100, 2 ** 31 - 1]) dispatcher.peerSuggested(1, piece);
    expect(take(dispatcher)).toEqual([]);
  });

  it('spares origins while another seeder is there', () => {
    const dispatcher = makeDispatcher(100);
    joinSeeder(dispatcher, 2, false);
    joinSeeder(dispatcher, 1, true);
    dispatcher.peerSuggested(1, 50);
    dispatcher.advance(1_000);
    dispatcher.tick();
    expect(take(dispatcher).every(([, peer]) => peer === 2)).toBe(true);
  });

  it('asks a seeder for what a neighbour owns once a reader has waited too long', () => {
    const table = new PeerTable(64, 1);
    table.add(2, 99, false, 0);
    const others = Array.from({ length: 64 }, (_, piece) => piece).filter((piece) => !hasBit(table.mine(), piece));
    const dispatcher = makeDispatcher(64);
    dispatcher.peerJoined(2, 99, false);
    joinSeeder(dispatcher, 1, false);
    const [first, second] = takeRequests(dispatcher);
    dispatcher.readerMoved(0, others[5]!, 63);
    dispatcher.pieceReceived(1, first!);
    expect(others).not.toContain(takeRequests(dispatcher)[0]);
    dispatcher.advance(5_000);
    dispatcher.pieceReceived(1, second!);
    expect(takeRequests(dispatcher)[0]).toBe(others[5]);
  });

  it('frees the pieces of a peer that leaves, chokes or fails', () => {
    const leave = (dispatcher: Dispatcher) => dispatcher.peerLeft(1);
    const choke = (dispatcher: Dispatcher) => dispatcher.peerChoked(1);
    const fail = (dispatcher: Dispatcher) => [0, 1].map((piece) => dispatcher.requestFailed(1, piece));
    for (const lose of [leave, choke, fail]) {
      const dispatcher = makeDispatcher(10);
      joinSeeder(dispatcher, 1, false);
      take(dispatcher);
      lose(dispatcher);
      joinSeeder(dispatcher, 2, false);
      expect(takeRequests(dispatcher)).toEqual([0, 1]);
    }
  });

  it('asks elsewhere for a piece that did not match, also when its sender has left and its slot is used again', () => {
    const dispatcher = makeDispatcher(10);
    joinSeeder(dispatcher, 1, false);
    take(dispatcher);
    dispatcher.pieceReceived(1, 0);
    take(dispatcher);
    dispatcher.peerLeft(1);
    joinSeeder(dispatcher, 1, false);
    expect(takeRequests(dispatcher)).not.toContain(0);
    dispatcher.requestFailed(-1, 0);
    dispatcher.pieceReceived(1, 1);
    expect(takeRequests(dispatcher)).toContain(0);
  });

  it('does not ask a peer again at once for what it refused', () => {
    const dispatcher = makeDispatcher(10);
    joinSeeder(dispatcher, 1, false);
    expect(takeRequests(dispatcher)).toEqual([0, 1]);
    dispatcher.requestFailed(1, 0);
    dispatcher.advance(100);
    dispatcher.tick();
    expect(takeRequests(dispatcher)).toEqual([2]);
    dispatcher.advance(1_000);
    dispatcher.tick();
    dispatcher.pieceReceived(1, 1);
    expect(takeRequests(dispatcher)).toContain(0);
  });

  it('gives up on a peer that is silent, and asks it for one piece at a time afterwards', () => {
    const dispatcher = makeDispatcher(10);
    joinSeeder(dispatcher, 1, false);
    expect(takeRequests(dispatcher)).toHaveLength(2);
    dispatcher.advance(60_000);
    dispatcher.tick();
    const kinds = take(dispatcher).map(([kind]) => kind);
    expect(kinds.filter((kind) => kind === CANCEL)).toHaveLength(2);
    expect(kinds.filter((kind) => kind === REQUEST)).toHaveLength(1);
  });

  it('lets as many pieces be on their way as cover the round trip of a long link, and no more', () => {
    const counts = [1, 40].map((roundTripMs) => {
      const dispatcher = makeDispatcher(2_000);
      joinSeeder(dispatcher, 1, false);
      // The peer sends a piece each 2 ms, a round trip after it was asked for.
      const due: { atMs: number; piece: number }[] = [];
      let freeAtMs = 0;
      let nowMs = 0;
      for (let received = 0; received < 600; received++) {
        for (const piece of takeRequests(dispatcher)) {
          freeAtMs = Math.max(freeAtMs, nowMs + roundTripMs) + 2;
          due.push({ atMs: freeAtMs, piece });
        }
        const next = due.shift()!;
        nowMs = next.atMs;
        dispatcher.advance(nowMs);
        bring(dispatcher, 1, next.piece);
      }
      return due.length + takeRequests(dispatcher).length;
    });
    expect(counts[0]).toBeLessThanOrEqual(4);
    expect(counts[1]).toBeGreaterThanOrEqual(20);
    expect(counts[1]).toBeLessThanOrEqual(64);
  });

  it('asks twice only in the endgame, after patience, and cancels the slower', () => {
    const dispatcher = makeDispatcher(1);
    for (const peer of [1, 2]) joinSeeder(dispatcher, peer, false);
    const first = take(dispatcher);
    expect(first).toHaveLength(1);
    dispatcher.advance(100);
    dispatcher.tick();
    expect(take(dispatcher)).toEqual([]);
    dispatcher.advance(2_000);
    dispatcher.tick();
    const second = take(dispatcher);
    expect(second).toHaveLength(1);
    bring(dispatcher, second[0]![1], 0);
    expect(take(dispatcher)).toEqual([[CANCEL, first[0]![1], 0]]);
  });

  it('counts a piece as arriving while bytes of its peer come in, and until it is verified', () => {
    const dispatcher = makeDispatcher(10);
    joinSeeder(dispatcher, 1, false);
    expect(dispatcher.isArriving(0)).toBe(true);
    expect(dispatcher.isArriving(5)).toBe(false);
    dispatcher.advance(1_500);
    expect(dispatcher.isArriving(0)).toBe(false);
    dispatcher.progressed(1);
    expect(dispatcher.isArriving(0)).toBe(true);
    dispatcher.advance(10_000);
    dispatcher.pieceReceived(1, 0);
    expect(dispatcher.isArriving(0)).toBe(true);
    dispatcher.pieceVerified(0, 1);
    expect(dispatcher.isArriving(0)).toBe(false);
  });

  it.each([-1, 3, 2 ** 31 - 1, -(2 ** 31)])('ignores piece %i of three', (piece) => {
    const dispatcher = makeDispatcher(3);
    dispatcher.peerJoined(1, 1, true);
    dispatcher.peerUnchoked(1);
    dispatcher.peerHas(1, piece);
    dispatcher.peerSuggested(1, piece);
    expect(take(dispatcher)).toEqual([]);
  });

  it('takes bitfields of any length for what they say of its own pieces', () => {
    for (const bits of [new Uint8Array(0), Uint8Array.of(0b1010_0000), new Uint8Array(400).fill(0xff)]) {
      const dispatcher = makeDispatcher(3);
      dispatcher.peerJoined(1, 1, false);
      dispatcher.peerHasBits(1, bits);
      dispatcher.peerUnchoked(1);
      dispatcher.pieceVerified(0);
      const expected = [1, 2].filter((piece) => ((bits[0] ?? 0) & (0x80 >> piece)) !== 0);
      const asked = [...takeRequests(dispatcher)].filter((piece) => piece !== 0);
      for (const piece of asked) expect(expected).toContain(piece);
    }
  });
});
