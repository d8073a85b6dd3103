import { CANCEL, REQUEST, SUGGEST } from '../../src/swarm/dispatcher/command-buffer.ts';
import type { EventQueue } from './event-queue.ts';
import { CANCELLED, REQUESTED, SUGGESTED, VERIFIED } from './events.ts';
import type { Fleet } from './fleet.ts';
import type { Links } from './links.ts';
import type { SimulationOptions } from './options.ts';
import { ASKED, SENDING, type Transfers } from './transfers.ts';
import type { WireTable } from './wire-table.ts';

/** Production sends HAVEs in batches above so many pieces, every so often. */
const BATCHED_ABOVE_PIECES = 4096;
const BATCH_MS = 20;

/** What the exchange of pieces needs. */
export interface ExchangeDeps {
  readonly options: SimulationOptions;
  readonly fleet: Fleet;
  readonly wires: WireTable;
  readonly transfers: Transfers;
  readonly queue: EventQueue;
  readonly links: Links;
  /** How many eighths a node or its neighbour has has changed: the neighbourhood may have commands. */
  readonly onEighths: (node: number) => void;
  /** A node has its whole blob. */
  readonly onComplete: (node: number) => void;
}

/** Pieces between nodes: carries out what dispatchers and suggesters command, and tells them what happens. */
export class Exchange {
  /** All bytes of pieces that came in, and those of them that nobody could use. */
  arrivedBytes = 0;
  wastedBytes = 0;
  /** HAVEs that were delivered. */
  haves = 0;
  readonly #deps: ExchangeDeps;
  readonly #hashFreeAtMs: Float64Array;
  /** By node. */
  readonly #heardAtMs: Float64Array;

  constructor(deps: ExchangeDeps) {
    this.#deps = deps;
    this.#hashFreeAtMs = new Float64Array(deps.fleet.hosts);
    this.#heardAtMs = new Float64Array(deps.fleet.nodes);
  }

  /** Carries out what the node's dispatcher or suggester wants done. */
  carryOut(node: number, nowMs: number): void {
    const { fleet, wires, queue } = this.#deps;
    const commands = (fleet.dispatchers[node] ?? fleet.suggesters[node])?.commands;
    if (commands === undefined || commands.count === 0) return;
    const slots = wires.slotsOf(node);
    for (let index = 0; index < commands.count; index++) {
      const end = slots[commands.peer(index)] ?? -1;
      if (end < 0) continue;
      const kind = commands.kind(index);
      if (kind === REQUEST) this.#request(end, commands.piece(index), nowMs);
      else if (kind === CANCEL) this.#cancel(end, commands.piece(index), nowMs);
      else if (kind === SUGGEST) queue.push(nowMs + wires.latencyMs(end), SUGGESTED, end ^ 1, commands.piece(index));
    }
    commands.clear();
  }

