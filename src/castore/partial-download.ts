import { InvalidRangeError, type Metainfo, UnavailableError } from '../core/index.ts';
import { type Bitfield, setBits } from './bitfield.ts';
import type { BlobInfo, LentBytes, PartialDownload } from './ca-store.ts';
import type { DownloadHome } from './download-home.ts';
import type { OpenFile } from './files.ts';
import { lendOwn } from './lent-bytes.ts';
import { PieceFile } from './piece-file.ts';
import { PiecePersistence } from './piece-persistence.ts';
import { pieceCutShort } from './piece-work.ts';
import { PrefixHasher } from './prefix-hasher.ts';
import { digestOfPieces } from './running-digests.ts';

/** Pieces of an earlier process that are hashed at the same time. */
const VERIFY_AT_ONCE = 4;

/** {@link PartialDownload} on a sparse file. */
export class FilePartialDownload implements PartialDownload {
  readonly metainfo: Metainfo;
  readonly #home: DownloadHome;
  readonly #file: OpenFile;
  readonly #data: PieceFile;
  readonly #pieces: Bitfield;
  readonly #prefix: PrefixHasher;
  readonly #persistence: PiecePersistence;
  #state: 'open' | 'closed' | 'committed' | 'dropped' = 'open';
  #committing: Promise<BlobInfo> | undefined;

