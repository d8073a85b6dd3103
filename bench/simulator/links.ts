import type { EventQueue } from './event-queue.ts';
import { ARRIVED, FIRST_BLOCK, UPLINK_FREE } from './events.ts';
import type { Fleet } from './fleet.ts';
import { QUEUED, SENDING, type Transfers } from './transfers.ts';
import { NOT_IN_ROUND, type WireTable } from './wire-table.ts';

/** What the first answer to a request is: one block. */
const BLOCK_BYTES = 128 * 1024;
/** Pieces of one wire that are in the socket or about to be: a cancel comes too late for them. */
const COMMITTED = 2;

/** Whom an uplink serves next: one after the other, the peer that is furthest behind, or both by turns. */
export type ServeOrder = 'turns' | 'mixed' | 'behind';

/** What the links need. */
export interface LinksDeps {
  readonly fleet: Fleet;
  readonly wires: WireTable;
  readonly transfers: Transfers;
  readonly queue: EventQueue;
  /** Bytes of one wire that are sent before the next wire's turn; 0 for a whole piece. */
  readonly quantumBytes: number;
  readonly serveOrder: ServeOrder;
  /** The last byte of a piece has left: the serving end and the piece. */
  readonly onSent: (end: number, piece: number) => void;
}

/**
 * The hosts' links, both directions at once. An uplink serves the wires that want something in turn
 * (or helps those that are behind, {@link ServeOrder}); a downlink is a FIFO
 * server that the bytes reach one latency later, while they are still being sent (cut-through). Neither ever exceeds its
 * rate. A piece that waits for a downlink waits in the network: its sender goes on with other wires.
 */
export class Links {
  /** By host. */
  readonly sentBytes: Float64Array;
  readonly receivedBytes: Float64Array;
  readonly #deps: LinksDeps;
  readonly #busy: Uint8Array;
  readonly #roundHead: Int32Array;
  readonly #roundTail: Int32Array;
  /** What the uplink is sending: the serving end, and the piece when these are its last bytes. */
  readonly #sendingEnd: Int32Array;
  readonly #sendingPiece: Int32Array;
  readonly #downFreeAtMs: Float64Array;
  /** Peers that differ by fewer pieces count as equally far. */
  readonly #step: number;
  /** Whether the next turn goes to whoever is furthest behind; by host. */
  readonly #helps: Uint8Array;

  constructor(deps: LinksDeps) {
    this.#deps = deps;
    const { hosts } = deps.fleet;
    this.sentBytes = new Float64Array(hosts);
    this.receivedBytes = new Float64Array(hosts);
    this.#busy = new Uint8Array(hosts);
    this.#roundHead = new Int32Array(hosts).fill(-1);
    this.#roundTail = new Int32Array(hosts).fill(-1);
    this.#sendingEnd = new Int32Array(hosts).fill(-1);
    this.#sendingPiece = new Int32Array(hosts);
    this.#downFreeAtMs = new Float64Array(hosts);
    this.#helps = new Uint8Array(hosts).fill(deps.serveOrder === 'turns' ? 0 : 1);
    this.#step = Math.max(1, deps.fleet.pieces >> 6);
  }

  /** A request has arrived: it waits for its wire's turn. */
  enqueue(transfer: number, nowMs: number): void {
    const { wires, transfers, fleet } = this.#deps;
    const end = transfers.end(transfer) ^ 1;
    transfers.setState(transfer, QUEUED);
    const tail = wires.queueTail(end);
    if (tail < 0) wires.setQueueHead(end, transfer);
    else transfers.setNext(tail, transfer);
    wires.setQueueTail(end, transfer);
    const host = fleet.hostOf(wires.node(end));
    if (wires.nextInRound(end) === NOT_IN_ROUND) this.#joinRound(host, end);
    if (this.#busy[host] === 0) this.#sendNext(host, nowMs);
  }

  /** Takes a request out of its server's queue, unless its bytes are about to be sent. */
  withdraw(transfer: number): void {
    const { wires, transfers } = this.#deps;
    if (transfers.state(transfer) !== QUEUED) return;
    const end = transfers.end(transfer) ^ 1;
    let before = -1;
    let place = 0;
    for (let other = wires.queueHead(end); other !== transfer; other = transfers.next(other)) {
      before = other;
      place++;
    }
    if (place < COMMITTED) return;
    transfers.setNext(before, transfers.next(transfer));
    if (wires.queueTail(end) === transfer) wires.setQueueTail(end, before);
    transfers.free(transfer);
  }

  /** The wire is closed: what its end still had to send is dropped. What has left arrives, and is dropped there. */
  dropQueue(end: number): void {
    const { wires, transfers } = this.#deps;
    for (let transfer = wires.queueHead(end); transfer >= 0; ) {
      const next = transfers.next(transfer);
      transfers.free(transfer);
      transfer = next;
    }
    wires.setQueueHead(end, -1);
    wires.setQueueTail(end, -1);
  }

  /** The uplink has sent what it was sending. */
  uplinkFree(host: number, nowMs: number): void {
    const end = this.#sendingEnd[host]!;
    const piece = this.#sendingPiece[host]!;
    this.#sendNext(host, nowMs);
    if (piece >= 0) this.#deps.onSent(end, piece);
  }

  #joinRound(host: number, end: number): void {
    const { wires } = this.#deps;
    wires.setNextInRound(end, -1);
    const tail = this.#roundTail[host]!;
    if (tail < 0) this.#roundHead[host] = end;
    else wires.setNextInRound(tail, end);
    this.#roundTail[host] = end;
  }