  /** Delivers the HAVEs that have reached a node, unless it was done less than `atLeastMs` ago. */
  listen(node: number, nowMs: number, atLeastMs: number): void {
    if (nowMs - this.#heardAtMs[node]! < atLeastMs) return;
    const { fleet } = this.#deps;
    (fleet.dispatchers[node] ?? fleet.suggesters[node])?.advance(nowMs);
    this.#hear(node, nowMs);
  }

  /** An origin's suggestion is in. */
  suggested(end: number, piece: number, nowMs: number): void {
    const { fleet, wires } = this.#deps;
    const node = wires.node(end);
    const dispatcher = fleet.dispatchers[node];
    if (!wires.isOpen(end) || dispatcher === undefined) return;
    dispatcher.advance(nowMs);
    dispatcher.peerSuggested(wires.slot(end), piece);
    this.carryOut(node, nowMs);
  }

  /** A request reaches its server. */
  requested(transfer: number, nowMs: number): void {
    const { transfers, links, wires, fleet } = this.#deps;
    const server = wires.node(transfers.end(transfer) ^ 1);
    if (transfers.isDead(transfer)) transfers.free(transfer);
    else if (fleet.has(server, transfers.piece(transfer))) links.enqueue(transfer, nowMs);
    else throw new Error(`node ${server} was asked for piece ${transfers.piece(transfer)}, which it never had`);
  }

  /** A cancel reaches the server. */
  cancelled(transfer: number, generation: number): void {
    if (this.#deps.transfers.generation(transfer) === generation) this.#deps.links.withdraw(transfer);
  }

  /** The first block of a piece is in. */
  firstBlock(transfer: number, generation: number, nowMs: number): void {
    const { transfers, wires, fleet } = this.#deps;
    if (transfers.generation(transfer) !== generation || transfers.isDead(transfer)) return;
    const end = transfers.end(transfer);
    const node = wires.node(end);
    const dispatcher = fleet.dispatchers[node];
    dispatcher?.advance(nowMs);
    dispatcher?.progressed(wires.slot(end));
    this.carryOut(node, nowMs);
  }

  /** The last byte of a piece is in: the wire is free, and the piece goes to be hashed. */
  arrived(transfer: number, nowMs: number): void {
    const { transfers, wires, fleet, queue, options } = this.#deps;
    const end = transfers.end(transfer);
    const piece = transfers.piece(transfer);
    const node = wires.node(end);
    const bytes = fleet.bytesOf(piece);
    const dispatcher = fleet.dispatchers[node];
    const wanted = !transfers.isDead(transfer) && dispatcher !== undefined;
    this.arrivedBytes += bytes;
    if (!transfers.isDead(transfer)) this.#unlink(transfer);
    transfers.free(transfer);
    if (!wanted) {
      this.wastedBytes += bytes;
      return;
    }
    const slot = wires.slot(end);
    fleet.neighbourhoods[node]?.exchanged(slot);
    dispatcher.advance(nowMs);
    this.#hear(node, nowMs);
    dispatcher.progressed(slot);
    dispatcher.pieceReceived(slot, piece);
    this.carryOut(node, nowMs);
    const host = fleet.hostOf(node);
    const hashedAtMs = Math.max(nowMs, this.#hashFreeAtMs[host]!) + (1000 * bytes) / options.hashRate;
    this.#hashFreeAtMs[host] = hashedAtMs;
    queue.push(hashedAtMs + options.storeMs, VERIFIED, end, piece);
  }

  /** A piece is stored: neighbours are told, readers go on. */
  verified(end: number, piece: number, nowMs: number): void {
    const { wires, fleet, options } = this.#deps;
    const node = wires.node(end);
    const dispatcher = fleet.dispatchers[node];
    const known = fleet.has(node, piece);
    if (known) this.wastedBytes += fleet.bytesOf(piece);
    if (dispatcher === undefined) return;
    dispatcher.advance(nowMs);
    dispatcher.pieceVerified(piece, wires.isOpen(end) ? wires.slot(end) : -1);
    if (!known) this.#store(node, piece, nowMs);
    if (options.stream) this.#moveReader(node, piece);
    this.carryOut(node, nowMs);
    if (fleet.logCount[node] === fleet.pieces) this.#deps.onComplete(node);
  }

  /** The wire is closed: requests of this end fail, and what it had to send is dropped. The dispatcher is told by others. */
  close(end: number): void {
    const { wires, transfers, links } = this.#deps;
    for (let transfer = wires.outstanding(end); transfer >= 0; transfer = transfers.nextOutstanding(transfer)) {
      transfers.setDead(transfer);
    }
    wires.setOutstanding(end, -1);
    links.dropQueue(end);
  }

  /** Delivers the HAVEs that have reached a node. The clock of its dispatcher or suggester has been advanced. */
  #hear(node: number, nowMs: number): void {
    const { fleet, wires } = this.#deps;
    this.#heardAtMs[node] = nowMs;
    const hearer = fleet.dispatchers[node] ?? fleet.suggesters[node];
    const slots = wires.slotsOf(node);
    for (let slot = 0; slot < slots.length; slot++) {
      const end = slots[slot]!;
      if (end < 0) continue;
      const other = wires.node(end ^ 1);
      const told = fleet.logCount[other]!;
      const before = wires.heard(end);
      if (before < 0 || before >= told) continue;
      const visibleUs = (nowMs - wires.latencyMs(end)) * 1000;
      let heard = before;
      while (heard < told && fleet.loggedAtUs(other, heard) <= visibleUs) {
        hearer?.peerHas(slot, fleet.loggedPiece(other, heard));
        heard++;
      }
      if (heard === before) continue;
      wires.setHeard(end, heard);
      this.haves += heard - before;
      const eighths = fleet.eighthsOf(heard);
      if (eighths === fleet.eighthsOf(before)) continue;
      fleet.neighbourhoods[node]?.wireHas(slot, eighths);
      this.#deps.onEighths(node);
    }
    this.carryOut(node, nowMs);
  }

  #store(node: number, piece: number, nowMs: number): void {
    const { fleet } = this.#deps;
    const eighths = fleet.eighths(node);
    const toldAtMs = fleet.pieces > BATCHED_ABOVE_PIECES ? Math.ceil(nowMs / BATCH_MS) * BATCH_MS : nowMs;
    fleet.addPiece(node, piece, toldAtMs);
    const host = fleet.hostOf(node);
    if (piece === 0 && Number.isNaN(fleet.firstByteAtMs[host]!)) fleet.firstByteAtMs[host] = nowMs;
    // That it is complete, the neighbourhood hears when the blob is.
    const now = fleet.eighths(node);
    if (now === eighths || now === 8) return;
    fleet.neighbourhoods[node]?.became(now);
    this.#deps.onEighths(node);
  }

  #moveReader(node: number, piece: number): void {
    const { fleet } = this.#deps;
    const next = fleet.prefix[node]!;
    if (next >= fleet.pieces) fleet.dispatchers[node]?.readerClosed(0);
    // Nothing has moved unless this was the piece that the reader waited for.
    else if (next > piece) fleet.dispatchers[node]?.readerMoved(0, next, fleet.pieces - 1);
  }

