import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Command, Dispatcher } from '../../src/swarm/dispatcher.ts';
import { PeerTable } from '../../src/swarm/peer-table.ts';
import { seededRandom, VirtualSwarm } from './virtual-swarm.ts';

function makeDispatcher(pieces: number, has: (piece: number) => boolean = () => false): Dispatcher {
  return new Dispatcher({ pieces, self: 1, has, random: seededRandom(7), nowMs: 0 });
}

function requests(commands: Command[]): number[] {
  return commands.filter(({ kind }) => kind === 'request').map(({ piece }) => piece);
}

describe('Dispatcher', () => {
  it('asks a lone seeder in index order, two pieces at a time', () => {
    const dispatcher = makeDispatcher(5);
    dispatcher.peerJoined(1, 11, true);
    dispatcher.peerHasAll(1);
    expect(dispatcher.takeCommands()).toEqual([]);
    dispatcher.peerUnchoked(1);
    expect(requests(dispatcher.takeCommands())).toEqual([0, 1]);
    dispatcher.pieceVerified(0, 1);
    expect(requests(dispatcher.takeCommands())).toEqual([2]);
  });

  it('asks for nothing that it has', () => {
    const dispatcher = makeDispatcher(4, (piece) => piece !== 2);
    dispatcher.peerJoined(1, 11, false);
    dispatcher.peerHasAll(1);
    dispatcher.peerUnchoked(1);
    expect(requests(dispatcher.takeCommands())).toEqual([2]);
    expect(dispatcher.missing).toBe(1);
  });

  it('asks for the rarest first, counting only peers that are not seeders', () => {
    const dispatcher = makeDispatcher(3);
    for (const peer of [1, 2, 3]) dispatcher.peerJoined(peer, peer, false);
    for (const peer of [1, 2, 3]) dispatcher.peerHas(peer, 0);
    for (const peer of [1, 2]) dispatcher.peerHas(peer, 1);
    dispatcher.peerUnchoked(1);
    expect(requests(dispatcher.takeCommands())).toEqual([1, 0]);
  });

  it('asks for what a reader waits for before what is rare', () => {
    const dispatcher = makeDispatcher(100);
    dispatcher.peerJoined(1, 1, false);
    dispatcher.peerJoined(2, 2, false);
    for (let piece = 0; piece < 99; piece++) {
      dispatcher.peerHas(1, piece);
      if (piece >= 40 && piece < 44) dispatcher.peerHas(2, piece);
    }
    dispatcher.readerMoved(0, 40, 99);
    dispatcher.peerUnchoked(1);
    expect(requests(dispatcher.takeCommands())).toEqual([40, 41]);
  });

  it('asks a seeder for what a neighbour owns once a reader has waited too long', () => {
    const table = new PeerTable(64, 1);
    table.add(2, 99, false, 2);
    const others = Array.from({ length: 64 }, (_, piece) => piece).filter((piece) => !table.isMine(piece));
    const dispatcher = makeDispatcher(64);
    dispatcher.peerJoined(2, 99, false);
    dispatcher.peerJoined(1, 1, true);
    dispatcher.peerHasAll(1);
    dispatcher.peerUnchoked(1);
    const [first, second] = requests(dispatcher.takeCommands());
    dispatcher.readerMoved(0, others[5]!, 63);
    dispatcher.pieceVerified(first!, 1);
    expect(others).not.toContain(requests(dispatcher.takeCommands())[0]);
    dispatcher.tick(5_000);
    dispatcher.progressed(1);
    dispatcher.pieceVerified(second!, 1);
    expect(requests(dispatcher.takeCommands())).toEqual([others[5]]);
  });

  it('frees the pieces of a peer that leaves, chokes or fails', () => {
    const leave = (dispatcher: Dispatcher) => dispatcher.peerLeft(1);
    const choke = (dispatcher: Dispatcher) => dispatcher.peerChoked(1);
    const fail = (dispatcher: Dispatcher) => [0, 1].map((piece) => dispatcher.requestFailed(1, piece));
    for (const lose of [leave, choke, fail]) {
      const dispatcher = makeDispatcher(10);
      dispatcher.peerJoined(1, 1, true);
      dispatcher.peerHasAll(1);
      dispatcher.peerUnchoked(1);
      dispatcher.takeCommands();
      lose(dispatcher);
      dispatcher.peerJoined(2, 2, true);
      dispatcher.peerHasAll(2);
      dispatcher.peerUnchoked(2);
      expect(requests(dispatcher.takeCommands())).toEqual([0, 1]);
    }
  });

  it('gives up on a peer that is silent, and asks it for one piece at a time afterwards', () => {
    const dispatcher = makeDispatcher(10);
    dispatcher.peerJoined(1, 1, true);
    dispatcher.peerHasAll(1);
    dispatcher.peerUnchoked(1);
    expect(requests(dispatcher.takeCommands())).toHaveLength(2);
    dispatcher.tick(60_000);
    const commands = dispatcher.takeCommands();
    expect(commands.filter(({ kind }) => kind === 'cancel')).toHaveLength(2);
    expect(requests(commands)).toHaveLength(1);
  });

  it('asks twice only in the endgame, after patience, and cancels the slower', () => {
    const dispatcher = makeDispatcher(1);
    for (const peer of [1, 2]) {
      dispatcher.peerJoined(peer, peer, true);
      dispatcher.peerHasAll(peer);
      dispatcher.peerUnchoked(peer);
    }
    const first = dispatcher.takeCommands();
    expect(requests(first)).toEqual([0]);
    dispatcher.tick(100);
    expect(dispatcher.takeCommands()).toEqual([]);
    dispatcher.tick(2_000);
    const second = dispatcher.takeCommands();
    expect(requests(second)).toEqual([0]);
    dispatcher.pieceVerified(0, second[0]!.peer);
    expect(dispatcher.takeCommands()).toEqual([{ kind: 'cancel', peer: first[0]!.peer, piece: 0 }]);
  });

  it('ignores pieces that do not exist', () => {
    const dispatcher = makeDispatcher(3);
    dispatcher.peerJoined(1, 1, false);
    dispatcher.peerHas(1, 3);
    dispatcher.peerHas(1, -1);
    dispatcher.peerUnchoked(1);
    expect(dispatcher.takeCommands()).toEqual([]);
  });

  it('never asks for a verified piece, or for one on its way outside of the endgame, whatever happens', () => {
    const event = fc.record({
      what: fc.integer({ min: 0, max: 8 }),
      peer: fc.integer({ min: 0, max: 5 }),
      piece: fc.nat(29),
    });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 300 }), fc.integer(), (events, seed) => {
        const dispatcher = new Dispatcher({
          pieces: 30,
          self: 5,
          has: () => false,
          random: seededRandom(seed),
          nowMs: 0,
        });
        const verified = new Set<number>();
        const flying = new Map<number, Set<number>>();
        let nowMs = 0;
        for (const { what, peer, piece } of events) {
          if (what === 0) {
            dispatcher.peerLeft(peer);
            for (const holders of flying.values()) holders.delete(peer);
            dispatcher.peerJoined(peer, peer * 977, peer === 0);
          } else if (what === 1) dispatcher.peerHas(peer, piece);
          else if (what === 2) dispatcher.peerHasAll(peer);
          else if (what === 3) dispatcher.peerUnchoked(peer);
          else if (what === 4) {
            dispatcher.peerChoked(peer);
            for (const holders of flying.values()) holders.delete(peer);
          } else if (what === 5 && flying.get(piece)?.has(peer) === true) {
            dispatcher.pieceVerified(piece, peer);
            verified.add(piece);
            flying.delete(piece);
          } else if (what === 6) {
            dispatcher.requestFailed(peer, piece);
            flying.get(piece)?.delete(peer);
          } else if (what === 7) dispatcher.readerMoved(0, piece, 29);
          else {
            nowMs += 150;
            dispatcher.tick(nowMs);
          }
          for (const command of dispatcher.takeCommands()) {
            const holders = flying.get(command.piece) ?? new Set();
            flying.set(command.piece, holders);
            if (command.kind === 'cancel') {
              holders.delete(command.peer);
              continue;
            }
            expect(verified.has(command.piece)).toBe(false);
            expect(holders.has(command.peer)).toBe(false);
            holders.add(command.peer);
            expect(holders.size).toBeLessThanOrEqual(2);
            if (holders.size === 2) expect(dispatcher.endgame).toBe(true);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('a virtual swarm', () => {
  it.each([
    { seeders: 1, leechers: 8, pieces: 1024, copies: 1.15, slack: 1.2 },
    { seeders: 2, leechers: 3, pieces: 1024, copies: 1.15, slack: 1.2 },
    { seeders: 1, leechers: 1, pieces: 300, copies: 1.0, slack: 1.02 },
  ])('$seeders seeders give $leechers leechers every piece with few copies and no waste', (topology) => {
    const swarm = new VirtualSwarm({ ...topology, msPerPiece: 10 });
    swarm.run(60_000);
    expect(swarm.leechers.map((host) => host.dispatcher.missing)).toEqual(Array(topology.leechers).fill(0));
    const seederSent = swarm.hosts.slice(0, topology.seeders).reduce((sum, host) => sum + host.sent, 0);
    expect(seederSent / topology.pieces).toBeLessThanOrEqual(topology.copies);
    for (const host of swarm.leechers) {
      expect(host.duplicates / topology.pieces).toBeLessThanOrEqual(0.01);
      expect(host.duplicatesOutsideEndgame).toBe(0);
    }
    // Every piece leaves a seeder once, and leechers pass the other copies on.
    const { leechers, seeders, pieces } = topology;
    const idealMs = 10 * pieces * Math.max(1 / seeders, (leechers - 1) / leechers);
    expect(Math.max(...swarm.leechers.map((host) => host.doneAtMs)) / idealMs).toBeLessThanOrEqual(topology.slack);
  });
});
