import { EventQueue } from './event-queue.ts';
import * as events from './events.ts';
import { Exchange } from './exchange.ts';
import { Fleet } from './fleet.ts';
import { Graph } from './graph.ts';
import { Links } from './links.ts';
import { Membership } from './membership.ts';
import { floorMs, type SimulationOptions } from './options.ts';
import { seededRandom } from './random.ts';
import { Trackers } from './trackers.ts';
import { Transfers } from './transfers.ts';
import { WireTable } from './wire-table.ts';
import { arrivalTimes, killedHosts, slowHosts } from './workload.ts';

const TIMERS_MS = 100;
/** An origin learns what its neighbours have at least this often: its suggestions wait for it. */
const ORIGIN_BATCH_MS = 2;

/** How far a run has come. */
export interface Progress {
  readonly virtualMs: number;
  readonly events: number;
  readonly doneHosts: number;
  readonly hosts: number;
}

/**
 * One run in virtual time: production's own Dispatcher, Suggester, Neighbourhood and hand-out, on modelled links, disks and
 * trackers. Nothing is read of the machine's clock or random numbers: the same options give the same run.
 */
export class Simulation {
  readonly options: SimulationOptions;
  readonly fleet: Fleet;
  readonly links: Links;
  readonly exchange: Exchange;
  readonly trackers: Trackers;
  readonly wires: WireTable;
  /** Wires of each agent's node, and of each origin's, when half of the floor had passed. */
  readonly degrees = { agents: [] as number[], origins: [] as number[] };
  nowMs = 0;
  events = 0;
  readonly #random: () => number;
  readonly #queue: EventQueue;
  readonly #transfers = new Transfers();
  readonly #graph: Graph;
  readonly #membership: Membership;
  readonly #timersAtMs: Float64Array;
  /** Agents that have to finish and have not. */
  #awaited = 0;

  constructor(options: SimulationOptions) {
    this.options = options;
    this.#random = seededRandom(options.seed);
    this.fleet = new Fleet(options);
    const { fleet } = this;
    this.wires = new WireTable(fleet.nodes);
    this.#queue = new EventQueue(slotMsFor(options));
    const [queue, wires, transfers, random] = [this.#queue, this.wires, this.#transfers, this.#random];
    const { quantumBytes, serveOrder } = options;
    const onSent = (end: number) => this.#onSent(end);
    this.links = new Links({ fleet, wires, transfers, queue, quantumBytes, serveOrder, onSent });
    const onEighths = (node: number) => this.#graph.carryOut(node, this.nowMs);
    const onComplete = (node: number) => this.#onComplete(node);
    this.exchange = new Exchange({ options, fleet, wires, transfers, queue, links: this.links, onEighths, onComplete });
    const { exchange } = this;
    this.#graph = new Graph({ options, fleet, wires, queue, exchange, random });
    this.trackers = new Trackers(fleet, options, random);
    const { trackers } = this;
    this.#membership = new Membership({ options, fleet, queue, exchange, graph: this.#graph, trackers, random });
    this.#timersAtMs = new Float64Array(fleet.hosts);
  }

  /** Agents that have to finish and have not. */
  get unfinished(): number {
    return this.#awaited;
  }

  /** Runs until every agent has what it wants, or the time is over. `onProgress` is called now and then. */
  run(onProgress: (progress: Progress) => void = () => {}): void {
    while (this.runSome()) onProgress(this.progress);
    onProgress(this.progress);
  }

  /** Runs for 65,536 events. @returns whether there is more to do */
  runSome(): boolean {
    if (this.events === 0) this.#prepare();
    const queue = this.#queue;
    const endMs = this.options.maxSeconds * 1000;
    while (this.#awaited > 0 && queue.pop() && queue.timeMs <= endMs) {
      this.nowMs = queue.timeMs;
      this.#handle(queue.kind, queue.a, queue.b);
      if ((++this.events & 0xffff) === 0) return true;
    }
    return false;
  }

  get progress(): Progress {
    const hosts = this.fleet.agents - this.options.warm;
    return { virtualMs: this.nowMs, events: this.events, doneHosts: hosts - this.#awaited, hosts };
  }

  #prepare(): void {
    const { fleet, options } = this;
    const agents = fleet.agents;
    for (let host = 0; host < fleet.hosts; host++) {
      const rate = host < agents ? options.rate : options.originRate;
      fleet.upRate[host] = rate / 1000;
      fleet.downRate[host] = rate / 1000;
      fleet.zone[host] = Math.floor(this.#random() * options.zones);
      fleet.blobsMissing[host] = host < agents && host >= options.warm ? fleet.blobs : 0;
      if (fleet.blobsMissing[host] === 0) {
        for (let node = host * fleet.blobs; node < (host + 1) * fleet.blobs; node++) fleet.fill(node);
        this.#membership.join(host, 0);
        this.#scheduleTicks(host, 0);
      }
    }
    for (const host of slowHosts(options)) {
      fleet.upRate[host] = options.slow!.rate / 1000;
      fleet.downRate[host] = options.slow!.rate / 1000;
    }
    arrivalTimes(options, this.#random).forEach((atMs, index) => {
      this.#queue.push(atMs, events.ASK, options.warm + index, 0);
    });
    this.#awaited = agents - options.warm;
    for (const host of killedHosts(options))
      this.#queue.push(options.kill!.at * floorMs(options), events.KILL, host, 0);
    if (options.churnPerMinute > 0) this.#membership.planChurn(0);
    this.#queue.push(floorMs(options) / 2, events.SNAPSHOT, 0, 0);
  }

  #handle(kind: number, a: number, b: number): void {
    const { nowMs } = this;
    switch (kind) {
      case events.REQUESTED:
        this.exchange.requested(a, nowMs);
        break;
      case events.UPLINK_FREE:
        this.links.uplinkFree(a, nowMs);
        break;
      case events.ARRIVED:
        this.exchange.arrived(a, nowMs);
        break;
      case events.VERIFIED:
        this.exchange.verified(a, b, nowMs);
        break;
      case events.FIRST_BLOCK:
        this.exchange.firstBlock(a, b, nowMs);
        break;
      case events.TICK:
        this.#tick(a);
        break;
      case events.SUGGESTED:
        this.exchange.suggested(a, b, nowMs);
        break;
      case events.CANCELLED:
        this.exchange.cancelled(a, b);
        break;
      default:
        this.#handleRare(kind, a, b);
        break;
    }
  }

