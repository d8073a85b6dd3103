import { countShortLivedBytes } from '../../core/index.ts';
import { ConflictError, StorageInternalError } from '../errors.ts';
import type { FileWriter } from '../storage-driver.ts';
import { answerOf, isConditionFailure, isMissing, toDriverError } from './azure-errors.ts';
import type { BlobStore, BlockFacts, WriteStamp } from './blob-store.ts';
import { blockId, SourceChangedError } from './copier.ts';
import type { BlobNames } from './names.ts';
import { driverName } from './parameters.ts';
import { stampAfter } from './places.ts';
import type { Publisher } from './publisher.ts';
import type { UnfinishedBlob } from './unfinished-blobs.ts';

/**
 * Blocks double after every so many. 50 000 of 4 MiB would end at 200 GB; so they hold 310 000 times `chunksize`: 1.18 TiB by
 * default, and a writer of 100 GB has blocks of 8 MiB at its end.
 */
const blocksOfOneSize = 10_000;

/** The service's limit for the blocks of a blob. */
const maxBlocks = 50_000;

/** Blocks that a writer sends at once; it holds one more. */
const blocksAtOnce = 2;

const firstBufferBytes = 64 * 1024;

/** What all writers of a driver share. */
export interface BlockWriterDeps {
  readonly store: BlobStore;
  readonly names: BlobNames;
  readonly publisher: Publisher;
  readonly chunkBytes: number;
  /** For tests, in place of the service's own. */
  readonly maxBlocks?: number | undefined;
}

/** How a writer begins. */
export interface BlockWriterStart {
  readonly path: string;
  /** What to go on with. */
  readonly earlier: UnfinishedBlob | undefined;
  /** Bytes of the last of the earlier blocks, when it is to be written anew with more behind it. */
  readonly tail?: Buffer;
  /** Other unfinished bytes of the path, which count no more once this writer has ended. */
  readonly obsolete: readonly string[];
  readonly onClose: () => void;
}

/**
 * Writes one object in blocks of a hidden blob. `close` makes a blob of them, which a later writer goes on with; `commit` then
 * has the service copy it to its place. What fits into one block goes to its place directly. The calls come in order,
 * `OrderedWriter` sees to that; they do not end with the signal of the call that has opened the writer.
 */
export class BlockWriter implements FileWriter {
  readonly #deps: BlockWriterDeps;
  readonly #path: string;
  readonly #name: string;
  readonly #obsolete: readonly string[];
  readonly #onClose: () => void;
  readonly #blocks: BlockFacts[];
  readonly #underWay = new Set<Promise<void>>();
  /** The last of the earlier blocks, when it is written anew: it lasts until that has been done. */
  readonly #tail: BlockFacts | undefined;
  /** Index of the first block that could not be sent, and why. */
  #failure: { readonly index: number; readonly error: unknown } | undefined;
  /** How many of the blocks are those of earlier writers. */
  readonly #keptBlocks: number;
  #buffer: Buffer;
  #bufferedBytes: number;
  #size: number;
  /** Of the hidden blob as this writer knows it; `undefined` when there is none. */
  #etag: string | undefined;
  /** Whether the hidden blob has all the bytes. */
  #isKept: boolean;
  #hasEnded = false;

  constructor(deps: BlockWriterDeps, start: BlockWriterStart) {
    const { path, earlier, tail } = start;
    this.#deps = deps;
    this.#path = path;
    this.#name = earlier?.name ?? deps.names.newSession(path);
    this.#obsolete = start.obsolete;
    this.#onClose = start.onClose;
    this.#blocks = [...(earlier?.blocks ?? [])];
    this.#size = this.#blocks.reduce((total, { sizeBytes }) => total + sizeBytes, 0);
    this.#etag = earlier?.etag;
    this.#isKept = earlier !== undefined;
    this.#tail = tail === undefined ? undefined : this.#blocks.pop();
    this.#keptBlocks = this.#blocks.length;
    this.#buffer = tail ?? Buffer.alloc(0);
    this.#bufferedBytes = this.#buffer.length;
  }

  get size(): number {
    return this.#size;
  }

