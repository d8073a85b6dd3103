import { Dispatcher } from '../../src/swarm/dispatcher/dispatcher.ts';
import { Suggester } from '../../src/swarm/dispatcher/suggester.ts';
import { Neighbourhood } from '../../src/swarm/neighbourhood/neighbourhood.ts';
import type { EventQueue } from './event-queue.ts';
import { ANSWER, AT_TRACKER, CHURN, KILL } from './events.ts';
import type { Exchange } from './exchange.ts';
import type { Fleet } from './fleet.ts';
import type { Graph } from './graph.ts';
import type { SimulationOptions } from './options.ts';
import type { Trackers } from './trackers.ts';

/** What a KILL event asks for. */
const DIES = 0;
const COMES_BACK = 1;
const IS_FORGOTTEN = 2;
const RESTART_MS = 2_000;
/** A tracker drops a host that is silent for this many intervals. */
const INTERVALS_TO_LIVE = 2.5;

/** What membership needs. */
export interface MembershipDeps {
  readonly options: SimulationOptions;
  readonly fleet: Fleet;
  readonly queue: EventQueue;
  readonly exchange: Exchange;
  readonly graph: Graph;
  readonly trackers: Trackers;
  readonly random: () => number;
}

/** Who takes part: hosts that start, announce, die and come back. */
export class Membership {
  readonly #deps: MembershipDeps;
  readonly #announcing: Uint8Array;
  readonly #again: Uint8Array;
  readonly #announcedAtMs: Float64Array;
  /** By node: how many peers the announce under way asks for, and the nodes of its answer. */
  readonly #wants: Int32Array;
  readonly #answers: number[][];

  constructor(deps: MembershipDeps) {
    this.#deps = deps;
    const { hosts, nodes } = deps.fleet;
    this.#announcing = new Uint8Array(hosts);
    this.#again = new Uint8Array(hosts);
    this.#announcedAtMs = new Float64Array(hosts);
    this.#wants = new Int32Array(nodes);
    this.#answers = new Array(nodes).fill([]);
  }

  /** A host's process runs: it joins the swarms of all blobs. */
  join(host: number, nowMs: number): void {
    const { fleet, trackers } = this.#deps;
    fleet.alive[host] = 1;
    this.#announcing[host] = 0;
    this.#again[host] = 0;
    for (let node = host * fleet.blobs; node < (host + 1) * fleet.blobs; node++) {
      this.#joinSwarm(host, node, nowMs);
      // Origins were there, and known, before anybody asked.
      if (fleet.isOrigin(host)) trackers.put(node);
    }
    if (!fleet.isOrigin(host)) this.announce(host, nowMs);
  }

