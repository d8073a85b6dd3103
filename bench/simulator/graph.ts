import { DIAL, FULL, type Neighbourhood, TAKE, TURN_AWAY } from '../../src/swarm/neighbourhood/neighbourhood.ts';
import type { EventQueue } from './event-queue.ts';
import { DIALLED, NAMED, OPENED, UNCHOKED } from './events.ts';
import type { Exchange } from './exchange.ts';
import type { Fleet } from './fleet.ts';
import type { SimulationOptions } from './options.ts';
import type { WireTable } from './wire-table.ts';

/** Peers that one that is turned away is told of. */
const NAMED_PEERS = 8;

/** What the graph of wires needs. */
export interface GraphDeps {
  readonly options: SimulationOptions;
  readonly fleet: Fleet;
  readonly wires: WireTable;
  readonly queue: EventQueue;
  readonly exchange: Exchange;
  readonly random: () => number;
}

/**
 * Who has a wire to whom: carries out what the neighbourhoods command. A dial takes three latencies and what a process
 * needs for it, waits while its host has four under way, and at its target, which takes so many a second.
 */
export class Graph {
  readonly #deps: GraphDeps;
  readonly #seeds: Int32Array;
  readonly #dialling: Uint8Array;
  /** Dials that wait for one of the four, as node and target in turn. */
  readonly #waiting = new Map<number, number[]>();
  readonly #acceptsAtMs: Float64Array;

  constructor(deps: GraphDeps) {
    this.#deps = deps;
    const { hosts } = deps.fleet;
    this.#seeds = Int32Array.from({ length: hosts }, () => Math.floor(deps.random() * 0x1_0000_0000));
    this.#dialling = new Uint8Array(hosts);
    this.#acceptsAtMs = new Float64Array(hosts);
  }

  /** The number that a host's peer id stands for in the rendezvous. */
  seedOf(host: number): number {
    return this.#seeds[host]!;
  }

  /** Carries out what a node's neighbourhood wants done. */
  carryOut(node: number, nowMs: number): void {
    const neighbourhood = this.#deps.fleet.neighbourhoods[node];
    if (neighbourhood === undefined) return;
    // Closing a wire may bring further commands.
    for (let index = 0; index < neighbourhood.commands.count; index++) {
      const target = neighbourhood.commands.target(index);
      const kind = neighbourhood.commands.kind(index);
      if (kind === DIAL) this.#dial(node, target, nowMs);
      else this.#closeSlot(node, target, { nowMs, naming: kind === TURN_AWAY });
    }
    neighbourhood.commands.clear();
    neighbourhood.forgotten.length = 0;
  }

  /** A dial has reached its target: it is taken, told of others, or refused. */
  dialled(node: number, target: number, nowMs: number): void {
    const { fleet, wires } = this.#deps;
    const host = fleet.hostOf(node);
    const other = target * fleet.blobs + (node % fleet.blobs);
    const neighbourhood = fleet.neighbourhoods[node];
    this.#dialEnded(host, nowMs);
    if (neighbourhood === undefined || fleet.alive[host] === 0) return;
    neighbourhood.advance(nowMs);
    const theirs = fleet.alive[target] === 1 ? fleet.neighbourhoods[other] : undefined;
    if (wires.between(node, other) < 0 && theirs !== undefined && neighbourhood.accept(target, true) === TAKE) {
      theirs.advance(nowMs);
      const answer = theirs.accept(host, false);
      if (answer >= 0) this.#closeSlot(other, answer, { nowMs, naming: true });
      if (answer >= 0 || answer === TAKE) {
        this.#open(node, other, nowMs);
        return;
      }
      if (answer === FULL) this.#name(theirs, { to: node, of: other, nowMs });
    }
    neighbourhood.dialFailed(target);
    this.carryOut(node, nowMs);
  }

  /** A peer that is full has named another. */
  named(node: number, host: number, nowMs: number): void {
    const { fleet } = this.#deps;
    const neighbourhood = fleet.neighbourhoods[node];
    if (neighbourhood === undefined || fleet.hostOf(node) === host) return;
    neighbourhood.advance(nowMs);
    neighbourhood.offered(host, fleet.eighths(host * fleet.blobs + (node % fleet.blobs)), fleet.isOrigin(host));
  }

  /** The other end's handshake and bitfield are in. */
  opened(end: number, nowMs: number): void {
    const { fleet, wires, queue, exchange } = this.#deps;
    if (!wires.isOpen(end)) return;
    const node = wires.node(end);
    const slot = wires.slot(end);
    const other = wires.node(end ^ 1);
    const peer = fleet.dispatchers[node] ?? fleet.suggesters[node];
    const latencyMs = wires.latencyMs(end);
    peer?.advance(nowMs);
    const eighths = fleet.complete[other] === 1 ? 8 : this.#hearBitfield(end, (nowMs - latencyMs) * 1000);
    if (eighths === 8) {
      wires.setHeard(end, fleet.logCount[other]!);
      peer?.peerHasAll(slot);
    }
    fleet.neighbourhoods[node]?.advance(nowMs);
    fleet.neighbourhoods[node]?.wireHas(slot, eighths);
    exchange.carryOut(node, nowMs);
    queue.push(nowMs + latencyMs, UNCHOKED, end, 0);
    this.carryOut(node, nowMs);
  }

