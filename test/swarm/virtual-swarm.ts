import { type Command, Dispatcher } from '../../src/swarm/dispatcher.ts';

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

interface Host {
  readonly id: number;
  readonly dispatcher: Dispatcher;
  readonly verified: Uint8Array;
  /** When its uplink is free again, in ms. */
  uplinkFreeAtMs: number;
  readonly msPerPiece: number;
  sent: number;
  received: number;
  duplicates: number;
  duplicatesOutsideEndgame: number;
  doneAtMs: number;
}

/**
 * Hosts in virtual time: each uplink sends one piece after the other, a HAVE arrives 1 ms later. Enough to see what the
 * dispatcher decides; links, latency and churn in full are the simulator's.
 */
export class VirtualSwarm {
  readonly pieces: number;
  readonly hosts: Host[] = [];
  readonly #events: { atMs: number; order: number; run: () => void }[] = [];
  #order = 0;
  nowMs = 0;
  readonly #cancelled = new Set<string>();

  constructor(options: { pieces: number; seeders: number; leechers: number; msPerPiece: number; seed?: number }) {
    this.pieces = options.pieces;
    const count = options.seeders + options.leechers;
    for (let id = 0; id < count; id++) {
      const whole = id < options.seeders;
      const verified = new Uint8Array(this.pieces).fill(whole ? 1 : 0);
      const dispatcher = new Dispatcher({
        pieces: this.pieces,
        self: Math.imul(id + 1, 0x9e3779b1),
        has: (piece) => verified[piece] === 1,
        random: seededRandom((options.seed ?? 1) * 1000 + id),
        nowMs: 0,
      });
      const { msPerPiece } = options;
      this.hosts.push({
        id,
        dispatcher,
        verified,
        msPerPiece,
        uplinkFreeAtMs: 0,
        sent: 0,
        received: 0,
        duplicates: 0,
        duplicatesOutsideEndgame: 0,
        doneAtMs: whole ? 0 : -1,
      });
    }
    for (const host of this.hosts)
      for (const other of this.hosts) if (other !== host) this.#meet(host, other, options.seeders);
  }

  get leechers(): Host[] {
    return this.hosts.filter((host) => host.doneAtMs !== 0);
  }

  /** Runs until every leecher is whole, or `limitMs` of virtual time. */
  run(limitMs: number): void {
    this.#at(100, () => this.#tick());
    for (const host of this.hosts) this.#carryOut(host);
    for (;;) {
      const event = this.#events.shift();
      if (event === undefined || event.atMs > limitMs) return;
      this.nowMs = event.atMs;
      event.run();
      if (this.leechers.every((host) => host.doneAtMs >= 0)) return;
    }
  }

  #tick(): void {
    for (const host of this.hosts) {
      host.dispatcher.tick(this.nowMs);
      this.#carryOut(host);
    }
    this.#at(this.nowMs + 100, () => this.#tick());
  }

  #meet(host: Host, other: Host, seeders: number): void {
    host.dispatcher.peerJoined(other.id, Math.imul(other.id + 1, 0x9e3779b1), other.id < seeders);
    if (other.verified.every((bit) => bit === 1)) host.dispatcher.peerHasAll(other.id);
    host.dispatcher.peerUnchoked(other.id);
  }

  #carryOut(host: Host): void {
    for (const command of host.dispatcher.takeCommands()) this.#carryOutOne(host, command);
  }

  #carryOutOne(host: Host, { kind, peer, piece }: Command): void {
    const key = `${host.id} ${peer} ${piece}`;
    if (kind === 'cancel') {
      this.#cancelled.add(key);
      return;
    }
    this.#cancelled.delete(key);
    const outsideEndgame = host.verified[piece] === 1 || !host.dispatcher.endgame;
    const sender = this.hosts[peer]!;
    sender.uplinkFreeAtMs = Math.max(sender.uplinkFreeAtMs, this.nowMs) + sender.msPerPiece;
    this.#at(sender.uplinkFreeAtMs, () => this.#arrive(host, sender, piece, key, outsideEndgame));
  }

  #arrive(host: Host, sender: Host, piece: number, key: string, outsideEndgame: boolean): void {
    if (this.#cancelled.delete(key)) return;
    sender.sent++;
    host.received++;
    if (host.verified[piece] === 1) {
      host.duplicates++;
      if (outsideEndgame) host.duplicatesOutsideEndgame++;
    }
    host.verified[piece] = 1;
    host.dispatcher.progressed(sender.id);
    host.dispatcher.pieceVerified(piece, sender.id);
    if (host.dispatcher.missing === 0 && host.doneAtMs < 0) host.doneAtMs = this.nowMs;
    this.#carryOut(host);
    this.#at(this.nowMs + 1, () => {
      for (const other of this.hosts) {
        if (other === host) continue;
        other.dispatcher.peerHas(host.id, piece);
        this.#carryOut(other);
      }
    });
  }

  #at(atMs: number, run: () => void): void {
    const event = { atMs, order: this.#order++, run };
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#events[middle]!;
      if (other.atMs < atMs || (other.atMs === atMs && other.order < event.order)) low = middle + 1;
      else high = middle;
    }
    this.#events.splice(low, 0, event);
  }
}