  /** One request for all blobs of a host; at once, or after the one that is under way. */
  announce(host: number, nowMs: number): void {
    if (this.#announcing[host] === 1) {
      this.#again[host] = 1;
      return;
    }
    const { fleet, queue, trackers } = this.#deps;
    this.#announcing[host] = 1;
    this.#announcedAtMs[host] = nowMs;
    for (let node = host * fleet.blobs; node < (host + 1) * fleet.blobs; node++) {
      const neighbourhood = fleet.neighbourhoods[node];
      neighbourhood?.advance(nowMs);
      this.#wants[node] = neighbourhood?.want() ?? 0;
      neighbourhood?.announced(this.#wants[node]!);
    }
    queue.push(trackers.enqueue(nowMs), AT_TRACKER, host, 0);
  }

  /** The tracker takes a host's report and makes up its answer. */
  atTracker(host: number, nowMs: number): void {
    const { fleet, queue, trackers, options } = this.#deps;
    if (fleet.alive[host] === 0) return;
    for (let node = host * fleet.blobs; node < (host + 1) * fleet.blobs; node++) {
      trackers.put(node);
      this.#answers[node] = trackers.handOut(node, this.#wants[node]!);
    }
    queue.push(nowMs + options.announceMs / 2, ANSWER, host, 0);
  }

  /** The tracker's answer is in. */
  answered(host: number, nowMs: number): void {
    const { fleet, graph, trackers } = this.#deps;
    if (fleet.alive[host] === 0) return;
    for (let node = host * fleet.blobs; node < (host + 1) * fleet.blobs; node++) {
      const neighbourhood = fleet.neighbourhoods[node];
      if (neighbourhood === undefined) continue;
      neighbourhood.advance(nowMs);
      const peers = this.#answers[node]!;
      for (const peer of peers) {
        const other = fleet.hostOf(peer);
        neighbourhood.offered(other, trackers.knownEighths(peer), fleet.isOrigin(other));
      }
      neighbourhood.answered(peers.length);
      graph.carryOut(node, nowMs);
    }
    this.#announcing[host] = 0;
    if (this.#again[host] === 0) return;
    this.#again[host] = 0;
    this.announce(host, nowMs);
  }

  /** Timers of a host that go off every 100 ms. */
  tick(host: number, nowMs: number): void {
    const { fleet, graph, exchange, options } = this.#deps;
    let hungry = false;
    for (let node = host * fleet.blobs; node < (host + 1) * fleet.blobs; node++) {
      const neighbourhood = fleet.neighbourhoods[node];
      if (neighbourhood !== undefined) {
        neighbourhood.advance(nowMs);
        neighbourhood.tick();
        graph.carryOut(node, nowMs);
        hungry ||= neighbourhood.hungry;
      }
      const peer = fleet.dispatchers[node] ?? fleet.suggesters[node];
      if (peer === undefined) continue;
      peer.advance(nowMs);
      peer.tick();
      exchange.carryOut(node, nowMs);
    }
    const downloads = fleet.blobsMissing[host]! > 0;
    const due = downloads && nowMs - this.#announcedAtMs[host]! >= options.announceIntervalMs;
    if (hungry || due) this.announce(host, nowMs);
  }

  /** A node has its whole blob: it goes on as a seeder. */
  completed(node: number, nowMs: number): void {
    const { fleet, graph } = this.#deps;
    const host = fleet.hostOf(node);
    fleet.fill(node);
    fleet.dispatchers[node] = undefined;
    fleet.neighbourhoods[node]?.advance(nowMs);
    fleet.neighbourhoods[node]?.became(8);
    graph.carryOut(node, nowMs);
    fleet.blobsMissing[host]!--;
    if (fleet.blobsMissing[host] === 0 && Number.isNaN(fleet.doneAtMs[host]!)) fleet.doneAtMs[host] = nowMs;
    this.announce(host, nowMs);
  }

  /** Carries out a KILL event. */
  killOrRevive(host: number, what: number, nowMs: number): void {
    const { fleet, trackers, queue, options } = this.#deps;
    if (what === COMES_BACK) this.join(host, nowMs);
    else if (what === DIES) {
      this.#die(host, nowMs);
      queue.push(nowMs + INTERVALS_TO_LIVE * options.announceIntervalMs, KILL, host, IS_FORGOTTEN);
    } else if (fleet.alive[host] === 0) {
      for (let node = host * fleet.blobs; node < (host + 1) * fleet.blobs; node++) trackers.remove(node);
    }
  }

  /** Plans the next restart. */
  planChurn(nowMs: number): void {
    const { queue, options, random } = this.#deps;
    queue.push(nowMs - (Math.log(1 - random()) * 60_000) / options.churnPerMinute, CHURN, 0, 0);
  }

  /** A random agent restarts and keeps what it has; another one will, some time later. */
  churn(nowMs: number): void {
    const { fleet, queue, random } = this.#deps;
    const host = Math.floor(random() * fleet.agents);
    if (fleet.alive[host] === 1) {
      this.#die(host, nowMs);
      queue.push(nowMs + RESTART_MS, KILL, host, COMES_BACK);
    }
    this.planChurn(nowMs);
  }

  #die(host: number, nowMs: number): void {
    const { fleet, graph } = this.#deps;
    fleet.alive[host] = 0;
    const first = host * fleet.blobs;
    fleet.dispatchers.fill(undefined, first, first + fleet.blobs);
    fleet.neighbourhoods.fill(undefined, first, first + fleet.blobs);
    graph.closeAll(host, nowMs);
  }

  #joinSwarm(host: number, node: number, nowMs: number): void {
    const { fleet, options, random, graph } = this.#deps;
    const origin = fleet.isOrigin(host);
    const limits = { wanted: options.degree, maxWires: origin ? options.originWires : options.maxWires };
    const neighbourhood = new Neighbourhood({ random, nowMs, limits });
    neighbourhood.became(fleet.eighths(node));
    fleet.neighbourhoods[node] = neighbourhood;
    const { pieces } = fleet;
    if (origin) {
      const share = { index: host - fleet.agents, of: options.origins };
      fleet.suggesters[node] = new Suggester({ pieces, share, nowMs });
    } else if (fleet.complete[node] === 0) {
      const has = (piece: number) => fleet.has(node, piece);
      const dispatcher = new Dispatcher({ pieces, self: graph.seedOf(host), has, random, nowMs });
      fleet.dispatchers[node] = dispatcher;
      if (options.stream) dispatcher.readerMoved(0, fleet.prefix[node]!, pieces - 1);
    }
  }
}
