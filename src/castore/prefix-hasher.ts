import { algorithmOf, type Digest, DigestHasher } from '../core/index.ts';

/** Where the prefix hasher gets pieces that are not at hand. */
export interface PieceReader {
  readonly pieces: number;
  has(index: number): boolean;
  /** The bytes of a piece that is there. */
  readPiece(index: number): Promise<Buffer>;
}

/**
 * Computes a blob's digest along the growing prefix of its pieces, so that it is known when the last piece has come.
 *
 * A piece that comes when it is the next one is hashed from memory. When it closes a gap, those behind it are read back, one
 * after the other and from the page cache as a rule. Each piece is hashed once.
 */
export class PrefixHasher {
  readonly #reader: PieceReader;
  readonly #hasher: DigestHasher;
  #next = 0;
  #prefixBytes = 0;
  #catchingUp: Promise<void> | undefined;
  #stopped = false;

  constructor(digest: Digest, reader: PieceReader) {
    this.#hasher = new DigestHasher(algorithmOf(digest));
    this.#reader = reader;
  }

  /** Bytes from the start that have been hashed. */
  get prefixBytes(): number {
    return this.#prefixBytes;
  }

  /** A piece has come, and `has` says so. */
  offer(index: number, bytes: Uint8Array): void {
    if (this.#catchingUp !== undefined || this.#stopped) return;
    if (index === this.#next) this.#take(bytes);
    // A failure is met again, and thrown, by `complete`.
    if (this.#reader.has(this.#next)) this.#catchUp().catch(() => undefined);
  }

  /** The digest, once all pieces have been hashed; they have to be there. Rejects when they cannot be read, or after `stop`. */
  async complete(): Promise<Digest> {
    while (this.#next < this.#reader.pieces) await this.#catchUp();
    return this.#hasher.digest();
  }

  /** Resolves when it reads no more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    // What fails to be hashed after this concerns nobody.
    await this.#catchingUp?.catch(() => undefined);
  }

  #take(bytes: Uint8Array): void {
    this.#hasher.update(bytes);
    this.#prefixBytes += bytes.length;
    this.#next += 1;
  }

  #catchUp(): Promise<void> {
    this.#catchingUp ??= this.#run().finally(() => {
      this.#catchingUp = undefined;
    });
    return this.#catchingUp;
  }

  async #run(): Promise<void> {
    do {
      if (this.#stopped) throw new Error(`hashing was stopped before piece ${this.#next}`);
      this.#take(await this.#reader.readPiece(this.#next));
    } while (this.#reader.has(this.#next));
  }
}
