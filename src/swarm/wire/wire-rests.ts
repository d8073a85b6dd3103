/** A link whose reading can be stopped for a moment. */
export interface RestingLink {
  /** Bytes may be read again. */
  endRest(): void;
}

/** Chunks at least this long are worth the read. */
const WORTHWHILE_BYTES = 16 * 1024;
/** With less of a block to come, its end is better read at once. */
const LEFT_BYTES = 16 * 1024;
/** The longest rest: what else comes on the wire, such as a HAVE, waits as long. */
const LONGEST_MS = 16;
/** Rests end on such ticks, so that one turn of the event loop reads many wires. */
const TICK_MS = 4;

/**
 * Lets wires rest in the middle of a block that comes in drop by drop, until about {@link WORTHWHILE_BYTES} are there. A
 * shaped or shared link brings a packet or two at a time on each wire, and a wake-up with its read costs as much as hashing
 * 20 KiB: half of the CPU of an agent that takes 25 MB/s. One for all wires of a process.
 */
export class ReadRests {
  readonly #due: Set<RestingLink>[] = Array.from({ length: LONGEST_MS / TICK_MS }, () => new Set());
  #at = 0;
  #resting = 0;
  #timer: NodeJS.Timeout | undefined;

  /**
   * How long a wire rests after a chunk, in milliseconds; 0 for not at all.
   *
   * @param blockLeft bytes of the present block that have not come
   * @param rate of this wire in bytes a millisecond
   */
  static after(chunkBytes: number, blockLeft: number, rate: number): number {
    if (chunkBytes >= WORTHWHILE_BYTES || blockLeft < LEFT_BYTES) return 0;
    return Math.min(LONGEST_MS, Math.min(WORTHWHILE_BYTES, blockLeft) / Math.max(rate, 1));
  }

  /** Ends the link's rest after about so long. The caller has stopped its reading. */
  add(link: RestingLink, restMs: number): void {
    const ticks = Math.min(this.#due.length, Math.max(1, Math.round(restMs / TICK_MS)));
    this.#due[(this.#at + ticks - 1) % this.#due.length]!.add(link);
    this.#resting++;
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
  }

  #tick(): void {
    const links = this.#due[this.#at]!;
    this.#at = (this.#at + 1) % this.#due.length;
    for (const link of links) link.endRest();
    this.#resting -= links.size;
    links.clear();
    if (this.#resting > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