  #request(end: number, piece: number, nowMs: number): void {
    const { transfers, wires, queue, fleet } = this.#deps;
    const transfer = transfers.allocate(end, piece, fleet.bytesOf(piece));
    const others = wires.outstanding(end);
    if (others < 0) transfers.setAlone(transfer);
    transfers.setNextOutstanding(transfer, others);
    wires.setOutstanding(end, transfer);
    queue.push(nowMs + wires.latencyMs(end), REQUESTED, transfer, transfers.generation(transfer));
  }

  #cancel(end: number, piece: number, nowMs: number): void {
    const { transfers, wires, queue } = this.#deps;
    let transfer = wires.outstanding(end);
    while (transfer >= 0 && transfers.piece(transfer) !== piece) transfer = transfers.nextOutstanding(transfer);
    if (transfer < 0) return;
    this.#unlink(transfer);
    transfers.setDead(transfer);
    const sent = transfers.state(transfer) === SENDING && transfers.left(transfer) === 0;
    if (sent || transfers.state(transfer) === ASKED) return;
    queue.push(nowMs + wires.latencyMs(end), CANCELLED, transfer, transfers.generation(transfer));
  }

  #unlink(transfer: number): void {
    const { transfers, wires } = this.#deps;
    const end = transfers.end(transfer);
    const next = transfers.nextOutstanding(transfer);
    let before = wires.outstanding(end);
    if (before === transfer) {
      wires.setOutstanding(end, next);
      return;
    }
    while (transfers.nextOutstanding(before) !== transfer) before = transfers.nextOutstanding(before);
    transfers.setNextOutstanding(before, next);
  }
}
