import { countShortLivedBytes } from '../../core/index.ts';
import { combineCrc32c } from './crc32c.ts';
import type { SourceObject } from './object-facts.ts';
import { maxComposed, type ObjectStore } from './object-store.ts';
import { tryAgain } from './retry.ts';

/** Pieces that a writer sends at once; it fills one more. */
const piecesAtOnce = 2;

/** With so many, pieces are joined: with the unfinished bytes in front, and what was joined before, they are one call. */
const maxPieces = maxComposed - 2;

/** The pieces that one writer sends: hidden objects, in order. */
export class Pieces {
  readonly #store: ObjectStore;
  /** What their names begin with. */
  readonly #prefix: string;
  readonly #all: { readonly sizeBytes: number; sent?: SourceObject }[] = [];
  readonly #underWay = new Set<Promise<void>>();
  #failure: { readonly index: number; readonly error: unknown } | undefined;
  #joined: SourceObject | undefined;
  #count = 0;

  constructor(store: ObjectStore, prefix: string) {
    this.#store = store;
    this.#prefix = prefix;
  }

  /** What made a piece not be sent, once there is one. */
  get failure(): unknown {
    return this.#failure?.error;
  }

  get isEmpty(): boolean {
    return this.#joined === undefined && this.#all.length === 0;
  }

  /** Begins to send a piece, whose bytes belong to this from now on; waits while enough are on their way. @throws that failure */
  async send(bytes: Uint8Array): Promise<void> {
    if (this.#all.length >= maxPieces) await this.#join();
    while (this.#underWay.size >= piecesAtOnce) await Promise.race(this.#underWay);
    if (this.#failure !== undefined) throw this.#failure.error;
    const piece: { readonly sizeBytes: number; sent?: SourceObject } = { sizeBytes: bytes.length };
    const index = this.#all.push(piece) - 1;
    const name = this.#newName();
    const sending = tryAgain(() => this.#store.put(name, bytes))
      .then((sent) => {
        piece.sent = sent;
      })
      .catch((error: unknown) => {
        if (this.#failure === undefined || this.#failure.index > index) this.#failure = { index, error };
      })
      .finally(() => {
        this.#underWay.delete(sending);
        countShortLivedBytes(bytes.length);
      });
    this.#underWay.add(sending);
  }

  /** Waits for what is on its way. @returns all pieces in order, those joined as one; after a failure, those in front of it */
  async settle(): Promise<SourceObject[]> {
    await Promise.allSettled(this.#underWay);
    this.#all.length = Math.min(this.#all.length, this.#failure?.index ?? this.#all.length);
    const sent = this.#all.flatMap((piece) => piece.sent ?? []);
    return this.#joined === undefined ? sent : [this.#joined, ...sent];
  }

  async #join(): Promise<void> {
    const sources = await this.settle();
    if (this.#failure !== undefined) throw this.#failure.error;
    const name = this.#newName();
    try {
      this.#joined = await tryAgain(() => this.#store.compose(sources, name, sumOf(sources)));
    } catch (error) {
      this.#failure = { index: this.#all.length, error };
      throw error;
    }
    this.#all.length = 0;
    // What stays is removed with the unfinished bytes that they belong to.
    await Promise.allSettled(sources.map((source) => this.#store.delete(source.name)));
  }

  #newName(): string {
    return `${this.#prefix}${this.#count++}`;
  }
}

/** The size and CRC32C of bytes one behind the other. */
export function sumOf(sources: readonly Pick<SourceObject, 'sizeBytes' | 'crc32c'>[]): {
  readonly sizeBytes: number;
  readonly crc32c: number;
} {
  let sum = { sizeBytes: 0, crc32c: 0 };
  for (const { sizeBytes, crc32c } of sources) {
    sum = { sizeBytes: sum.sizeBytes + sizeBytes, crc32c: combineCrc32c(sum.crc32c, crc32c, sizeBytes) };
  }
  return sum;
}
