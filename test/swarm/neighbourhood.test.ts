import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DIAL,
  DROP,
  FULL,
  keepsNewWire,
  Neighbourhood,
  type NeighbourhoodLimits,
  REFUSE,
  TAKE,
  TURN_AWAY,
} from '../../src/swarm/neighbourhood/neighbourhood.ts';
import { seededRandom } from './virtual-swarm.ts';

function makeNeighbourhood(limits: Partial<NeighbourhoodLimits> = {}): Neighbourhood {
  return new Neighbourhood({ random: seededRandom(1), nowMs: 0, limits });
}

/** Takes the commands of one kind, and clears all. */
function taken(neighbourhood: Neighbourhood, kind: number): number[] {
  const { commands } = neighbourhood;
  const targets: number[] = [];
  for (let index = 0; index < commands.count; index++) {
    if (commands.kind(index) === kind) targets.push(commands.target(index));
  }
  commands.clear();
  return targets;
}

/** Wires in slots `from` to `to` - 1, to the peers of the same numbers. */
function fill(neighbourhood: Neighbourhood, to: number, options: { from?: number; eighths?: number } = {}): void {
  for (let slot = options.from ?? 0; slot < to; slot++) {
    neighbourhood.wireOpened(slot, slot, { outgoing: false, origin: false });
    neighbourhood.wireHas(slot, options.eighths ?? 0);
  }
}

/** The tracker answers a first announce with these peers: number and eighths. */
function answer(neighbourhood: Neighbourhood, peers: readonly [number, number, origin?: boolean][]): void {
  neighbourhood.announced(neighbourhood.want());
  for (const [peer, eighths, origin] of peers) neighbourhood.offered(peer, eighths, origin ?? false);
  neighbourhood.answered(peers.length);
}

