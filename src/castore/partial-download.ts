import {
  InvalidRangeError,
  lengthOfPiece,
  type Metainfo,
  pieceCount,
  pieceSha256,
  UnavailableError,
} from '../core/index.ts';
import { Bitfield, setBits } from './bitfield.ts';
import type { BlobInfo, PartialDownload } from './ca-store.ts';
import type { DownloadHome } from './download-home.ts';
import { StoreDamagedError } from './errors.ts';
import { checkRange } from './file-reader.ts';
import { type OpenFile, readFully, writeAll } from './files.ts';
import { hashPiece } from './piece-hash.ts';
import { PiecePersistence } from './piece-persistence.ts';
import { PrefixHasher } from './prefix-hasher.ts';
import type { RecentPiecesOfDownload } from './recent-pieces.ts';

/** {@link PartialDownload} on a sparse file. */
export class FilePartialDownload implements PartialDownload {
  readonly metainfo: Metainfo;
  readonly #home: DownloadHome;
  readonly #file: OpenFile;
  readonly #pieces: Bitfield;
  readonly #prefix: PrefixHasher;
  readonly #recent: RecentPiecesOfDownload;
  readonly #persistence: PiecePersistence;
  /** Pieces on their way to the disk, so that two who bring the same one write it once. */
  readonly #writing = new Map<number, Promise<void>>();
  #state: 'open' | 'closed' | 'committed' | 'dropped' = 'open';
  #committing: Promise<BlobInfo> | undefined;

  private constructor(home: DownloadHome, file: OpenFile) {
    this.metainfo = home.metainfo;
    this.#home = home;
    this.#file = file;
    const pieces = pieceCount(home.metainfo.length, home.metainfo.pieceLength);
    this.#pieces = new Bitfield(pieces);
    const has = (index: number) => this.#pieces.has(index);
    this.#recent = home.context.recentPieces.open();
    const readPiece = (index: number) => this.#readPiece(index, 0, this.#pieceBytes(index));
    this.#prefix = new PrefixHasher(home.metainfo.digest, { pieces, has, readPiece });
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

  get verifiedPieces(): number {
    return this.#pieces.count;
  }

  get prefixBytes(): number {
    return this.#prefix.prefixBytes;
  }

  has(index: number): boolean {
    return this.#pieces.has(index);
  }

  bitfield(): Uint8Array {
    return this.#pieces.bytes();
  }

  async writePiece(index: number, bytes: Uint8Array): Promise<boolean> {
    if (!Number.isInteger(index) || index < 0 || index >= this.#pieces.size) {
      throw new InvalidRangeError(`${this.#what()} has ${this.#pieces.size} pieces, there is no piece ${index}`);
    }
    if (bytes.length !== this.#pieceBytes(index)) return false;
    if (!(await hashPiece(bytes)).equals(pieceSha256(this.metainfo, index))) return false;
    if (this.#pieces.has(index)) return true;
    await (this.#writing.get(index) ?? this.#store(index, bytes));
    return true;
  }

  async read(index: number, offset: number, length: number): Promise<Buffer> {
    if (!this.#pieces.has(index)) throw new InvalidRangeError(`piece ${index} of ${this.#what()} is not verified`);
    checkRange({ offset, length }, this.#pieceBytes(index), `piece ${index} of ${this.#what()}`);
    if (this.#state === 'committed') return this.#home.readBlob(this.#positionOf(index) + offset, length);
    this.#checkOpen();
    return this.#readPiece(index, offset, length);
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
      this.#home.letGo();
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
    for (const index of setBits(persisted, this.#pieces.size)) {
      const bytes = Buffer.allocUnsafe(this.#pieceBytes(index));
      const count = await readFully(this.#file, bytes, this.#positionOf(index));
      if (count < bytes.length || !(await hashPiece(bytes)).equals(pieceSha256(this.metainfo, index))) continue;
      this.#pieces.set(index);
      this.#prefix.offer(index, bytes);
    }
  }

  async #store(index: number, bytes: Uint8Array): Promise<void> {
    this.#checkOpen();
    const { space } = this.#home.context;
    const write = space.onDisk(this.#what(), () => writeAll(this.#file, bytes, this.#positionOf(index)));
    const stored = write.then(() => {
      this.#recent.put(index, bytes);
      this.#pieces.set(index);
      this.#prefix.offer(index, bytes);
      this.#persistence.changed();
    });
    this.#writing.set(index, stored);
    try {
      await stored;
    } finally {
      this.#writing.delete(index);
    }
  }

  async #commit(): Promise<BlobInfo> {
    this.#checkOpen();
    await this.verify();
    const onDisk = await this.#file.sizeBytes();
    // Pieces may have been hashed from memory: what somebody cut off on disk would not be noticed.
    if (onDisk !== this.metainfo.length) throw this.#cutShort(onDisk);
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
    await Promise.allSettled(this.#writing.values());
    await this.#prefix.stop();
    await this.#persistence.pause();
    return true;
  }

  async #readPiece(index: number, offset: number, length: number): Promise<Buffer> {
    const recent = this.#recent.find(index);
    if (recent !== undefined) return recent.subarray(offset, offset + length);
    const bytes = Buffer.allocUnsafe(length);
    const count = await readFully(this.#file, bytes, this.#positionOf(index) + offset);
    if (count === length) return bytes;
    throw new StoreDamagedError(
      `piece ${index} of ${this.#what()} is cut short on disk: got ${count} of ${length} bytes`,
    );
  }

  #cutShort(sizeBytes: number): StoreDamagedError {
    return new StoreDamagedError(`${this.#what()} has ${sizeBytes} of ${this.metainfo.length} bytes on disk`);
  }

  #pieceBytes(index: number): number {
    return lengthOfPiece(index, this.metainfo.length, this.metainfo.pieceLength);
  }

  #positionOf(index: number): number {
    return index * this.metainfo.pieceLength;
  }

  #checkOpen(): void {
    if (this.#state !== 'open') throw new UnavailableError(`${this.#what()} is ${this.#state}`);
  }

  #what(): string {
    return `download ${this.metainfo.digest}`;
  }
}