  /** The end whose turn it is, taken out of the round; -1 when nothing is queued. */
  #takeTurn(host: number): number {
    const { wires } = this.#deps;
    let before = -1;
    let chosen = -1;
    let least = Number.POSITIVE_INFINITY;
    let previous = -1;
    for (let end = this.#roundHead[host]!; end >= 0; end = wires.nextInRound(end)) {
      const place = this.#helps[host] === 1 ? this.#placeOf(end) : 0;
      if (place < least) [chosen, before, least] = [end, previous, place];
      if (this.#helps[host] === 0) break;
      previous = end;
    }
    if (chosen < 0) return -1;
    const next = wires.nextInRound(chosen);
    if (before < 0) this.#roundHead[host] = next;
    else wires.setNextInRound(before, next);
    if (next < 0) this.#roundTail[host] = before;
    wires.setNextInRound(chosen, NOT_IN_ROUND);
    // A closed wire has nothing left in its queue.
    if (wires.queueHead(chosen) < 0) return this.#takeTurn(host);
    if (this.#deps.serveOrder === 'mixed') this.#helps[host] = 1 - this.#helps[host]!;
    return chosen;
  }

  /** The least comes first; about equally far ones come one after the other. */
  #placeOf(end: number): number {
    const { fleet, wires } = this.#deps;
    const node = wires.node(end ^ 1);
    return fleet.complete[node] === 1 ? fleet.pieces : Math.floor(fleet.logCount[node]! / this.#step);
  }

  #sendNext(host: number, nowMs: number): void {
    const { wires, transfers, queue, fleet, quantumBytes } = this.#deps;
    const end = this.#takeTurn(host);
    this.#busy[host] = end < 0 ? 0 : 1;
    if (end < 0) return;
    const transfer = wires.queueHead(end);
    const left = transfers.left(transfer);
    const bytes = quantumBytes > 0 && quantumBytes < left ? quantumBytes : left;
    transfers.setState(transfer, SENDING);
    transfers.setLeft(transfer, left - bytes);
    if (bytes === left) this.#shift(end);
    if (wires.queueHead(end) >= 0) this.#joinRound(host, end);
    this.#sendingEnd[host] = end;
    this.#sendingPiece[host] = bytes === left ? transfers.piece(transfer) : -1;
    this.sentBytes[host]! += bytes;
    const upMs = bytes / fleet.upRate[host]!;
    queue.push(nowMs + upMs, UPLINK_FREE, host, 0);
    this.#receive(transfer, bytes, nowMs + wires.latencyMs(end), upMs);
  }

  /** Reserves the receiver's downlink for bytes that begin to arrive at `fromMs`, and do so for at least `forMs`. */
  #receive(transfer: number, bytes: number, fromMs: number, forMs: number): void {
    const { wires, transfers, queue, fleet } = this.#deps;
    const receiver = fleet.hostOf(wires.node(transfers.end(transfer)));
    const rate = fleet.downRate[receiver]!;
    const freeAtMs = this.#downFreeAtMs[receiver]!;
    const startMs = freeAtMs > fromMs ? freeAtMs : fromMs;
    const endMs = startMs + bytes / rate;
    this.#downFreeAtMs[receiver] = endMs;
    this.receivedBytes[receiver]! += bytes;
    const generation = transfers.generation(transfer);
    const left = transfers.left(transfer);
    const first = left + bytes === fleet.bytesOf(transfers.piece(transfer));
    if (first && transfers.isAlone(transfer) && bytes > BLOCK_BYTES) {
      queue.push(startMs + BLOCK_BYTES / rate, FIRST_BLOCK, transfer, generation);
    }
    // A sender that is slower than the receiver is what the last byte waits for.
    if (left === 0) queue.push(Math.max(endMs, fromMs + forMs), ARRIVED, transfer, generation);
  }

  #shift(end: number): void {
    const { wires, transfers } = this.#deps;
    const transfer = wires.queueHead(end);
    const next = transfers.next(transfer);
    wires.setQueueHead(end, next);
    if (next < 0) wires.setQueueTail(end, -1);
  }
}