  #handleRare(kind: number, a: number, b: number): void {
    const { nowMs } = this;
    switch (kind) {
      case events.ASK:
        this.fleet.startedAtMs[a] = nowMs;
        this.#queue.push(nowMs + this.options.startMs, events.START, a, 0);
        break;
      case events.START:
        this.#membership.join(a, nowMs);
        this.#scheduleTicks(a, nowMs);
        break;
      case events.AT_TRACKER:
        this.#membership.atTracker(a, nowMs);
        break;
      case events.ANSWER:
        this.#membership.answered(a, nowMs);
        break;
      case events.DIALLED:
        this.#graph.dialled(a, b, nowMs);
        break;
      case events.NAMED:
        this.#graph.named(a, b, nowMs);
        break;
      case events.OPENED:
        this.#graph.opened(a, nowMs);
        break;
      case events.UNCHOKED:
        this.#graph.unchoked(a, nowMs);
        break;
      case events.KILL:
        if (b === 0 && this.fleet.alive[a] === 1 && this.fleet.blobsMissing[a]! > 0) this.#awaited--;
        this.#membership.killOrRevive(a, b, nowMs);
        break;
      case events.CHURN:
        this.#membership.churn(nowMs);
        break;
      case events.SNAPSHOT:
        this.#lookAtGraph();
        break;
      default:
        throw new Error(`no event is of kind ${kind}`);
    }
  }

  #scheduleTicks(host: number, nowMs: number): void {
    // Spread, as processes are that started at different moments.
    this.#timersAtMs[host] = nowMs + TIMERS_MS * this.#random();
    this.#queue.push(nowMs + this.options.haveBatchMs * this.#random(), events.TICK, host, 0);
  }

  #tick(host: number): void {
    const { fleet, nowMs, options } = this;
    const timers = nowMs >= this.#timersAtMs[host]!;
    const busy = fleet.blobsMissing[host]! > 0 || fleet.isOrigin(host);
    const batchMs = fleet.isOrigin(host) ? Math.min(ORIGIN_BATCH_MS, options.haveBatchMs) : options.haveBatchMs;
    if (fleet.alive[host] === 1) {
      for (let node = host * fleet.blobs; node < (host + 1) * fleet.blobs; node++) {
        this.exchange.listen(node, nowMs, batchMs / 2);
      }
      if (timers) {
        this.#membership.tick(host, nowMs);
        this.#samplePrefix(host);
      }
    }
    if (timers) this.#timersAtMs[host]! += TIMERS_MS;
    this.#queue.push(nowMs + (busy ? batchMs / 2 : TIMERS_MS), events.TICK, host, 0);
  }

  #samplePrefix(host: number): void {
    const { fleet } = this;
    for (let node = host * fleet.blobs; node < (host + 1) * fleet.blobs; node++) {
      if (fleet.dispatchers[node] === undefined || fleet.logCount[node] === 0) continue;
      fleet.prefixSum[node]! += fleet.prefix[node]! / fleet.logCount[node]!;
      fleet.prefixSamples[node]!++;
    }
  }

  #onSent(end: number): void {
    if (this.wires.isOpen(end)) this.fleet.neighbourhoods[this.wires.node(end)]?.exchanged(this.wires.slot(end));
  }

  #onComplete(node: number): void {
    this.#membership.completed(node, this.nowMs);
    if (this.fleet.blobsMissing[this.fleet.hostOf(node)] === 0) this.#awaited--;
  }

  #lookAtGraph(): void {
    const { fleet, wires } = this;
    for (let node = 0; node < fleet.nodes; node++) {
      const degree = wires.slotsOf(node).reduce((sum, end) => sum + (end >= 0 ? 1 : 0), 0);
      if (fleet.isOrigin(fleet.hostOf(node))) this.degrees.origins.push(degree);
      else if (fleet.alive[fleet.hostOf(node)] === 1) this.degrees.agents.push(degree);
    }
  }
}

/** So that a few dozen events fall into a slot of the queue. */
function slotMsFor({ hosts, rate, pieceLength }: SimulationOptions): number {
  const eventsPerMs = (6 * hosts * rate) / pieceLength / 1000;
  return Math.min(0.5, Math.max(0.005, 40 / eventsPerMs));
}