  /** The other end takes requests. */
  unchoked(end: number, nowMs: number): void {
    const { fleet, wires, exchange } = this.#deps;
    const node = wires.node(end);
    const dispatcher = fleet.dispatchers[node];
    if (!wires.isOpen(end) || dispatcher === undefined) return;
    dispatcher.advance(nowMs);
    dispatcher.peerUnchoked(wires.slot(end));
    exchange.carryOut(node, nowMs);
  }

  /** Closes a wire; both ends know at once. */
  close(end: number, nowMs: number): void {
    const { wires, exchange } = this.#deps;
    if (!wires.isOpen(end)) return;
    exchange.close(end);
    exchange.close(end ^ 1);
    wires.disconnect(end);
    this.#leave(end, nowMs);
    this.#leave(end ^ 1, nowMs);
  }

  /** All wires of a host. */
  closeAll(host: number, nowMs: number): void {
    const { fleet, wires } = this.#deps;
    for (let node = host * fleet.blobs; node < (host + 1) * fleet.blobs; node++) {
      for (const end of wires.slotsOf(node)) if (end >= 0) this.close(end, nowMs);
    }
  }

  #dial(node: number, target: number, nowMs: number): void {
    const { fleet, queue, options } = this.#deps;
    const host = fleet.hostOf(node);
    if (this.#dialling[host]! >= options.dialsAtOnce) {
      const waiting = this.#waiting.get(host);
      if (waiting === undefined) this.#waiting.set(host, [node, target]);
      else waiting.push(node, target);
      return;
    }
    this.#dialling[host]!++;
    const arrivesAtMs = Math.max(nowMs + options.latencyMs, this.#acceptsAtMs[target]!);
    this.#acceptsAtMs[target] = arrivesAtMs + 1000 / options.acceptRate;
    queue.push(arrivesAtMs + 2 * options.latencyMs + options.dialMs, DIALLED, node, target);
  }

  #dialEnded(host: number, nowMs: number): void {
    this.#dialling[host]!--;
    const waiting = this.#waiting.get(host);
    if (waiting === undefined) return;
    const [node, target] = waiting.splice(0, 2);
    if (waiting.length === 0) this.#waiting.delete(host);
    this.#dial(node!, target!, nowMs);
  }

  #open(from: number, to: number, nowMs: number): void {
    const { wires, queue, options, random } = this.#deps;
    const latencyMs = options.latencyMs * (1 + options.latencySpread * (2 * random() - 1));
    const end = wires.connect(from, to, latencyMs);
    this.#join(end, true, nowMs);
    this.#join(end + 1, false, nowMs);
    queue.push(nowMs + latencyMs, OPENED, end, 0);
    queue.push(nowMs + latencyMs, OPENED, end + 1, 0);
  }

  #join(end: number, outgoing: boolean, nowMs: number): void {
    const { fleet, wires, exchange } = this.#deps;
    const node = wires.node(end);
    const slot = wires.slot(end);
    const peer = fleet.hostOf(wires.node(end ^ 1));
    const origin = fleet.isOrigin(peer);
    fleet.neighbourhoods[node]?.wireOpened(slot, peer, { outgoing, origin });
    const [dispatcher, suggester] = [fleet.dispatchers[node], fleet.suggesters[node]];
    dispatcher?.advance(nowMs);
    dispatcher?.peerJoined(slot, this.#seeds[peer]!, origin);
    suggester?.advance(nowMs);
    suggester?.peerJoined(slot);
    exchange.carryOut(node, nowMs);
  }

  #leave(end: number, nowMs: number): void {
    const { fleet, wires, exchange } = this.#deps;
    const node = wires.node(end);
    const slot = wires.slot(end);
    const peer = fleet.dispatchers[node] ?? fleet.suggesters[node];
    peer?.advance(nowMs);
    peer?.peerLeft(slot);
    fleet.neighbourhoods[node]?.advance(nowMs);
    fleet.neighbourhoods[node]?.wireClosed(slot, true);
    exchange.carryOut(node, nowMs);
  }

  #closeSlot(node: number, slot: number, how: { nowMs: number; naming: boolean }): void {
    const { fleet, wires } = this.#deps;
    const end = wires.slotsOf(node)[slot] ?? -1;
    if (end < 0) return;
    const other = wires.node(end ^ 1);
    if (how.naming) this.#name(fleet.neighbourhoods[node]!, { to: other, of: node, nowMs: how.nowMs });
    this.close(end, how.nowMs);
  }

  /** Sends the names of some of its neighbours to a node. */
  #name(neighbourhood: Neighbourhood, { to, of, nowMs }: { to: number; of: number; nowMs: number }): void {
    const { fleet, wires, queue, options } = this.#deps;
    for (const slot of neighbourhood.nameNeighbours(NAMED_PEERS, fleet.hostOf(to))) {
      const end = wires.slotsOf(of)[slot] ?? -1;
      if (end >= 0) queue.push(nowMs + options.latencyMs, NAMED, to, fleet.hostOf(wires.node(end ^ 1)));
    }
  }

  /** @returns how many eighths of the blob it shows */
  #hearBitfield(end: number, visibleUs: number): number {
    const { fleet, wires } = this.#deps;
    const node = wires.node(end);
    const other = wires.node(end ^ 1);
    let count = fleet.logCount[other]!;
    while (count > 0 && fleet.loggedAtUs(other, count - 1) > visibleUs) count--;
    wires.setHeard(end, count);
    if (count === fleet.pieces) return 8;
    const peer = fleet.dispatchers[node] ?? fleet.suggesters[node];
    if (count > 0) peer?.peerHasBits(wires.slot(end), fleet.bitfield(other, count));
    return fleet.eighthsOf(count);
  }
}