describe('a newcomer', () => {
  it('asks for four peers at first, and dials them at once', () => {
    const neighbourhood = makeNeighbourhood();
    expect(neighbourhood.want()).toBe(4);
    answer(
      neighbourhood,
      [1, 2, 3, 4].map((peer) => [peer, 0]),
    );
    expect(taken(neighbourhood, DIAL).sort()).toEqual([1, 2, 3, 4]);
  });

  it('dials origins first, then peers with pieces', () => {
    const neighbourhood = makeNeighbourhood();
    const peers: [number, number, boolean?][] = [1, 2, 3, 4, 5, 6, 7].map((peer) => [peer, 0]);
    answer(neighbourhood, [...peers, [20, 3], [21, 8], [30, 8, true]]);
    const dialled = taken(neighbourhood, DIAL);
    expect(dialled[0]).toBe(30);
    expect(dialled.slice(1, 3).sort()).toEqual([20, 21]);
    expect(dialled).toHaveLength(4);
  });

  it('asks for the rest a moment later, and dials it over two seconds', () => {
    const neighbourhood = makeNeighbourhood({ wanted: 20 });
    answer(
      neighbourhood,
      [1, 2, 3, 4].map((peer) => [peer, 0]),
    );
    for (const slot of taken(neighbourhood, DIAL)) {
      neighbourhood.wireOpened(slot, slot, { outgoing: true, origin: false });
    }
    expect(neighbourhood.hungry).toBe(false);
    neighbourhood.advance(1_001);
    expect(neighbourhood.hungry).toBe(true);
    expect(neighbourhood.want()).toBeGreaterThanOrEqual(16);
    answer(
      neighbourhood,
      Array.from({ length: 18 }, (_, index) => [100 + index, 0]),
    );
    const atMs: number[] = [];
    for (let nowMs = 1_001; nowMs < 4_000; nowMs += 20) {
      neighbourhood.advance(nowMs);
      neighbourhood.tick();
      for (const peer of taken(neighbourhood, DIAL)) {
        neighbourhood.wireOpened(peer, peer, { outgoing: true, origin: false });
        atMs.push(nowMs);
      }
    }
    // Half of its wires: others dial the rest.
    expect(atMs.length).toBeGreaterThanOrEqual(6);
    for (let index = 1; index < atMs.length; index++) expect(atMs[index]! - atMs[index - 1]!).toBeGreaterThan(0);
  });

  it('dials everybody soon where the tracker knows no more', () => {
    const neighbourhood = makeNeighbourhood();
    answer(
      neighbourhood,
      [1, 2, 3].map((peer) => [peer, 0]),
    );
    neighbourhood.advance(1_000);
    neighbourhood.announced(neighbourhood.want());
    for (const peer of [4, 5, 6, 7]) neighbourhood.offered(peer, 0, false);
    neighbourhood.answered(7);
    const dialled = taken(neighbourhood, DIAL);
    for (let nowMs = 1_000; nowMs < 1_400; nowMs += 20) {
      neighbourhood.advance(nowMs);
      neighbourhood.tick();
      dialled.push(...taken(neighbourhood, DIAL));
    }
    expect(dialled.sort()).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it('dials another one when a dial fails, and the same one only after a while', () => {
    const neighbourhood = makeNeighbourhood({ retryMs: 1_000 });
    answer(
      neighbourhood,
      [1, 2, 3, 4, 5].map((peer) => [peer, 0]),
    );
    const [failed] = taken(neighbourhood, DIAL);
    neighbourhood.dialFailed(failed!);
    neighbourhood.tick();
    expect(taken(neighbourhood, DIAL)).toHaveLength(1);
    neighbourhood.advance(400);
    neighbourhood.tick();
    expect(taken(neighbourhood, DIAL)).toEqual([]);
    neighbourhood.advance(2_000);
    neighbourhood.tick();
    expect(taken(neighbourhood, DIAL)).toContain(failed);
  });
});

describe('a wire that comes in', () => {
  const roomy = { maxWires: 8, reserved: 2, uselessMs: 10_000 };
  it.each<[string, number, number | undefined, number]>([
    ['is taken while there is room', 5, 5, TAKE],
    ['is taken from a newcomer when only reserved room is left', 6, 1, TAKE],
    ['is taken from an unknown peer when only reserved room is left', 7, undefined, TAKE],
    ['is not taken from others then', 6, 5, FULL],
    ['is not taken at all when nothing is left', 8, 0, FULL],
  ])('%s', (_what, wires, eighths, expected) => {
    const neighbourhood = makeNeighbourhood(roomy);
    fill(neighbourhood, wires);
    if (eighths !== undefined) neighbourhood.offered(99, eighths, false);
    expect(neighbourhood.accept(99, false)).toBe(expected);
  });

  it('takes the place of one that was of no use for ten seconds', () => {
    const neighbourhood = makeNeighbourhood(roomy);
    fill(neighbourhood, 8);
    neighbourhood.advance(10_500);
    for (const slot of [0, 1, 2, 4, 5, 6, 7]) neighbourhood.exchanged(slot);
    expect(neighbourhood.accept(99, false)).toBe(3);
  });

  it('of a newcomer takes the place of the one that is furthest, once that had its time', () => {
    const neighbourhood = makeNeighbourhood(roomy);
    fill(neighbourhood, 7, { eighths: 4 });
    fill(neighbourhood, 8, { from: 7, eighths: 6 });
    expect(taken(neighbourhood, TURN_AWAY)).toEqual([6, 7]);
    expect(neighbourhood.accept(99, false)).toBe(FULL);
    neighbourhood.advance(6_000);
    for (let slot = 0; slot < 8; slot++) neighbourhood.exchanged(slot);
    expect(neighbourhood.accept(99, false)).toBe(7);
  });

  it('in reserved room is turned away once it turns out to be no newcomer', () => {
    const neighbourhood = makeNeighbourhood(roomy);
    fill(neighbourhood, 7);
    neighbourhood.wireHas(6, 5);
    expect(taken(neighbourhood, TURN_AWAY)).toEqual([6]);
  });

  it('is refused from whoever is banned or has one', () => {
    const neighbourhood = makeNeighbourhood();
    fill(neighbourhood, 1);
    neighbourhood.ban(5);
    expect(neighbourhood.accept(5, false)).toBe(REFUSE);
    expect(neighbourhood.accept(0, false)).toBe(REFUSE);
  });
});

describe('wires of no use', () => {
  it('are replaced one at a time when there is somebody else', () => {
    const neighbourhood = makeNeighbourhood({ wanted: 4 });
    fill(neighbourhood, 4);
    neighbourhood.advance(11_000);
    neighbourhood.exchanged(1);
    neighbourhood.tick();
    expect(taken(neighbourhood, DROP)).toEqual([]);
    neighbourhood.offered(50, 4, false);
    neighbourhood.tick();
    expect(taken(neighbourhood, DROP)).toHaveLength(1);
    neighbourhood.tick();
    expect(taken(neighbourhood, DROP)).toEqual([]);
  });

  it('stay when they lead to the last origin', () => {
    const neighbourhood = makeNeighbourhood({ wanted: 1 });
    neighbourhood.wireOpened(0, 0, { outgoing: true, origin: true });
    neighbourhood.offered(50, 4, false);
    neighbourhood.advance(60_000);
    neighbourhood.tick();
    expect(taken(neighbourhood, DROP)).toEqual([]);
  });

  it('are dropped at once between two complete peers, whoever was the last to become it', () => {
    const neighbourhood = makeNeighbourhood();
    fill(neighbourhood, 3);
    neighbourhood.wireHas(1, 8);
    expect(taken(neighbourhood, DROP)).toEqual([]);
    neighbourhood.became(8);
    expect(taken(neighbourhood, DROP)).toEqual([1]);
    neighbourhood.wireHas(2, 8);
    expect(taken(neighbourhood, DROP)).toEqual([2]);
    expect(neighbourhood.want()).toBe(0);
  });
});

describe('neighbours that are named to others', () => {
  it('have pieces where there are such, and are no origins', () => {
    const neighbourhood = makeNeighbourhood();
    fill(neighbourhood, 6);
    fill(neighbourhood, 9, { from: 6, eighths: 3 });
    neighbourhood.wireOpened(9, 9, { outgoing: true, origin: true });
    const named = neighbourhood.nameNeighbours(5, 6);
    expect(named.slice(0, 2).sort()).toEqual([7, 8]);
    expect(named).toHaveLength(5);
    for (const slot of [6, 9]) expect(named).not.toContain(slot);
  });
});

describe('of two wires between the same peers', () => {
  it('both ends keep the one that the lower id dialled', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.boolean(), (a, b, lowFirst) => {
        fc.pre(a !== b);
        // `lowFirst`: a's dial was the first wire.
        const atA = keepsNewWire({ selfId: a, peerId: b, newIsOutgoing: !lowFirst, oldIsOutgoing: lowFirst });
        const atB = keepsNewWire({ selfId: b, peerId: a, newIsOutgoing: lowFirst, oldIsOutgoing: !lowFirst });
        expect(atA).toBe(atB);
        expect(atA).toBe(lowFirst ? b < a : a < b);
      }),
    );
  });
});

