import { REQUEST, SUGGEST } from '../../src/swarm/dispatcher/command-buffer.ts';
import { Dispatcher } from '../../src/swarm/dispatcher/dispatcher.ts';
import { Suggester } from '../../src/swarm/dispatcher/suggester.ts';
import { EventQueue } from './event-queue.ts';

/** A repeatable source of randomness (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** How one host takes part. */
export interface HostOptions {
  readonly origin?: boolean;
  /** Has every piece from the start. */
  readonly whole?: boolean;
  readonly joinsAtMs?: number;
  readonly diesAtMs?: number;
  /** Its links are so many times slower. */
  readonly slower?: number;
  /** A client reads the blob from its start as it comes in. */
  readonly streams?: boolean;
}

/** A swarm in virtual time. */
export interface VirtualSwarmOptions {
  readonly pieces: number;
  /** How long one piece takes on a link. */
  readonly msPerPiece: number;
  readonly hosts: readonly HostOptions[];
  /** How many neighbours each host gets besides the origins; without it everybody is everybody's. */
  readonly degree?: number;
  readonly latencyMs?: number;
  /** Checking and storing one piece. */
  readonly verifyMs?: number;
  /** Origins suggest pieces. */
  readonly suggest?: boolean;
  readonly seed?: number;
}

/** One host of a {@link VirtualSwarm}, and what it has done. */
export class VirtualHost {
  readonly id: number;
  readonly options: HostOptions;
  readonly dispatcher: Dispatcher;
  readonly suggester: Suggester | undefined;
  readonly verified: Uint8Array;
  readonly neighbours = new Set<VirtualHost>();
  readonly msPerPiece: number;
  here = false;
  /** Pieces that neighbours asked for, by neighbour. */
  readonly queues = new Map<VirtualHost, number[]>();
  uplinkBusy = false;
  downlinkFreeAtMs = 0;
  prefix = 0;
  count = 0;
  sent = 0;
  duplicates = 0;
  duplicatesOutsideEndgame = 0;
  doneAtMs = Number.POSITIVE_INFINITY;
  prefixShares = 0;
  prefixSamples = 0;

  constructor(id: number, options: HostOptions, swarm: VirtualSwarmOptions) {
    const { pieces } = swarm;
    this.id = id;
    this.options = options;
    this.msPerPiece = swarm.msPerPiece * (options.slower ?? 1);
    this.verified = new Uint8Array(pieces).fill(options.whole === true ? 1 : 0);
    this.count = options.whole === true ? pieces : 0;
    this.prefix = this.count;
    const nowMs = options.joinsAtMs ?? 0;
    this.dispatcher = new Dispatcher({
      pieces,
      self: Math.imul(id + 1, 0x9e3779b1),
      has: (piece) => this.verified[piece] === 1,
      random: seededRandom((swarm.seed ?? 1) * 1000 + id),
      nowMs,
    });
    const origins = swarm.hosts.filter((host) => host.origin === true);
    const share = { index: origins.indexOf(options), of: origins.length };
    const suggests = options.origin === true && swarm.suggest !== false;
    this.suggester = suggests ? new Suggester({ pieces, share, nowMs }) : undefined;
  }

  /** Mean of prefix ÷ downloaded over its download. */
  get prefixShare(): number {
    return this.prefixShares / Math.max(1, this.prefixSamples);
  }

  /** From joining to the last piece. */
  get tookMs(): number {
    return this.doneAtMs - (this.options.joinsAtMs ?? 0);
  }

  /** Its downloads share of what its downlink could have carried. */
  get lineShare(): number {
    return (this.verified.length * this.msPerPiece) / this.tookMs;
  }
}

/**
 * Hosts in virtual time. Each uplink sends one piece after the other, in turns to the neighbours that asked for some; each
 * downlink takes one after the other. Requests, suggestions and HAVEs travel for the latency. Enough to see what the
 * dispatcher and the suggester decide; dials, hand-out, churn and large fleets are the simulator's.
 */
export class VirtualSwarm {
  readonly hosts: VirtualHost[];
  nowMs = 0;
  readonly #options: VirtualSwarmOptions;
  readonly #events = new EventQueue();
  readonly #random: () => number;
  readonly #latencyMs: number;
  readonly #cancelled = new Set<string>();

  constructor(options: VirtualSwarmOptions) {
    this.#options = options;
    this.#latencyMs = options.latencyMs ?? 0.3;
    this.#random = seededRandom(options.seed ?? 1);
    this.hosts = options.hosts.map((host, id) => new VirtualHost(id, host, options));
    for (const host of this.hosts) {
      this.#at(host.options.joinsAtMs ?? 0, () => this.#join(host));
      if (host.options.diesAtMs !== undefined) this.#at(host.options.diesAtMs, () => this.#die(host));
      if (host.options.whole !== true) this.#at((host.options.joinsAtMs ?? 0) + 50, () => this.#sample(host));
    }
  }

