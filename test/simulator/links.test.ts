import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventQueue } from '../../bench/simulator/event-queue.ts';
import { ARRIVED, UPLINK_FREE } from '../../bench/simulator/events.ts';
import { Fleet } from '../../bench/simulator/fleet.ts';
import { Links, type ServeOrder } from '../../bench/simulator/links.ts';
import { parseOptions } from '../../bench/simulator/options.ts';
import { Transfers } from '../../bench/simulator/transfers.ts';
import { WireTable } from '../../bench/simulator/wire-table.ts';

const PIECE = 65_536;
const LATENCY_MS = 0.5;

/** Hosts with a wire between any two, each with its own link; one blob. */
class Bed {
  readonly fleet: Fleet;
  readonly wires: WireTable;
  readonly transfers = new Transfers();
  readonly queue = new EventQueue(0.1);
  readonly links: Links;
  readonly sent: [number, number][] = [];
  readonly arrivals: { atMs: number; receiver: number; piece: number }[] = [];
  nowMs = 0;
  readonly #ends = new Map<string, number>();

  constructor(rates: readonly number[], quantumBytes = 0, serveOrder: ServeOrder = 'turns') {
    const args = ['--hosts', String(rates.length), '--origins', '0', '--blobs', `${100 * PIECE}B`];
    const { simulation: options } = parseOptions([...args, '--piece-length', '64KiB']);
    this.fleet = new Fleet(options);
    rates.forEach((rate, host) => {
      this.fleet.upRate[host] = rate;
      this.fleet.downRate[host] = rate;
    });
    this.wires = new WireTable(this.fleet.nodes);
    const { fleet, wires, transfers, queue } = this;
    const onSent = (end: number, piece: number) => this.sent.push([end, piece]);
    this.links = new Links({ fleet, wires, transfers, queue, quantumBytes, serveOrder, onSent });
  }

  /** Host `to` asks host `from` for a piece. */
  ask(from: number, to: number, piece: number): number {
    const key = `${Math.min(from, to)}-${Math.max(from, to)}`;
    let first = this.#ends.get(key);
    if (first === undefined) {
      first = this.wires.connect(Math.min(from, to), Math.max(from, to), LATENCY_MS);
      this.#ends.set(key, first);
    }
    const transfer = this.transfers.allocate(to < from ? first : first + 1, piece, PIECE);
    this.links.enqueue(transfer, this.nowMs);
    return transfer;
  }

  run(): void {
    while (this.queue.pop()) {
      this.nowMs = this.queue.timeMs;
      const { kind, a } = this.queue;
      if (kind === UPLINK_FREE) this.links.uplinkFree(a, this.nowMs);
      if (kind !== ARRIVED) continue;
      const receiver = this.wires.node(this.transfers.end(a));
      this.arrivals.push({ atMs: this.nowMs, receiver, piece: this.transfers.piece(a) });
      this.transfers.free(a);
    }
  }
}

describe('Links', () => {
  it('sends one piece in a latency and the time that its link needs: cut through, not stored and forwarded', () => {
    const bed = new Bed([1000, 1000]);
    bed.ask(0, 1, 0);
    bed.run();
    expect(bed.arrivals[0]!.atMs).toBeCloseTo(LATENCY_MS + PIECE / 1000, 6);
  });

  it('never exceeds the rate of an uplink or a downlink', () => {
    const asks = fc.array(fc.tuple(fc.nat(3), fc.nat(3), fc.nat(99)), { maxLength: 60 });
    const rates = fc.array(fc.constantFrom(100, 1000, 5000), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(rates, asks, fc.constantFrom(0, 16_384), (all, wanted, quantum) => {
        const bed = new Bed(all, quantum);
        for (const [from, to, piece] of wanted) if (from !== to) bed.ask(from, to, piece);
        bed.run();
        expect(bed.arrivals).toHaveLength(wanted.filter(([from, to]) => from !== to).length);
        for (let host = 0; host < 4; host++) {
          const received = bed.arrivals.filter(({ receiver }) => receiver === host);
          received.forEach(({ atMs }, index) => {
            expect(((index + 1) * PIECE) / all[host]!).toBeLessThanOrEqual(atMs - LATENCY_MS + 1e-6);
          });
          expect(bed.links.sentBytes[host]! / all[host]!).toBeLessThanOrEqual(bed.nowMs + 1e-6);
        }
      }),
    );
  });

  it('serves wires in turn', () => {
    const bed = new Bed([1000, 1000, 1000]);
    for (const piece of [0, 1, 2]) bed.ask(0, 1, piece);
    for (const piece of [10, 11]) bed.ask(0, 2, piece);
    bed.run();
    expect(bed.sent.map(([, piece]) => piece)).toEqual([0, 1, 10, 2, 11]);
  });

  it.each<[ServeOrder, number[]]>([
    ['turns', [0, 1, 10, 2, 11, 3, 12]],
    ['behind', [0, 10, 11, 12, 1, 2, 3]],
    ['mixed', [0, 1, 10, 2, 11, 3, 12]],
  ])('serves in the order "%s" a peer that is ahead and one that is behind', (order, expected) => {
    const bed = new Bed([1000, 1000, 1000], 0, order);
    for (const piece of [50, 51]) bed.fleet.addPiece(1, piece, 0);
    for (const piece of [0, 1, 2, 3]) bed.ask(0, 1, piece);
    for (const piece of [10, 11, 12]) bed.ask(0, 2, piece);
    bed.run();
    expect(bed.sent.map(([, piece]) => piece)).toEqual(expected);
  });

  it('gives every second turn to whoever is behind when it helps in part', () => {
    const bed = new Bed([1000, 1000, 1000, 1000], 0, 'mixed');
    for (const receiver of [1, 2]) for (const piece of [50, 51]) bed.fleet.addPiece(receiver, piece, 0);
    for (const piece of [0, 1, 2]) bed.ask(0, 1, piece);
    for (const piece of [10, 11, 12]) bed.ask(0, 2, piece);
    for (const piece of [20, 21, 22]) bed.ask(0, 3, piece);
    bed.run();
    const behind = bed.sent.findLastIndex(([, piece]) => piece >= 20);
    expect(behind).toBeLessThan(7);
  });

  it('goes on with other wires while a slow receiver is behind', () => {
    const bed = new Bed([1000, 10, 1000]);
    for (const piece of [0, 1]) bed.ask(0, 1, piece);
    for (const piece of [10, 11]) bed.ask(0, 2, piece);
    bed.run();
    const fast = bed.arrivals.filter(({ receiver }) => receiver === 2);
    expect(fast.at(-1)!.atMs).toBeLessThan((4.1 * PIECE) / 1000);
    expect(bed.arrivals.at(-1)!.atMs).toBeGreaterThan((2 * PIECE) / 10);
  });

  it('takes back what is not about to be sent, and only that', () => {
    const bed = new Bed([1000, 1000]);
    const asked = [0, 1, 2, 3].map((piece) => bed.ask(0, 1, piece));
    bed.links.withdraw(asked[1]!);
    bed.links.withdraw(asked[3]!);
    bed.run();
    expect(bed.arrivals.map(({ piece }) => piece)).toEqual([0, 1, 2]);
  });
});
