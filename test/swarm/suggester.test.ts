import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SUGGEST } from '../../src/swarm/dispatcher/command-buffer.ts';
import { Suggester, type SuggesterLimits } from '../../src/swarm/dispatcher/suggester.ts';
import { bitfieldOf } from './virtual-swarm.ts';

function makeSuggester(pieces: number, share = { index: 0, of: 1 }, limits: Partial<SuggesterLimits> = {}): Suggester {
  return new Suggester({ pieces, share, nowMs: 0, limits });
}

/** Takes all suggestions out: `[peer, piece]`. */
function take(suggester: Suggester): [number, number][] {
  const { commands } = suggester;
  const all = Array.from({ length: commands.count }, (_, i): [number, number] => {
    expect(commands.kind(i)).toBe(SUGGEST);
    return [commands.peer(i), commands.piece(i)];
  });
  commands.clear();
  return all;
}

function tickAt(suggester: Suggester, nowMs: number): void {
  suggester.advance(nowMs);
  suggester.tick();
}

describe('Suggester', () => {
  it('suggests distinct pieces in index order, one to each at first, then two at a time', () => {
    const suggester = makeSuggester(100);
    for (const peer of [0, 1, 2]) suggester.peerJoined(peer);
    expect(take(suggester)).toEqual([0, 1, 2].map((peer) => [peer, peer]));
    suggester.advance(100);
    suggester.peerHas(1, 1);
    expect(take(suggester)).toEqual([3, 4].map((piece) => [1, piece]));
    suggester.advance(300);
    suggester.peerHas(1, 3);
    expect(take(suggester)).toEqual([[1, 5]]);
  });

  it('skips what a neighbour has', () => {
    const suggester = makeSuggester(100);
    suggester.peerJoined(0);
    take(suggester);
    suggester.peerJoined(1);
    take(suggester);
    suggester.peerHasBits(1, bitfieldOf(new Uint8Array(100).fill(1, 0, 50)));
    take(suggester);
    suggester.peerHas(0, 0);
    for (const [, piece] of take(suggester)) expect(piece).toBeGreaterThanOrEqual(50);
  });

  it('suggests nothing to a peer that has everything, and does not count on it to pass pieces on', () => {
    const suggester = makeSuggester(10);
    suggester.peerJoined(0);
    suggester.peerHasAll(0);
    take(suggester);
    suggester.peerJoined(1);
    expect(take(suggester)).toEqual([[1, 0]]);
  });

  it('begins with its own share where a blob has several origins', () => {
    const suggester = makeSuggester(100, { index: 1, of: 3 });
    suggester.peerJoined(0);
    suggester.peerHas(0, 1);
    expect(take(suggester).map(([, piece]) => piece)).toEqual([1, 4, 7]);
  });

  it('helps out with the pieces of another origin once they are well behind and nobody has them', () => {
    const suggester = makeSuggester(400, { index: 0, of: 2 });
    suggester.peerJoined(0);
    const suggested: number[] = [];
    for (let nowMs = 0; nowMs < 5_000; nowMs += 20) {
      for (const [peer, piece] of take(suggester)) {
        suggested.push(piece);
        suggester.peerHas(peer, piece);
      }
      tickAt(suggester, nowMs);
    }
    const firstOther = suggested.findIndex((piece) => piece % 2 === 1);
    expect(firstOther).toBeGreaterThanOrEqual(16);
    expect(suggested.some((piece) => piece % 2 === 1)).toBe(true);
    expect(new Set(suggested).size).toBe(400);
  });

  it('suggests to others what a peer was told that leaves before it has it', () => {
    const suggester = makeSuggester(100);
    suggester.peerJoined(0);
    suggester.peerJoined(1);
    take(suggester);
    suggester.peerLeft(0);
    suggester.peerHas(1, 1);
    expect(take(suggester).map(([, piece]) => piece)).toEqual([0, 2]);
  });

  it('suggests again what only peers had that have left', () => {
    const suggester = makeSuggester(4);
    suggester.peerJoined(0);
    for (let piece = 0; piece < 3; piece++) suggester.peerHas(0, piece);
    take(suggester);
    suggester.peerLeft(0);
    suggester.peerJoined(1);
    expect(take(suggester).map(([, piece]) => piece)).toEqual([0]);
  });

  it('suggests to a faster peer what has not spread in time', () => {
    const suggester = makeSuggester(1_000);
    for (const peer of [0, 1, 2]) suggester.peerJoined(peer);
    const told = take(suggester);
    const all: [number, number][] = [];
    // Peer 2 gets nothing done; the others pass their pieces on at once.
    for (let nowMs = 50; nowMs < 1_200; nowMs += 50) {
      suggester.advance(nowMs);
      for (const [peer, piece] of told.splice(0)) {
        if (peer === 2) continue;
        for (const other of [0, 1]) suggester.peerHas(other, piece);
      }
      suggester.tick();
      told.push(...take(suggester));
      all.push(...told);
    }
    expect(all.filter(([peer, piece]) => peer !== 2 && piece === 2)).toHaveLength(1);
  });

  it('suggests one at a time to a peer whose pieces do not spread', () => {
    const suggester = makeSuggester(1_000);
    for (const peer of [0, 1, 2]) suggester.peerJoined(peer);
    const open = new Map<number, number>();
    const told = take(suggester);
    for (let nowMs = 10; nowMs < 3_000; nowMs += 10) {
      suggester.advance(nowMs);
      for (const [peer, piece] of told.splice(0)) {
        suggester.peerHas(peer, piece);
        // What peer 2 has comes to others only after half a second.
        if (peer !== 2) suggester.peerHas(1 - peer, piece);
        else open.set(piece, nowMs + 500);
      }
      for (const [piece, atMs] of open) {
        if (atMs > nowMs) continue;
        open.delete(piece);
        suggester.peerHas(0, piece);
      }
      suggester.tick();
      told.push(...take(suggester));
      if (nowMs > 1_500) expect(open.size + told.filter(([peer]) => peer === 2).length).toBeLessThanOrEqual(1);
    }
  });

  it('leaves the newest pieces to those in front, and late comers to their neighbours while these feed them', () => {
    const suggester = makeSuggester(1_000);
    suggester.peerJoined(0);
    suggester.peerHasBits(0, bitfieldOf(new Uint8Array(1_000).fill(1, 0, 500)));
    suggester.peerJoined(1);
    tickAt(suggester, 100);
    suggester.peerJoined(2);
    const told = take(suggester);
    let late = 0;
    let front = 0;
    let fed = 0;
    for (let nowMs = 200; front < 500; nowMs += 10) {
      suggester.advance(nowMs);
      for (const peer of [1, 2]) suggester.peerHas(peer, fed);
      fed++;
      suggester.tick();
      for (const [peer, piece] of told.splice(0)) {
        if (peer === 0) front++;
        else late++;
        suggester.peerHas(peer, piece);
      }
      told.push(...take(suggester));
    }
    expect(late).toBeLessThan(front / 4);
  });

  it('leaves no late comer idle that gets nothing from others', () => {
    const suggester = makeSuggester(1_000);
    suggester.peerJoined(0);
    suggester.peerHasBits(0, bitfieldOf(new Uint8Array(1_000).fill(1, 0, 500)));
    suggester.peerJoined(1);
    const late = take(suggester).filter(([peer]) => peer === 1);
    tickAt(suggester, 2_000);
    for (const [peer, piece] of late) suggester.peerHas(peer, piece);
    tickAt(suggester, 4_000);
    expect(take(suggester).filter(([peer]) => peer === 1).length).toBeGreaterThanOrEqual(1);
  });

  it('keeps a bounded distance from what the foremost peer has', () => {
    const suggester = makeSuggester(1_000);
    for (let peer = 0; peer < 5; peer++) suggester.peerJoined(peer);
    const counts = [0, 0, 0, 0, 0];
    let farthest = 0;
    let last = 0;
    // Each gets only what it is told of, so that pieces are handed out five times as fast as anybody has them.
    for (let nowMs = 0; nowMs < 5_000; nowMs += 10) {
      suggester.advance(nowMs);
      for (const [peer, piece] of take(suggester)) {
        last = Math.max(last, piece);
        suggester.peerHas(peer, piece);
        counts[peer]!++;
      }
      farthest = Math.max(farthest, last - Math.max(...counts));
    }
    expect(farthest).toBeGreaterThan(40);
    expect(farthest).toBeLessThanOrEqual(70);
  });

  it('opens more suggestions to a peer far away, and few to one near by', () => {
    const opened = [2, 60].map((roundTripMs) => {
      const suggester = makeSuggester(4_000);
      suggester.peerJoined(0);
      const due: { atMs: number; piece: number }[] = [];
      let freeAtMs = 0;
      let nowMs = 0;
      for (let step = 0; step < 800; step++) {
        for (const [, piece] of take(suggester)) {
          freeAtMs = Math.max(freeAtMs, nowMs + roundTripMs) + 3;
          due.push({ atMs: freeAtMs, piece });
        }
        const next = due.shift()!;
        nowMs = next.atMs;
        suggester.advance(nowMs);
        suggester.peerHas(0, next.piece);
      }
      return due.length;
    });
    expect(opened[0]).toBeLessThanOrEqual(12);
    expect(opened[1]).toBeGreaterThanOrEqual(20);
  });

  it('opens no more to all together than the uplink carries in a moment, and to all in turn', () => {
    const wires = 24;
    const pieceMs = 25;
    const suggester = makeSuggester(4_000);
    for (let peer = 0; peer < wires; peer++) suggester.peerJoined(peer);
    // One uplink: what was asked for first is sent first, and the peer tells a moment later that it has it.
    const sent: { atMs: number; peer: number; piece: number }[] = [];
    const perPeer = new Array<number>(wires).fill(0);
    let freeAtMs = 0;
    let nowMs = 0;
    let idleMs = 0;
    let longestMs = 0;
    for (let step = 0; step < 2_000; step++) {
      for (const [peer, piece] of take(suggester)) {
        idleMs += Math.max(0, nowMs - freeAtMs);
        freeAtMs = Math.max(freeAtMs, nowMs) + pieceMs;
        if (step > 1_000) longestMs = Math.max(longestMs, freeAtMs - nowMs);
        sent.push({ atMs: freeAtMs + 10, peer, piece });
        perPeer[peer]!++;
      }
      const next = sent.shift()!;
      nowMs = next.atMs;
      suggester.advance(nowMs);
      suggester.peerHas(next.peer, next.piece);
      // The others get it from there.
      for (let peer = 0; peer < wires; peer++) suggester.peerHas(peer, next.piece);
    }
    expect(idleMs).toBeLessThan(100);
    expect(longestMs).toBeLessThan(400);
    expect(Math.min(...perPeer)).toBeGreaterThan(0.8 * Math.max(...perPeer));
  });

  it.each([-1, 10, 2 ** 31 - 1])('ignores piece %i of ten', (piece) => {
    const suggester = makeSuggester(10);
    suggester.peerJoined(0);
    take(suggester);
    suggester.peerHas(0, piece);
    expect(take(suggester)).toEqual([]);
  });

  it('never suggests what a peer has or was told, and hands every piece out, whatever happens', () => {
    const event = fc.record({ what: fc.nat(5), peer: fc.nat(4), piece: fc.nat(39), ms: fc.nat(600) });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 300 }), fc.nat(2), (events, index) => {
        const suggester = makeSuggester(40, { index, of: 3 });
        const has = new Map<number, Set<number>>();
        const told = new Map<number, Set<number>>();
        let nowMs = 0;
        const check = () => {
          for (const [peer, piece] of take(suggester)) {
            expect(has.get(peer)?.has(piece)).toBe(false);
            expect(told.get(peer)?.has(piece)).toBe(false);
            told.get(peer)?.add(piece);
          }
        };
        const give = (peer: number, piece: number) => {
          suggester.peerHas(peer, piece);
          has.get(peer)?.add(piece);
          told.get(peer)?.delete(piece);
        };
        for (const { what, peer, piece, ms } of events) {
          nowMs += ms;
          suggester.advance(nowMs);
          // A suggestion that is not heeded for long may be made again.
          if (ms > 590) for (const pieces of told.values()) pieces.clear();
          if (what === 0) {
            suggester.peerJoined(peer);
            has.set(peer, new Set());
            told.set(peer, new Set());
          } else if (what === 1) {
            suggester.peerLeft(peer);
            has.delete(peer);
            told.delete(peer);
          } else if (what === 2) give(peer, piece);
          else if (what === 3) for (const one of [...(told.get(peer) ?? [])]) give(peer, one);
          else if (what === 4) {
            suggester.peerHasAll(peer);
            for (let all = 0; all < 40; all++) has.get(peer)?.add(all);
          } else suggester.tick();
          if (nowMs > 9_000) return;
          check();
        }
        // A new peer that does as it is told gets everything in the end.
        suggester.peerJoined(9);
        has.set(9, new Set());
        told.set(9, new Set());
        for (let i = 0; i < 400 && has.get(9)!.size < 40; i++) {
          for (const [peer, pieces] of told) {
            if (has.get(peer)!.size === 40) continue;
            for (const one of [...pieces]) give(peer, one);
          }
          nowMs += 100;
          tickAt(suggester, nowMs);
          for (const [peer, piece] of take(suggester)) told.get(peer)?.add(piece);
        }
        const around = new Set<number>();
        for (const pieces of has.values()) for (const piece of pieces) around.add(piece);
        expect(around.size).toBe(40);
      }),
      { numRuns: 200 },
    );
  });
});
