import type { Logger } from 'pino';
import { TokenBucket } from './rate-limit.ts';
import { IngressLimit } from './rate-limit-ingress.ts';
import { ServeScheduler } from './serve-scheduler.ts';
import { ForeignChoking } from './wire-choking.ts';
import { ReadRests } from './wire-rests.ts';

/** Limits of a process, in bytes a second over all wires, counted at the sockets; 0 for none. */
export interface WireLimits {
  readonly egressBytesPerSecond: number;
  readonly ingressBytesPerSecond: number;
  /** Blocks of wires that are marked `background`; the egress limit counts for them too. */
  readonly seedingEgressBytesPerSecond: number;
}

/** A wire with messages that go out at the end of this turn of the event loop. */
export interface FlushableWire {
  flush(): void;
}

/** What all wires of a process share: limits, the scheduler that serves them, the choker of foreign clients. */
export class WireHub {
  readonly egress: TokenBucket;
  readonly ingress: IngressLimit;
  readonly scheduler: ServeScheduler;
  readonly choking: ForeignChoking;
  readonly rests = new ReadRests();
  readonly logger: Logger;
  readonly #seeding: TokenBucket;
  #unflushed: FlushableWire[] = [];

  /** Its owner closes it. */
  constructor(options: { logger: Logger; random: () => number; nowMs: () => number; chokeRoundMs?: number }) {
    const { logger, random, nowMs, chokeRoundMs } = options;
    this.logger = logger;
    this.egress = new TokenBucket(nowMs);
    this.#seeding = new TokenBucket(nowMs);
    this.ingress = new IngressLimit(nowMs);
    this.scheduler = new ServeScheduler({ egress: this.egress, seeding: this.#seeding, nowMs });
    this.choking = new ForeignChoking({
      random,
      takeHeldMs: () => this.scheduler.takeHeldMs(),
      ...(chokeRoundMs === undefined ? {} : { roundMs: chokeRoundMs }),
    });
  }

  /** Takes effect at once. */
  setLimits(limits: WireLimits): void {
    this.egress.setRate(limits.egressBytesPerSecond);
    this.#seeding.setRate(limits.seedingEgressBytesPerSecond);
    this.ingress.setRate(limits.ingressBytesPerSecond);
    this.scheduler.limitsChanged();
  }

  /** Calls `flush` at the end of this turn of the event loop, so that what a turn has to say goes out in one write. */
  flushLater(wire: FlushableWire): void {
    if (this.#unflushed.push(wire) > 1) return;
    setImmediate(() => {
      const wires = this.#unflushed;
      this.#unflushed = [];
      for (const each of wires) each.flush();
    });
  }

  close(): void {
    this.scheduler.close();
    this.ingress.close();
    this.choking.close();
  }
}
