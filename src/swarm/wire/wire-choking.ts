import { Choker } from './choker.ts';

/** A foreign client's wire as the choker sees it. */
export interface ChokableWire {
  choke(): void;
  unchoke(): void;
}

/** BEP 3: often enough to follow what peers do, seldom enough for TCP to get up to speed. */
const ROUND_MS = 10_000;

/** The uplink counts as full when wires had to wait for it for this part of a round. */
const FULL_SHARE = 0.5;

/** Carries out what a {@link Choker} decides about the foreign clients of this process, over all blobs. */
export class ForeignChoking {
  readonly #choker: Choker;
  readonly #wires = new Map<number, ChokableWire>();
  readonly #takeHeldMs: () => number;
  readonly #roundMs: number;
  #next = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `takeHeldMs` tells for how long wires had to wait for the uplink since it was asked last. */
  constructor(options: { random: () => number; takeHeldMs: () => number; roundMs?: number }) {
    this.#choker = new Choker(options.random);
    this.#takeHeldMs = options.takeHeldMs;
    this.#roundMs = options.roundMs ?? ROUND_MS;
  }

  /** A foreign client has come. @returns the number that it goes by */
  join(wire: ChokableWire): number {
    const peer = this.#next++;
    this.#wires.set(peer, wire);
    this.#choker.join(peer);
    if (this.#timer === undefined) {
      this.#takeHeldMs(); // What was before does not count.
      this.#timer = setInterval(() => this.#round(), this.#roundMs);
      this.#timer.unref();
    }
    return peer;
  }

  leave(peer: number): void {
    this.#wires.delete(peer);
    this.#choker.leave(peer);
    if (this.#wires.size === 0) this.close();
  }

  received(peer: number, bytes: number): void {
    this.#choker.received(peer, bytes);
  }

  /** A foreign client wants something, or nothing any more; it is unchoked at once when there is room. */
  setInterested(peer: number, interested: boolean): void {
    if (this.#choker.setInterested(peer, interested)) this.#wires.get(peer)?.unchoke();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #round(): void {
    const full = this.#takeHeldMs() > FULL_SHARE * this.#roundMs;
    for (const { peer, choked } of this.#choker.round(full)) {
      const wire = this.#wires.get(peer);
      if (choked) wire?.choke();
      else wire?.unchoke();
    }
  }
}
