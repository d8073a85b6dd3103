import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { TokenBucket } from './rate-limit.ts';

/** What an admission is made of. */
export interface AdmissionOptions {
  /** Takes a connection whose turn has come, and calls `greeted` when its handshake is there. */
  readonly admit: (socket: Socket, greeted: () => void) => void;
  /** Connections of the process, dialled ones included, at most. */
  readonly maxConnections: number;
  /** How many connections the process has without those that wait here. */
  readonly connections: () => number;
  /** From one address at most, whatever their state. */
  readonly maxPerAddress: number;
  /** New connections taken a second. */
  readonly perSecond: number;
  readonly nowMs: () => number;
  readonly logger: Logger;
}

/** After a quiet time as many come in at once as otherwise in a second. */
const BURST_MS = 1_000;

/** From one address at most whose handshake has not come. */
const MAX_SILENT_PER_ADDRESS = 32;

/** Connections that wait for their turn, over all addresses and of one. */
const MAX_WAITING = 512;
const MAX_WAITING_PER_ADDRESS = 128;

/** Nobody waits longer than this: the dialler has given up by then. */
const MAX_WAIT_MS = 5_000;

/** How long a look at those who wait lasts, when it was not the rate that they wait for. */
const LOOK_MS = 100;

/**
 * Lets incoming connections in at a steady pace, so that a crowd that arrives at once, or one address that opens a
 * thousand, does not hold up what runs. Sockets that wait are not read.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #addresses = new Map<string, AddressCount>();
  readonly #pace: TokenBucket;
  readonly #waiting = new Set<Waiting>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#pace = new TokenBucket(options.nowMs, BURST_MS);
    this.#pace.setRate(options.perSecond);
    this.#pace.fill();
  }

  /** A connection has come in: it is admitted, waits for its turn, or is closed. */
  take(socket: Socket): void {
    const address = socket.remoteAddress;
    socket.on('error', () => {}); // Ends in `close`, which is enough for one that nobody has heard of yet.
    if (address === undefined || !this.#hasRoom(address)) {
      this.#options.logger.debug({ address }, 'connection refused: too many');
      socket.destroy();
      return;
    }
    const count = this.#addresses.get(address) ?? { all: 0, silent: 0, waiting: 0 };
    this.#addresses.set(address, count);
    count.all++;
    count.waiting++;
    const waiting = { socket, count, sinceMs: this.#options.nowMs() };
    this.#waiting.add(waiting);
    socket.once('close', () => this.#onClose(address, waiting));
    this.#admitDue();
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const { socket } of this.#waiting) socket.destroy();
  }

  #hasRoom(address: string): boolean {
    const { maxConnections, connections, maxPerAddress } = this.#options;
    if (this.#waiting.size >= MAX_WAITING || connections() + this.#waiting.size >= maxConnections) return false;
    const count = this.#addresses.get(address);
    return count === undefined || (count.all < maxPerAddress && count.waiting < MAX_WAITING_PER_ADDRESS);
  }

  /** Lets in who is due, in the order in which they came, but for those whose address has too many silent ones. */
  #admitDue(): void {
    const nowMs = this.#options.nowMs();
    for (const waiting of this.#waiting) {
      if (nowMs - waiting.sinceMs > MAX_WAIT_MS) {
        this.#leave(waiting);
        waiting.socket.destroy();
      } else if (this.#pace.waitMs() > 0) break;
      else if (waiting.count.silent < MAX_SILENT_PER_ADDRESS) this.#admit(waiting);
    }
    if (this.#waiting.size === 0 || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#admitDue();
    }, this.#pace.waitMs() || LOOK_MS);
    this.#timer.unref();
  }

  #admit(waiting: Waiting): void {
    const { socket, count } = waiting;
    this.#leave(waiting);
    this.#pace.take(1);
    count.silent++;
    let silent = true;
    const speak = () => {
      if (silent) count.silent--;
      silent = false;
    };
    socket.once('close', speak);
    this.#options.admit(socket, speak);
  }

  #leave(waiting: Waiting): void {
    if (this.#waiting.delete(waiting)) waiting.count.waiting--;
  }

  #onClose(address: string, waiting: Waiting): void {
    this.#leave(waiting);
    if (--waiting.count.all === 0) this.#addresses.delete(address);
  }
}

interface AddressCount {
  all: number;
  /** Admitted, and no handshake yet. */
  silent: number;
  waiting: number;
}

interface Waiting {
  readonly socket: Socket;
  readonly count: AddressCount;
  readonly sinceMs: number;
}