describe('Neighbourhood', () => {
  const peer = fc.nat(40);
  const event = fc.oneof(
    fc.record({ kind: fc.constant('offer' as const), peer, eighths: fc.nat(8), origin: fc.boolean() }),
    fc.record({ kind: fc.constantFrom('knock' as const, 'ban' as const, 'fail' as const), peer }),
    fc.record({ kind: fc.constantFrom('close' as const, 'use' as const), slot: fc.nat(15) }),
    fc.record({ kind: fc.constant('has' as const), slot: fc.nat(15), eighths: fc.nat(8) }),
    fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(12_000) }),
    fc.record({ kind: fc.constant('announce' as const) }),
  );

  it('keeps its bounds, and never dials whom it must not, whatever happens', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 200 }), fc.nat(1000), (events, seed) => {
        const run = new Run(seed);
        for (const each of events) run.apply(each);
      }),
      { numRuns: 300 },
    );
  });

  /** Plays the caller's part, and checks every command. */
  class Run {
    readonly #neighbourhood: Neighbourhood;
    readonly #slots: (number | undefined)[] = [];
    readonly #dialling = new Set<number>();
    readonly #banned = new Set<number>();
    #nowMs = 0;

    constructor(seed: number) {
      this.#neighbourhood = new Neighbourhood({ random: seededRandom(seed), nowMs: 0, limits: { candidates: 8 } });
    }

    apply(event: {
      kind: 'offer' | 'knock' | 'ban' | 'fail' | 'close' | 'use' | 'has' | 'wait' | 'announce';
      peer?: number;
      slot?: number;
      eighths?: number;
      origin?: boolean;
      ms?: number;
    }): void {
      const neighbourhood = this.#neighbourhood;
      const { kind, peer = 0, slot = 0, eighths = 0 } = event;
      if (kind === 'offer') neighbourhood.offered(peer, eighths, event.origin ?? false);
      if (kind === 'knock') this.#knock(peer);
      if (kind === 'ban') this.#ban(peer);
      if (kind === 'fail' && this.#dialling.delete(peer)) neighbourhood.dialFailed(peer);
      if (kind === 'close') this.#close(slot);
      if (kind === 'use' && this.#slots[slot] !== undefined) neighbourhood.exchanged(slot);
      if (kind === 'has') neighbourhood.wireHas(slot, eighths);
      if (kind === 'wait') this.#wait(event.ms ?? 0);
      if (kind === 'announce') {
        const want = neighbourhood.want();
        expect(want).toBeLessThanOrEqual(12);
        neighbourhood.announced(want);
        neighbourhood.answered(want);
      }
      neighbourhood.tick();
      for (const gone of neighbourhood.forgotten.splice(0)) this.#dialling.delete(gone);
      this.#check();
    }

    #wait(ms: number): void {
      this.#nowMs += ms;
      this.#neighbourhood.advance(this.#nowMs);
    }

    #check(): void {
      const { commands } = this.#neighbourhood;
      for (let index = 0; index < commands.count; index++) {
        const target = commands.target(index);
        if (commands.kind(index) !== DIAL) {
          expect(this.#slots[target]).toBeDefined();
          continue;
        }
        expect(this.#banned.has(target)).toBe(false);
        expect(this.#slots).not.toContain(target);
        this.#dialling.add(target);
      }
      commands.clear();
      expect(this.#neighbourhood.wires).toBe(this.#slots.filter((each) => each !== undefined).length);
      expect(this.#neighbourhood.wires).toBeLessThanOrEqual(16);
      expect(this.#neighbourhood.dialling).toBeLessThanOrEqual(8);
    }

    #knock(peer: number): void {
      const outgoing = this.#dialling.delete(peer);
      const answer = this.#neighbourhood.accept(peer, outgoing);
      if (this.#banned.has(peer)) expect(answer).toBe(REFUSE);
      if (answer >= 0) this.#close(answer);
      if (answer === FULL || answer === REFUSE) {
        if (outgoing) this.#neighbourhood.dialFailed(peer);
        return;
      }
      let slot = this.#slots.indexOf(undefined);
      if (slot < 0) slot = this.#slots.length;
      this.#slots[slot] = peer;
      this.#neighbourhood.wireOpened(slot, peer, { outgoing, origin: peer < 3 });
    }

    #ban(peer: number): void {
      this.#banned.add(peer);
      this.#dialling.delete(peer);
      this.#neighbourhood.ban(peer);
      const slot = this.#slots.indexOf(peer);
      if (slot >= 0) this.#close(slot);
    }

    #close(slot: number): void {
      if (this.#slots[slot] === undefined) return;
      this.#slots[slot] = undefined;
      this.#neighbourhood.wireClosed(slot, slot % 2 === 0);
    }
  }
});
