import type { PeerLink } from './wire-link.ts';
import { MessageId, message } from './wire-messages.ts';

/** Beyond this many pieces the HAVEs of a moment go out together: 10 neighbours times 25,600 writes would be felt. */
const MAX_PIECES_AT_ONCE = 4_096;

/** The moment: nothing beside the time that so large a blob takes. */
const BATCH_MS = 20;

/** HAVEs for one peer: those of one turn of the event loop in one write, those of a large blob every 20 ms. */
export class HaveBatch {
  readonly #link: Pick<PeerLink, 'send'>;
  readonly #atOnce: boolean;
  #waiting: Buffer[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(link: Pick<PeerLink, 'send'>, pieces: number) {
    this.#link = link;
    this.#atOnce = pieces <= MAX_PIECES_AT_ONCE;
  }

  add(piece: number): void {
    const have = message(MessageId.have, piece);
    if (this.#atOnce) {
      this.#link.send(have);
      return;
    }
    this.#waiting.push(have);
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#send(), BATCH_MS);
    this.#timer.unref();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#waiting = [];
  }

  #send(): void {
    this.#timer = undefined;
    for (const have of this.#waiting) this.#link.send(have);
    this.#waiting = [];
  }
}