  private constructor(home: DownloadHome, file: OpenFile) {
    const { metainfo } = home;
    const { cache, threads, load, space } = home.context;
    this.metainfo = metainfo;
    this.#home = home;
    this.#file = file;
    const thread = threads.assign();
    this.#data = new PieceFile({
      ...{ metainfo, file, cache, thread, load },
      onDisk: (write) => space.onDisk(this.#what(), write),
      checkOpen: () => this.#checkOpen(),
      onStored: () => this.#onPiece(),
    });
    this.#pieces = this.#data.pieces;
    const count = this.#pieces.size;
    const has = (index: number) => this.#pieces.has(index);
    const { digest, ...steps } = digestOfPieces({ metainfo, file, cached: this.#data.cached }, thread);
    this.#prefix = new PrefixHasher({ count, has, ...steps }, digest);
    this.#persistence = new PiecePersistence({ home, file, pieces: this.#pieces });
  }

  /** Opens the data, and hashes the pieces that the persisted bitfield names. The caller closes it. */
  static async open(home: DownloadHome): Promise<FilePartialDownload> {
    const { ops, openThings, space } = home.context;
    const file = await space.onDisk('a download', () => ops.open(home.paths.data, 'change'));
    try {
      const download = new FilePartialDownload(home, file);
      await download.#verifyPersisted();
      if ((await file.sizeBytes()) !== home.metainfo.length) await file.truncate(home.metainfo.length);
      openThings.add(download);
      return download;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get path(): string {
    return this.#home.paths.data;
  }

  get verifiedPieces(): number {
    return this.#pieces.count;
  }

  get prefixBytes(): number {
    return Math.min(this.metainfo.length, this.#prefix.length * this.metainfo.pieceLength);
  }

  has(index: number): boolean {
    return this.#pieces.has(index);
  }

  bitfield(): Uint8Array {
    return this.#pieces.bytes();
  }

  pieceBuffer(index: number): Buffer {
    return this.#data.pieceBuffer(index);
  }

  returnBuffer(buffer: Buffer): void {
    this.#data.returnBuffer(buffer);
  }

  writePiece(index: number, bytes: Uint8Array): Promise<boolean> {
    return this.#data.writePiece(index, bytes);
  }

  adoptPiece(index: number): void {
    this.#data.checkIndex(index);
    if (this.#pieces.has(index)) return;
    this.#checkOpen();
    this.#pieces.set(index);
    this.#onPiece();
  }

  async read(index: number, offset: number, length: number): Promise<Buffer> {
    const position = this.#checkedPosition(index, offset, length);
    if (this.#state !== 'committed') return this.#data.read(position, length);
    const lent = this.#data.findInMemory(position, length);
    if (lent === undefined) return this.#home.readBlob(position, length);
    const copy = Buffer.from(lent.bytes);
    lent.release();
    return copy;
  }

  lend(index: number, offset: number, length: number): LentBytes | Promise<LentBytes> {
    const position = this.#checkedPosition(index, offset, length);
    if (this.#state !== 'committed') return this.#data.lend(position, length);
    return this.#data.findInMemory(position, length) ?? this.#home.readBlob(position, length).then(lendOwn);
  }

  async verify(): Promise<void> {
    if (this.#state === 'committed') return;
    this.#checkOpen();
    const { size, count } = this.#pieces;
    if (count < size) throw new InvalidRangeError(`${this.#what()} has ${count} of its ${size} pieces`);
    const actual = await this.#prefix.complete();
    try {
      this.#home.checkDigest(actual);
    } catch (error) {
      await this.#drop();
      throw error;
    }
  }

  commit(): Promise<BlobInfo> {
    this.#committing ??= this.#commit().catch((error: unknown) => {
      this.#committing = undefined;
      throw error;
    });
    return this.#committing;
  }

  async close(): Promise<void> {
    // A commit that is under way ends with the file closed; its error is for whoever asked for the commit.
    await this.#committing?.catch(() => undefined);
    if (!(await this.#leave('closed'))) return;
    try {
      await this.#persistence.flush();
    } finally {
      await this.#file.close();
      await this.#home.letGo();
    }
  }

  async drop(): Promise<void> {
    await this.#committing?.catch(() => undefined);
    await this.#drop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Only pieces that still match count: the bitfield may be torn, the data may have lost what was not synced. */
  async #verifyPersisted(): Promise<void> {
    const persisted = (await this.#home.context.files.findFile(this.#home.paths.bitfield)) ?? new Uint8Array();
    const indexes = setBits(persisted, this.#pieces.size);
    const verifyOneByOne = async () => {
      for (const index of indexes) {
        if (await this.#data.matchesOnDisk(index)) this.#pieces.set(index);
      }
    };
    // They share the one sequence of indexes. All end before an error goes on, and closes the file.
    const all = await Promise.allSettled(Array.from({ length: VERIFY_AT_ONCE }, verifyOneByOne));
    for (const one of all) if (one.status === 'rejected') throw one.reason;
    this.#prefix.offer();
  }

  /** One piece more can be read. */
  #onPiece(): void {
    this.#prefix.offer();
    this.#persistence.changed();
  }

  async #commit(): Promise<BlobInfo> {
    this.#checkOpen();
    await this.verify();
    const onDisk = await this.#file.sizeBytes();
    // Pieces may have been hashed from memory: what somebody cut off on disk would not be noticed.
    if (onDisk !== this.metainfo.length) throw pieceCutShort(this.#what(), onDisk, this.metainfo.length);
    // All pieces are there, so nothing persists after this, when the folder is being removed.
    await this.#persistence.pause();
    try {
      await this.#persistence.sync();
    } catch (error) {
      await this.#drop();
      throw error;
    }
    const info = await this.#home.adopt();
    this.#state = 'committed';
    this.#home.context.openThings.delete(this);
    this.#home.context.cache.adopt(this.metainfo.digest, this.#data.cached);
    await this.#prefix.stop();
    await this.#file.close();
    return info;
  }

  async #drop(): Promise<void> {
    if (!(await this.#leave('dropped'))) return;
    await this.#file.close();
    await this.#home.remove();
  }

  /** Ends an open download, once what is being written is written; `false` when it has ended already. */
  async #leave(state: 'closed' | 'dropped'): Promise<boolean> {
    if (this.#state !== 'open') return false;
    this.#state = state;
    this.#home.context.openThings.delete(this);
    await this.#data.idle();
    await this.#prefix.stop();
    await this.#persistence.pause();
    this.#data.cached.forget();
    return true;
  }

  #checkedPosition(index: number, offset: number, length: number): number {
    const position = this.#data.positionOf(index, offset, length);
    if (this.#state !== 'committed') this.#checkOpen();
    return position;
  }

  #checkOpen(): void {
    if (this.#state !== 'open') throw new UnavailableError(`${this.#what()} is ${this.#state}`);
  }

  #what(): string {
    return `download ${this.metainfo.digest}`;
  }
}