  get revision(): string | undefined {
    if (this.#size === 0) return 'empty';
    return this.#isKept ? `${this.#name} ${this.#etag}` : undefined;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let offset = 0; offset < bytes.length; ) {
      const room = this.#blockBytes() - this.#bufferedBytes;
      if (room <= 0) {
        await this.#sendBlock();
        continue;
      }
      if (this.#bufferedBytes === 0) this.#requireRoom();
      const part = bytes.subarray(offset, offset + room);
      this.#makeRoom(this.#bufferedBytes + part.length);
      this.#buffer.set(part, this.#bufferedBytes);
      this.#bufferedBytes += part.length;
      this.#size += part.length;
      this.#isKept = false;
      offset += part.length;
    }
  }

  async commit(): Promise<void> {
    if (this.#blocks.length === 0 && this.#tail === undefined) await this.#commitAtOnce();
    else await this.#commitBlob();
    this.#hasEnded = true;
    await this.#discard(this.#obsolete);
  }

  async cancel(): Promise<void> {
    this.#hasEnded = true;
    await Promise.allSettled(this.#underWay);
    // Blocks without a blob cannot be deleted, but those of an empty blob go with it.
    if (this.#etag === undefined && this.#blocks.length > 0) {
      await this.#run(() => this.#deps.store.commitBlocks(this.#name, [], this.#stamp()));
    }
    await this.#run(() => this.#deps.store.delete(this.#name));
    for (const name of this.#obsolete) await this.#run(() => this.#deps.store.delete(name));
    this.#size = 0;
  }

  async close(): Promise<void> {
    try {
      if (!this.#hasEnded && !(this.#isKept && this.#failure === undefined)) await this.#keep();
    } finally {
      this.#hasEnded = true;
      this.#buffer = Buffer.alloc(0);
      this.#onClose();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** All bytes are in memory. The hidden blob, which is empty, is taken away first: of several writers that went on with it, one succeeds. */
  async #commitAtOnce(): Promise<void> {
    const { store, publisher } = this.#deps;
    const etag = this.#etag;
    if (etag !== undefined) {
      const wasThere = await this.#run(() => store.delete(this.#name, { ifMatch: etag }));
      if (!wasThere) throw this.#taken();
      this.#etag = undefined;
      this.#isKept = false;
    }
    await this.#run(() => publisher.put(this.#path, this.#buffer.subarray(0, this.#bufferedBytes)));
  }

  async #commitBlob(): Promise<void> {
    const { store, publisher } = this.#deps;
    if (!this.#isKept || this.#failure !== undefined) await this.#keep();
    if (this.#failure !== undefined) throw toDriverError(this.#failure.error, this.#path);
    await this.#run(async () => {
      const facts = await store.find(this.#name);
      if (facts === undefined || facts.etag !== this.#etag) throw this.#taken();
      await publisher.copy({ source: this.#name, facts }, this.#path);
    });
    await this.#discard([this.#name]);
  }

  /** Makes the hidden blob of all blocks; after a failure, of those in front of it. @throws ConflictError */
  async #keep(): Promise<void> {
    if (this.#bufferedBytes > 0 && this.#failure === undefined) this.#startBlock();
    await Promise.allSettled(this.#underWay);
    if (this.#failure !== undefined) {
      this.#blocks.length = Math.min(this.#blocks.length, this.#failure.index);
      if (this.#tail !== undefined && this.#blocks.length === this.#keptBlocks) this.#blocks.push(this.#tail);
      this.#bufferedBytes = 0;
      this.#size = this.#blocks.reduce((total, { sizeBytes }) => total + sizeBytes, 0);
    }
    const { store, publisher } = this.#deps;
    const stamp = this.#stamp();
    const conditions = this.#etag === undefined ? { ifNoneMatch: '*' } : { ifMatch: this.#etag };
    const ids = this.#blocks.map(({ id }) => id);
    await this.#run(async () => {
      try {
        this.#etag = await store.commitBlocks(this.#name, ids, stamp, { conditions });
      } catch (error) {
        const own = isConditionFailure(error) ? await publisher.findWritten(this.#name, stamp) : undefined;
        if (own === undefined) throw error;
        this.#etag = own.etag;
      }
    });
    this.#isKept = true;
  }

  async #sendBlock(): Promise<void> {
    if (this.#failure !== undefined) throw toDriverError(this.#failure.error, this.#path);
    while (this.#underWay.size >= blocksAtOnce) await Promise.race(this.#underWay);
    this.#startBlock();
  }

  /** @throws StorageInternalError in front of bytes that would need a block too many; what was taken can still be kept */
  #requireRoom(): void {
    const { maxBlocks: limit = maxBlocks, chunkBytes } = this.#deps;
    if (this.#blocks.length < limit) return;
    const what = `the ${limit} blocks that a blob may have are full (${this.#size} bytes, by a "chunksize" of ${chunkBytes}); raise it, or append in larger parts`;
    throw new StorageInternalError(driverName, this.#path, what);
  }

  /** Begins to send what is in the buffer; the next bytes go to another one. */
  #startBlock(): void {
    const bytes = this.#buffer.subarray(0, this.#bufferedBytes);
    const index = this.#blocks.length;
    const id = blockId(index);
    this.#blocks.push({ id, sizeBytes: bytes.length });
    this.#buffer = Buffer.alloc(0);
    this.#bufferedBytes = 0;
    const sending = this.#deps.store
      .stageBlock(this.#name, id, bytes)
      .catch((error: unknown) => {
        if (this.#failure === undefined || this.#failure.index > index) this.#failure = { index, error };
      })
      .finally(() => {
        this.#underWay.delete(sending);
        countShortLivedBytes(bytes.length);
      });
    this.#underWay.add(sending);
  }

  #blockBytes(): number {
    return this.#deps.chunkBytes * 2 ** Math.floor(this.#blocks.length / blocksOfOneSize);
  }

  #makeRoom(bytes: number): void {
    if (bytes <= this.#buffer.length) return;
    // A block behind another gets its memory at once: growing step by step leaves as much again for the collector.
    const first = this.#blocks.length === 0 ? firstBufferBytes : this.#blockBytes();
    const length = Math.min(this.#blockBytes(), Math.max(bytes, 2 * this.#buffer.length, first));
    const larger = Buffer.allocUnsafeSlow(Math.max(length, bytes));
    this.#buffer.copy(larger, 0, 0, this.#bufferedBytes);
    this.#buffer = larger;
  }

  /** The object is there already; what is left behind counts no more, and is removed with its directory at the latest. */
  async #discard(names: readonly string[]): Promise<void> {
    await Promise.allSettled(names.map((name) => this.#deps.store.delete(name)));
  }

  #stamp(): WriteStamp {
    return { ...stampAfter(undefined), path: this.#path };
  }

  async #run<T>(task: () => Promise<T>): Promise<T> {
    try {
      return await task();
    } catch (error) {
      const isGone = error instanceof SourceChangedError || isConditionFailure(error) || isMissing(error);
      if (isGone || answerOf(error)?.code === 'InvalidBlockList') throw this.#taken(error);
      throw toDriverError(error, this.#path);
    }
  }

  #taken(cause?: unknown): ConflictError {
    const what = 'another writer has gone on with the unfinished bytes, or removed them';
    return new ConflictError(driverName, this.#path, what, { cause });
  }
}