  /** Those that download and are not killed. */
  get leechers(): VirtualHost[] {
    return this.hosts.filter(({ options }) => options.whole !== true && options.diesAtMs === undefined);
  }

  get origins(): VirtualHost[] {
    return this.hosts.filter(({ options }) => options.origin === true);
  }

  /** Copies of the blob that left the origins. */
  get originCopies(): number {
    return this.origins.reduce((sum, host) => sum + host.sent, 0) / this.#options.pieces;
  }

  get slowestMs(): number {
    return Math.max(...this.leechers.map((host) => host.tookMs));
  }

  /** Runs until every leecher is whole, or `limitMs` of virtual time. */
  run(limitMs: number): void {
    const { leechers } = this;
    while (this.#events.nextAtMs <= limitMs) {
      this.nowMs = this.#events.nextAtMs;
      this.#events.shift()();
      if (leechers.every((host) => host.doneAtMs < Number.POSITIVE_INFINITY)) return;
    }
  }

  #join(host: VirtualHost): void {
    host.here = true;
    // Whoever joins at the same moment is there by then.
    this.#at(this.nowMs, () => {
      for (const other of this.#choose(host)) this.#meet(host, other);
    });
    this.#at(this.nowMs + 100 * this.#random(), () => this.#tick(host));
    if (host.options.streams === true) {
      this.#tell(host, () => host.dispatcher.readerMoved(0, 0, this.#options.pieces - 1));
    }
  }

  /** Its neighbours: everybody, or origins and as many others as its degree says, those with the fewest neighbours first. */
  #choose(host: VirtualHost): VirtualHost[] {
    const others = this.hosts.filter((other) => other.here && !host.neighbours.has(other) && !areWhole(host, other));
    const { degree } = this.#options;
    if (degree === undefined || host.options.origin === true) return others.filter((other) => other !== host);
    const origins = others.filter((other) => other.options.origin === true);
    const agents = others.filter((other) => other !== host && other.options.origin !== true);
    const order = new Map(agents.map((agent) => [agent, agent.neighbours.size + this.#random()]));
    agents.sort((one, two) => order.get(one)! - order.get(two)!);
    return [...origins, ...agents.slice(0, Math.max(0, degree - host.neighbours.size))];
  }

  #meet(host: VirtualHost, other: VirtualHost): void {
    host.neighbours.add(other);
    other.neighbours.add(host);
    for (const [one, two] of [
      [host, other],
      [other, host],
    ] as const) {
      this.#tell(one, () => {
        const { dispatcher, suggester } = one;
        dispatcher.peerJoined(two.id, Math.imul(two.id + 1, 0x9e3779b1), two.options.origin === true);
        suggester?.peerJoined(two.id);
        if (two.count === this.#options.pieces) {
          dispatcher.peerHasAll(two.id);
          suggester?.peerHasAll(two.id);
        } else if (two.count > 0) {
          dispatcher.peerHasBits(two.id, bitfieldOf(two.verified));
          suggester?.peerHasBits(two.id, bitfieldOf(two.verified));
        }
        dispatcher.peerUnchoked(two.id);
      });
    }
  }

  #die(host: VirtualHost): void {
    host.here = false;
    host.queues.clear();
    for (const other of host.neighbours) {
      other.neighbours.delete(host);
      other.queues.delete(host);
      this.#tell(other, () => {
        other.dispatcher.peerLeft(host.id);
        other.suggester?.peerLeft(host.id);
      });
    }
    host.neighbours.clear();
  }

  #tick(host: VirtualHost): void {
    if (!host.here) return;
    this.#tell(host, () => {
      host.dispatcher.tick();
      host.suggester?.tick();
    });
    this.#at(this.nowMs + 100, () => this.#tick(host));
  }

  #sample(host: VirtualHost): void {
    if (host.count === this.#options.pieces) return;
    if (host.count > 0) {
      host.prefixShares += host.prefix / host.count;
      host.prefixSamples++;
    }
    this.#at(this.nowMs + 50, () => this.#sample(host));
  }

  /** An event at a host, and what it decides on. */
  #tell(host: VirtualHost, event: () => void): void {
    host.dispatcher.advance(this.nowMs);
    host.suggester?.advance(this.nowMs);
    event();
    for (const commands of [host.dispatcher.commands, host.suggester?.commands]) {
      if (commands === undefined) continue;
      for (let i = 0; i < commands.count; i++) {
        this.#carryOut(host, { kind: commands.kind(i), peer: this.hosts[commands.peer(i)]!, piece: commands.piece(i) });
      }
      commands.clear();
    }
  }

  #carryOut(host: VirtualHost, command: { kind: number; peer: VirtualHost; piece: number }): void {
    const { kind, peer, piece } = command;
    if (kind === SUGGEST) {
      this.#after(this.#latencyMs, peer, () => peer.dispatcher.peerSuggested(host.id, piece));
      return;
    }
    const key = `${host.id} ${peer.id} ${piece}`;
    if (kind === REQUEST) {
      this.#cancelled.delete(key);
      this.#at(this.nowMs + this.#latencyMs, () => this.#enqueue(peer, host, piece));
      return;
    }
    this.#cancelled.add(key);
    this.#at(this.nowMs + this.#latencyMs, () => {
      const queue = peer.queues.get(host);
      const at = queue?.indexOf(piece) ?? -1;
      if (at >= 0) queue!.splice(at, 1);
    });
  }

  #enqueue(sender: VirtualHost, receiver: VirtualHost, piece: number): void {
    if (!sender.neighbours.has(receiver)) return;
    const queue = sender.queues.get(receiver) ?? [];
    queue.push(piece);
    sender.queues.set(receiver, queue);
    if (!sender.uplinkBusy) this.#send(sender);
  }

  #send(sender: VirtualHost): void {
    sender.uplinkBusy = false;
    for (const [receiver, queue] of sender.queues) {
      const piece = queue.shift();
      if (piece === undefined) continue;
      // The last in the turn from now on.
      sender.queues.delete(receiver);
      sender.queues.set(receiver, queue);
      sender.uplinkBusy = true;
      this.#at(this.nowMs + sender.msPerPiece, () => {
        sender.sent++;
        receiver.downlinkFreeAtMs = Math.max(this.nowMs, receiver.downlinkFreeAtMs + receiver.msPerPiece);
        this.#at(receiver.downlinkFreeAtMs + this.#latencyMs, () => this.#arrive(receiver, sender, piece));
        this.#send(sender);
      });
      return;
    }
  }

  #arrive(host: VirtualHost, sender: VirtualHost, piece: number): void {
    if (!host.neighbours.has(sender)) return;
    const cancelled = this.#cancelled.delete(`${host.id} ${sender.id} ${piece}`);
    if (host.verified[piece] === 1 || cancelled) {
      host.duplicates++;
      if (!host.dispatcher.endgame && host.dispatcher.missing > 0) host.duplicatesOutsideEndgame++;
    }
    if (cancelled) return;
    this.#tell(host, () => {
      host.dispatcher.progressed(sender.id);
      host.dispatcher.pieceReceived(sender.id, piece);
    });
    this.#at(this.nowMs + (this.#options.verifyMs ?? 0.7), () => this.#verify(host, sender, piece));
  }

  #verify(host: VirtualHost, sender: VirtualHost, piece: number): void {
    if (!host.here) return;
    const known = host.verified[piece] === 1;
    host.verified[piece] = 1;
    if (!known) host.count++;
    this.#tell(host, () => host.dispatcher.pieceVerified(piece, host.neighbours.has(sender) ? sender.id : -1));
    if (host.count === this.#options.pieces) host.doneAtMs = Math.min(host.doneAtMs, this.nowMs);
    const before = host.prefix;
    while (host.verified[host.prefix] === 1) host.prefix++;
    if (host.options.streams === true && host.prefix > before) this.#moveReader(host);
    for (const other of host.neighbours) {
      this.#after(this.#latencyMs, other, () => {
        other.dispatcher.peerHas(host.id, piece);
        other.suggester?.peerHas(host.id, piece);
      });
    }
  }

  #moveReader(host: VirtualHost): void {
    const last = this.#options.pieces - 1;
    this.#tell(host, () => {
      if (host.prefix > last) host.dispatcher.readerClosed(0);
      else host.dispatcher.readerMoved(0, host.prefix, last);
    });
  }

  #after(ms: number, host: VirtualHost, event: () => void): void {
    this.#at(this.nowMs + ms, () => {
      if (host.here) this.#tell(host, event);
    });
  }

  #at(atMs: number, run: () => void): void {
    this.#events.push(atMs, run);
  }
}

/** Seeders have nothing to ask of each other. */
function areWhole(one: VirtualHost, other: VirtualHost): boolean {
  return one.options.whole === true && other.options.whole === true;
}

/** A BEP 3 bitfield of what is verified. */
export function bitfieldOf(verified: Uint8Array): Uint8Array {
  const bits = new Uint8Array((verified.length + 7) >> 3);
  for (let piece = 0; piece < verified.length; piece++)
    if (verified[piece] === 1) bits[piece >> 3]! |= 0x80 >> (piece & 7);
  return bits;
}
