import { randomUUID } from 'node:crypto';
import { ConflictError } from '../errors.ts';
import type { FileWriter } from '../storage-driver.ts';
import { SourceChangedError, statusOf, toDriverError } from './errors.ts';
import type { GcsNames } from './names.ts';
import type { SourceObject } from './object-facts.ts';
import type { ObjectStore } from './object-store.ts';
import { driverName } from './parameters.ts';
import { Pieces, sumOf } from './pieces.ts';
import type { Publisher } from './publisher.ts';
import { tryAgain } from './retry.ts';
import type { Unfinished } from './unfinished.ts';

const firstBufferBytes = 64 * 1024;

/** What all writers of a driver share. */
export interface GcsWriterDeps {
  readonly store: ObjectStore;
  readonly names: GcsNames;
  readonly publisher: Publisher;
  readonly unfinished: Unfinished;
  readonly chunkBytes: number;
}

/** How a writer begins. */
export interface GcsWriterStart {
  readonly path: string;
  /** What to go on with. */
  readonly earlier: SourceObject | undefined;
  /** Other unfinished bytes of the path, which count no more once this writer has ended. */
  readonly obsolete: readonly SourceObject[];
  readonly onClose: () => void;
}

/**
 * Writes one object in pieces, which are hidden objects. `close` joins them behind the unfinished bytes that this writer went
 * on with; `commit` does the same, and has the service copy the whole to its place. What fits into one piece goes to its place
 * directly. The calls come in order, `OrderedWriter` sees to that; they do not end with the signal of the call that has opened
 * the writer.
 */
export class GcsWriter implements FileWriter {
  readonly #deps: GcsWriterDeps;
  readonly #path: string;
  readonly #obsolete: readonly SourceObject[];
  readonly #onClose: () => void;
  /** The unfinished bytes as this writer knows them; `undefined` when there are none yet. */
  #kept: SourceObject | undefined;
  #session: string | undefined;
  #pieces: Pieces | undefined;
  /** Why a piece could not be sent; nothing may be committed then. */
  #failure: unknown;
  #buffer: Buffer = Buffer.alloc(0);
  #bufferedBytes = 0;
  #size: number;
  #hasEnded = false;

  constructor(deps: GcsWriterDeps, { path, earlier, obsolete, onClose }: GcsWriterStart) {
    this.#deps = deps;
    this.#path = path;
    this.#kept = earlier;
    this.#session = earlier?.name;
    this.#obsolete = obsolete;
    this.#onClose = onClose;
    this.#size = earlier?.sizeBytes ?? 0;
  }

  get size(): number {
    return this.#size;
  }

