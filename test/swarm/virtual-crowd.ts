import {
  DIAL,
  FULL,
  keepsNewWire,
  Neighbourhood,
  type NeighbourhoodLimits,
  REFUSE,
  TAKE,
  TURN_AWAY,
} from '../../src/swarm/neighbourhood/neighbourhood.ts';
import { seededRandom } from './virtual-swarm.ts';

interface CrowdHost {
  readonly number: number;
  readonly id: string;
  readonly origin: boolean;
  readonly neighbourhood: Neighbourhood;
  /** By slot. */
  readonly wires: (Wire | undefined)[];
  dead: boolean;
  eighths: number;
}

interface Wire {
  readonly other: number;
  readonly outgoing: boolean;
}

/** Hosts of one blob in virtual time: only who knows and is connected to whom; nothing is sent. */
export class VirtualCrowd {
  readonly hosts: CrowdHost[] = [];
  nowMs = 0;
  announces = 0;
  readonly #random: () => number;
  readonly #announced: number[] = [];
  readonly #events: { atMs: number; run: () => void }[] = [];
  /** Whether neighbours find each other useful, asked at every tick. */
  useful: (host: CrowdHost, other: CrowdHost) => boolean = () => true;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  join(
    atMs: number,
    options: { origin?: boolean; eighths?: number; limits?: Partial<NeighbourhoodLimits> } = {},
  ): CrowdHost {
    const number = this.hosts.length;
    const host: CrowdHost = {
      number,
      id: Math.floor(this.#random() * 2 ** 32).toString(16),
      origin: options.origin ?? false,
      neighbourhood: new Neighbourhood({
        random: seededRandom(number + 7),
        nowMs: atMs,
        ...(options.limits === undefined ? {} : { limits: options.limits }),
      }),
      wires: [],
      dead: false,
      eighths: options.eighths ?? 0,
    };
    host.neighbourhood.became(host.eighths);
    this.hosts.push(host);
    this.#at(atMs, () => {
      this.#announce(host);
      this.#tick(host);
    });
    return host;
  }

  /** Ends a host as a killed process does: its neighbours see their wires close. */
  kill(host: CrowdHost): void {
    host.dead = true;
    const at = this.#announced.indexOf(host.number);
    if (at >= 0) this.#announced.splice(at, 1);
    host.wires.forEach((wire, slot) => {
      if (wire !== undefined) this.close(host, slot);
    });
  }

  run(untilMs: number): void {
    for (;;) {
      const event = this.#events[0];
      if (event === undefined || event.atMs > untilMs) break;
      this.#events.shift();
      this.nowMs = event.atMs;
      event.run();
    }
    this.nowMs = untilMs;
  }

  close(host: CrowdHost, slot: number): void {
    const wire = host.wires[slot]!;
    const other = this.hosts[wire.other]!;
    const otherSlot = other.wires.findIndex((candidate) => candidate?.other === host.number);
    this.#forget(host, slot);
    if (otherSlot >= 0) this.#forget(other, otherSlot);
  }

  degrees(hosts = this.hosts): number[] {
    return hosts.filter((host) => !host.dead).map((host) => host.wires.filter((wire) => wire !== undefined).length);
  }

  /** How many hosts can be reached from the first one that lives, without going through origins. */
  reachable(): number {
    const agents = this.hosts.filter((host) => !host.dead && !host.origin);
    const seen = new Set<number>([agents[0]!.number]);
    for (const number of seen) {
      for (const wire of this.hosts[number]!.wires) {
        if (wire !== undefined && !this.hosts[wire.other]!.origin) seen.add(wire.other);
      }
    }
    return seen.size;
  }

  #announce(host: CrowdHost): void {
    const { neighbourhood } = host;
    neighbourhood.advance(this.nowMs);
    const want = neighbourhood.want();
    neighbourhood.announced(want);
    this.announces++;
    this.#at(this.nowMs + 5, () => {
      const peers = this.#handOut(host, want);
      for (const peer of peers) neighbourhood.offered(peer.number, peer.eighths, peer.origin);
      if (!this.#announced.includes(host.number) && !host.dead) this.#announced.push(host.number);
      neighbourhood.advance(this.nowMs);
      neighbourhood.answered(peers.length);
      this.#carryOut(host);
    });
  }

  #handOut(host: CrowdHost, want: number): CrowdHost[] {
    const others = this.#announced.filter((number) => number !== host.number);
    const chosen: CrowdHost[] = [];
    while (chosen.length < want && others.length > 0) {
      const [number] = others.splice(Math.floor(this.#random() * others.length), 1);
      chosen.push(this.hosts[number!]!);
    }
    return chosen;
  }

  #tick(host: CrowdHost): void {
    if (host.dead) return;
    const { neighbourhood } = host;
    neighbourhood.advance(this.nowMs);
    host.wires.forEach((wire, slot) => {
      if (wire !== undefined && this.useful(host, this.hosts[wire.other]!)) neighbourhood.exchanged(slot);
    });
    neighbourhood.tick();
    this.#carryOut(host);
    if (neighbourhood.hungry) this.#announce(host);
    this.#at(this.nowMs + 100, () => this.#tick(host));
  }

  #carryOut(host: CrowdHost): void {
    const { commands } = host.neighbourhood;
    for (let index = 0; index < commands.count; index++) {
      const target = commands.target(index);
      if (commands.kind(index) === DIAL) this.#at(this.nowMs + 1 + 4 * this.#random(), () => this.#dial(host, target));
      else if (host.wires[target] !== undefined) {
        if (commands.kind(index) === TURN_AWAY) this.#name(host, this.hosts[host.wires[target]!.other]!);
        this.close(host, target);
      }
    }
    commands.clear();
  }

  #dial(host: CrowdHost, number: number): void {
    const other = this.hosts[number]!;
    host.neighbourhood.advance(this.nowMs);
    other.neighbourhood.advance(this.nowMs);
    if (other.dead || host.dead || !this.#meet(host, other)) host.neighbourhood.dialFailed(number);
  }

  /** Two hosts shake hands. @returns whether there is a wire */
  #meet(host: CrowdHost, other: CrowdHost): boolean {
    const { number } = other;
    const old = host.wires.findIndex((wire) => wire?.other === number);
    if (old >= 0) {
      const oldIsOutgoing = host.wires[old]!.outgoing;
      const ids = { selfId: host.id, peerId: other.id };
      if (!keepsNewWire({ ...ids, newIsOutgoing: true, oldIsOutgoing })) return false;
      this.close(host, old);
    }
    const answer = other.neighbourhood.accept(host.number, false);
    if (answer === FULL || answer === REFUSE) {
      if (answer === FULL) this.#name(other, host);
      return false;
    }
    if (answer >= 0) {
      this.#name(other, this.hosts[other.wires[answer]!.other]!);
      this.close(other, answer);
    }
    if (host.neighbourhood.accept(number, true) !== TAKE) return false;
    this.#connect(host, other);
    return true;
  }

  #connect(host: CrowdHost, other: CrowdHost): void {
    for (const [here, there, outgoing] of [
      [host, other, true],
      [other, host, false],
    ] as const) {
      let slot = here.wires.indexOf(undefined);
      if (slot < 0) slot = here.wires.length;
      here.wires[slot] = { other: there.number, outgoing };
      here.neighbourhood.wireOpened(slot, there.number, { outgoing, origin: there.origin });
      here.neighbourhood.wireHas(slot, there.eighths);
    }
    this.#carryOut(host);
    this.#carryOut(other);
  }

  #name(host: CrowdHost, to: CrowdHost): void {
    for (const slot of host.neighbourhood.nameNeighbours(8, to.number)) {
      const { other } = host.wires[slot]!;
      to.neighbourhood.offered(other, this.hosts[other]!.eighths, false);
    }
  }

  #forget(host: CrowdHost, slot: number): void {
    const { outgoing } = host.wires[slot]!;
    host.wires[slot] = undefined;
    host.neighbourhood.advance(this.nowMs);
    host.neighbourhood.wireClosed(slot, outgoing);
  }

  #at(atMs: number, run: () => void): void {
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#events[middle]!.atMs <= atMs) low = middle + 1;
      else high = middle;
    }
    this.#events.splice(low, 0, { atMs, run });
  }
}
