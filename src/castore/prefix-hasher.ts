import type { Digest } from '../core/index.ts';

/** What computes the digest of pieces that are given to it in order. */
export interface RunningDigest {
  /** Takes pieces `first` to `end` - 1; they are there. From piece 0 on it begins anew. After a rejection it has to. */
  take(first: number, end: number): Promise<void>;
  /** The digest of the first `end` pieces, which it has taken. */
  digest(end: number): Promise<Digest>;
  /** Lets go of it. */
  close(): void;
}

/** Which pieces there are, and how many are taken at a time. */
export interface PrefixPieces {
  readonly count: number;
  has(index: number): boolean;
  /** Fewer wait until more come, or the last one. */
  readonly leastStep: number;
  /** So many at most, so that whoever computes the digest gets to other work in between. */
  readonly greatestStep: number;
}

/** A thread that dies loses its digests: they are computed once more from the start. */
const ATTEMPTS = 2;

/** Follows the growing prefix of a blob's pieces, so that the blob's digest is known soon after the last piece has come. */
export class PrefixHasher {
  readonly #pieces: PrefixPieces;
  readonly #digest: RunningDigest;
  /** Pieces from the start without a gap. */
  #length = 0;
  #taken = 0;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(pieces: PrefixPieces, digest: RunningDigest) {
    this.#pieces = pieces;
    this.#digest = digest;
  }

  /** Pieces from the start that are there without a gap. */
  get length(): number {
    return this.#length;
  }

  /** A piece has come, and `has` says so. */
  offer(): void {
    while (this.#pieces.has(this.#length)) this.#length += 1;
    // A failure is met again, and thrown, by `complete`.
    if (!this.#stopped && this.#isDue()) this.#run().catch(() => undefined);
  }

  /** The digest of all pieces; they have to be there. Rejects when they cannot be read, or after `stop`. */
  async complete(): Promise<Digest> {
    const { count } = this.#pieces;
    if (this.#length < count)
      throw new Error(`only the first ${this.#length} of ${count} pieces are there without a gap`);
    for (let attempt = 1; ; attempt += 1) {
      try {
        while (this.#taken < count) await this.#run();
        return await this.#digest.digest(count);
      } catch (error) {
        this.#taken = 0;
        if (attempt === ATTEMPTS || this.#stopped) throw error;
      }
    }
  }

  /** Resolves when nothing is read any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    // What fails to be hashed after this concerns nobody.
    await this.#running?.catch(() => undefined);
    this.#digest.close();
  }

  #isDue(): boolean {
    const waiting = this.#length - this.#taken;
    return waiting >= this.#pieces.leastStep || (waiting > 0 && this.#length === this.#pieces.count);
  }

  #run(): Promise<void> {
    this.#running ??= this.#catchUp().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #catchUp(): Promise<void> {
    try {
      while (this.#isDue()) {
        if (this.#stopped) throw new Error(`hashing was stopped before piece ${this.#taken}`);
        const end = Math.min(this.#length, this.#taken + this.#pieces.greatestStep);
        await this.#digest.take(this.#taken, end);
        this.#taken = end;
      }
    } catch (error) {
      this.#taken = 0;
      throw error;
    }
  }
}