  get revision(): string | undefined {
    if (this.#size === 0) return 'empty';
    return this.#isKept ? `${this.#kept?.name} ${this.#kept?.generation}` : undefined;
  }

  async write(bytes: Uint8Array): Promise<void> {
    const { chunkBytes } = this.#deps;
    for (let offset = 0; offset < bytes.length; ) {
      if (this.#bufferedBytes === chunkBytes) await this.#sendPiece();
      const part = bytes.subarray(offset, offset + chunkBytes - this.#bufferedBytes);
      this.#makeRoom(this.#bufferedBytes + part.length);
      this.#buffer.set(part, this.#bufferedBytes);
      this.#bufferedBytes += part.length;
      this.#size += part.length;
      offset += part.length;
    }
  }

  async commit(): Promise<void> {
    const { publisher } = this.#deps;
    if (this.#kept === undefined && this.#pieces === undefined) {
      await this.#run(() => tryAgain(() => publisher.put(this.#path, this.#buffer.subarray(0, this.#bufferedBytes))));
    } else {
      const kept = await this.#keep();
      if (this.#failure !== undefined) throw toDriverError(this.#failure, this.#path);
      await this.#run(() => tryAgain(() => publisher.copy(kept, this.#path)));
    }
    this.#hasEnded = true;
    // The object is there already; what is left behind counts no more, and is removed with its directory at the latest.
    await this.#removeAll().catch(() => undefined);
  }

  async cancel(): Promise<void> {
    this.#hasEnded = true;
    await this.#pieces?.settle();
    await this.#run(() => tryAgain(() => this.#removeAll()));
    this.#size = 0;
  }

  async close(): Promise<void> {
    try {
      if (!this.#hasEnded && !this.#isKept) await this.#keep();
    } finally {
      this.#hasEnded = true;
      this.#buffer = Buffer.alloc(0);
      this.#onClose();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Whether the unfinished bytes are all that was written. */
  get #isKept(): boolean {
    return this.#kept !== undefined && (this.#pieces?.isEmpty ?? true) && this.#bufferedBytes === 0;
  }

  /** Makes the unfinished bytes all that was written; after a failure, what is in front of it. @throws ConflictError */
  async #keep(): Promise<SourceObject> {
    if (this.#kept === undefined && this.#pieces === undefined) return this.#keepBuffer();
    if (this.#bufferedBytes > 0) await this.#sendPiece().catch(() => undefined);
    const pieces = (await this.#pieces?.settle()) ?? [];
    const sources = [...(this.#kept === undefined ? [] : [this.#kept]), ...pieces].filter((one) => one.sizeBytes > 0);
    const sum = sumOf(sources);
    this.#failure = this.#pieces?.failure;
    if (this.#failure !== undefined) this.#size = sum.sizeBytes;
    if (pieces.length > 0) {
      await this.#joinBehindKept(sources, sum).catch(async (error: unknown) => {
        // The bytes in front are another writer's now: there is nothing that these could be put behind.
        if (error instanceof ConflictError) {
          this.#hasEnded = true;
          await this.#discard(pieces);
        }
        throw error;
      });
      await this.#discard(pieces);
    }
    this.#bufferedBytes = 0;
    this.#pieces = undefined;
    this.#kept ??= await this.#replaceKept((name, options) => this.#deps.store.put(name, Buffer.alloc(0), options));
    return this.#kept;
  }

  async #joinBehindKept(sources: readonly SourceObject[], sum: ReturnType<typeof sumOf>): Promise<void> {
    this.#kept = await this.#replaceKept((name, options) => this.#deps.store.compose(sources, name, sum, options));
  }

  /** What stays is removed with the unfinished bytes that it belongs to, or with their directory. */
  async #discard(pieces: readonly SourceObject[]): Promise<void> {
    await Promise.allSettled(pieces.map(({ name }) => this.#deps.store.delete(name)));
  }

  /** For a writer that has sent nothing yet, and goes on with nothing. */
  async #keepBuffer(): Promise<SourceObject> {
    const bytes = this.#buffer.subarray(0, this.#bufferedBytes);
    this.#kept = await this.#replaceKept((name, options) => this.#deps.store.put(name, bytes, options));
    this.#bufferedBytes = 0;
    return this.#kept;
  }

  /** Of several writers that went on with the same bytes, the first to do this succeeds. @throws ConflictError */
  async #replaceKept(
    write: (name: string, options: { ifGeneration: string; writeId: string }) => Promise<SourceObject>,
  ): Promise<SourceObject> {
    const { store } = this.#deps;
    const name = this.#sessionName();
    const options = { ifGeneration: this.#kept?.generation ?? '0', writeId: randomUUID() };
    return this.#run(() =>
      tryAgain(async () => {
        try {
          return await write(name, options);
        } catch (error) {
          if (!(error instanceof SourceChangedError) && statusOf(error) !== 412) throw error;
          // An earlier try may have done it, and its answer was lost.
          const found = await store.find(name);
          if (found?.writeId !== options.writeId || found.crc32c === undefined) throw error;
          return { ...found, crc32c: found.crc32c };
        }
      }),
    );
  }

  async #sendPiece(): Promise<void> {
    this.#pieces ??= new Pieces(this.#deps.store, this.#deps.names.newPieces(this.#sessionName()));
    const pieces = this.#pieces;
    const bytes = this.#buffer.subarray(0, this.#bufferedBytes);
    await this.#run(() => pieces.send(bytes));
    this.#buffer = Buffer.alloc(0);
    this.#bufferedBytes = 0;
  }

  async #removeAll(): Promise<void> {
    const sessions = this.#obsolete.map(({ name }) => name);
    if (this.#session !== undefined) sessions.push(this.#session);
    for (const session of sessions) await this.#deps.unfinished.remove(session);
  }

  #sessionName(): string {
    this.#session ??= this.#deps.names.newSession(this.#path);
    return this.#session;
  }

  #makeRoom(bytes: number): void {
    if (bytes <= this.#buffer.length) return;
    // A piece behind another gets its memory at once: growing step by step leaves as much again for the collector.
    const first = this.#pieces === undefined ? firstBufferBytes : this.#deps.chunkBytes;
    const length = Math.min(this.#deps.chunkBytes, Math.max(bytes, 2 * this.#buffer.length, first));
    const larger = Buffer.allocUnsafeSlow(length);
    this.#buffer.copy(larger, 0, 0, this.#bufferedBytes);
    this.#buffer = larger;
  }

  async #run<T>(task: () => Promise<T>): Promise<T> {
    try {
      return await task();
    } catch (error) {
      if (!(error instanceof SourceChangedError) && statusOf(error) !== 412) throw toDriverError(error, this.#path);
      const what = 'another writer has gone on with the unfinished bytes, or removed them';
      throw new ConflictError(driverName, this.#path, what, { cause: error });
    }
  }
}
