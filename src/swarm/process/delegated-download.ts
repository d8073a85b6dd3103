import type { BlobInfo, DownloadStore, PartialDownload } from '../../castore/index.ts';
import { type ByteRange, InvalidRangeError, type LentBytes, type Metainfo, piecesOfRange } from '../../core/index.ts';
import { readVerified, verifiedBytesOf, verifiedEndOf } from '../partial-reads.ts';
import { RangeWaiters } from '../range-waiters.ts';
import type { Download, DownloadProgress, DownloadReader } from '../swarm.ts';
import { DelegatedReaders } from './delegated-readers.ts';
import type { DownloadCarrier } from './download-carrier.ts';
import type { DownloadState, OpenedDownload } from './protocol.ts';

/** What a {@link DelegatedDownload} works with. */
export interface DelegatedDownloadDeps {
  readonly metainfo: Metainfo;
  readonly downloads: Pick<DownloadStore, 'open'>;
  readonly carrier: DownloadCarrier;
  /** Fetches the blob in this process instead, with the pieces that are on disk. */
  readonly fetchHere: (why: Error) => Promise<Download>;
}

/**
 * A download that another process carries out, for readers in this one. The store is here: that process tells which pieces
 * it has written, and asks for what only the owner of the store may do. When it cannot go on, the download goes on here.
 */
export class DelegatedDownload implements Download {
  readonly metainfo: Metainfo;
  readonly verified: Promise<void>;
  readonly finished: Promise<BlobInfo>;
  readonly #deps: DelegatedDownloadDeps;
  readonly #waiters = new RangeWaiters((piece) => this.#has(piece));
  readonly #readers: DelegatedReaders;
  readonly #verify = Promise.withResolvers<void>();
  readonly #finish = Promise.withResolvers<BlobInfo>();
  /** Tells those that wait that they have to wait for {@link #successor} instead. */
  readonly #moved = new Error('the download goes on in this process');
  #opening: Promise<PartialDownload> | undefined;
  #partial: PartialDownload | undefined;
  #state: DownloadState | undefined;
  #suppliedBytes = 0;
  #committing: Promise<BlobInfo> | undefined;
  #cancelled: Error | undefined;
  #ended: Error | undefined;
  #isDone = false;
  /** The download in this process that goes on with this one. */
  #successor: Promise<Download> | undefined;
  #successorNow: Download | undefined;

  constructor(deps: DelegatedDownloadDeps) {
    this.metainfo = deps.metainfo;
    this.#deps = deps;
    this.#readers = new DelegatedReaders(deps.metainfo.pieceLength, deps.carrier);
    this.verified = this.#verify.promise;
    this.finished = this.#finish.promise;
    // Whoever waits gets the error; without anybody waiting it must not end the process.
    this.verified.catch(() => {});
    this.finished.then(
      () => {
        this.#isDone = true;
      },
      () => {},
    );
  }

  // For readers in this process.

  progress(): DownloadProgress {
    const here = this.#successorNow?.progress();
    return {
      lengthBytes: this.metainfo.length,
      verifiedBytes: here?.verifiedBytes ?? (this.#partial === undefined ? 0 : verifiedBytesOf(this.#partial)),
      fromPeersBytes: (this.#state?.fromPeersBytes ?? 0) + (here?.fromPeersBytes ?? 0),
      fromOriginsBytes: (this.#state?.fromOriginsBytes ?? 0) + (here?.fromOriginsBytes ?? 0),
      suppliedBytes: this.#suppliedBytes + (here?.suppliedBytes ?? 0),
      wastedBytes: (this.#state?.wastedBytes ?? 0) + (here?.wastedBytes ?? 0),
      peers: here?.peers ?? this.#state?.peers ?? 0,
    };
  }

  async waitFor(range: ByteRange, signal?: AbortSignal): Promise<void> {
    if (this.#ended !== undefined) throw this.#ended;
    this.#checkRange(range);
    const { first, last } = piecesOfRange(range, this.metainfo.pieceLength);
    try {
      if (this.#successor === undefined) return await this.#waiters.wait(first, last, signal);
    } catch (error) {
      if (error !== this.#moved) throw error;
    }
    const successor = await this.#successor;
    return successor?.waitFor(range, signal);
  }

  verifiedEnd(range: ByteRange): number {
    if (this.#successorNow !== undefined) return this.#successorNow.verifiedEnd(range);
    return this.#partial === undefined ? range.offset : verifiedEndOf(this.#partial, range);
  }

  async read(offset: number, length: number): Promise<Buffer> {
    this.#checkRange({ offset, length });
    try {
      if (this.#successor === undefined) return await readVerified(this.#opened(), offset, length);
    } catch (error) {
      // It may have moved while it was being read.
      if (this.#successor === undefined) throw error;
    }
    const successor = await this.#successor;
    return successor.read(offset, length);
  }

  async lend(piece: number, offset: number, length: number): Promise<LentBytes> {
    try {
      if (this.#successor === undefined) return await this.#opened().lend(piece, offset, length);
    } catch (error) {
      // It may have moved while it was being read.
      if (this.#successor === undefined) throw error;
    }
    const successor = await this.#successor;
    return successor.lend(piece, offset, length);
  }

  openReader(range: ByteRange): DownloadReader {
    return this.#readers.open(range);
  }

  nextMissing(range: ByteRange): number | undefined {
    if (this.#successorNow !== undefined) return this.#successorNow.nextMissing(range);
    const { first, last } = piecesOfRange(range, this.metainfo.pieceLength);
    // What is not known to be missing is on its way, as far as anybody here knows.
    return this.#state?.missing?.find((piece) => piece >= first && piece <= last && !this.#has(piece));
  }

  async supply(index: number, bytes: Buffer): Promise<boolean> {
    if (this.#ended !== undefined) throw this.#ended;
    if (this.#successor !== undefined) return (await this.#successor).supply(index, bytes);
    const partial = this.#opened();
    if (partial.has(index)) return true;
    try {
      if (!(await partial.writePiece(index, bytes))) return false;
    } catch (error) {
      // It may have moved while the piece was being written.
      if (!this.isHere) throw error;
      return this.supply(index, bytes);
    }
    this.#suppliedBytes += bytes.length;
    this.#deps.carrier.supplied(index);
    this.#waiters.onVerified();
    return true;
  }

  async cancel(reason: Error): Promise<boolean> {
    if (this.#ended !== undefined) return true;
    if (this.#committing !== undefined) return false;
    if (this.#successor !== undefined) {
      return this.#successor.then((successor) => successor.cancel(reason)).catch(() => true); // It has ended then.
    }
    this.#cancelled ??= reason;
    await this.#deps.carrier.cancel();
    if (this.#committing !== undefined) return false;
    await this.#end(this.#cancelled);
    return true;
  }

  // For the process that carries it out.

  /** Opens the download in the store. */
  async open(): Promise<OpenedDownload> {
    this.#opening = this.#deps.downloads.open(this.metainfo);
    this.#partial = await this.#opening;
    return { path: this.#partial.path, bitfield: this.#partial.bitfield() };
  }

  /** Waits for what the other process makes of its beginning. @throws what keeps it from beginning anywhere */
  async begun(beginning: Promise<void>): Promise<void> {
    try {
      await beginning;
    } catch (error) {
      // The store would not open it for anybody.
      await this.#opening;
      await this.lost(error instanceof Error ? error : new Error(String(error)));
    }
    if (this.#ended !== undefined) throw this.#ended;
  }

  /** Whether it goes on in this process. */
  get isHere(): boolean {
    return this.#successor !== undefined;
  }

  /** Whether it has neither become a blob nor failed. */
  get isUnderWay(): boolean {
    return !this.#isDone && this.#ended === undefined;
  }

  /** Pieces have been checked and written. */
  onPieces(pieces: readonly number[]): void {
    if (this.#ended !== undefined || this.#successor !== undefined) return;
    const partial = this.#opened();
    for (const piece of pieces) partial.adoptPiece(piece);
    this.#waiters.onVerified();
  }

  onState(state: DownloadState): void {
    this.#state = state;
  }

  /** Verifies the blob's digest. A download that does not match ends. */
  async verify(): Promise<void> {
    try {
      await this.#opened().verify();
    } catch (error) {
      // Closed meanwhile, because the process has died: then it is verified once more here.
      if (this.#successor === undefined) await this.#end(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
    this.#verify.resolve();
  }

  /** Makes it a blob of the store. What fails here would fail again: the download ends. */
  async commit(): Promise<BlobInfo> {
    this.#committing = this.#opened().commit();
    try {
      const info = await this.#committing;
      this.#verify.resolve();
      this.#finish.resolve(info);
      return info;
    } catch (error) {
      await this.#end(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  }

  /** Nothing is written by that process any more, and the store keeps the pieces. */
  async close(): Promise<void> {
    const partial = await this.#opening?.catch(() => undefined); // What was not opened need not be closed.
    await partial?.close();
  }

  /** That process cannot go on, and writes nothing any more: it has died, or says why. */
  async lost(why: Error): Promise<void> {
    const committed = await this.#committing?.then(() => true).catch(() => true);
    if (committed === true || this.#ended !== undefined || this.#successor !== undefined) return;
    if (this.#cancelled !== undefined) return this.#end(this.#cancelled);
    this.#successor = this.#goOnHere(why);
    this.#waiters.end(this.#moved);
    await this.#successor.catch((error: Error) => this.#end(error));
  }

  async #goOnHere(why: Error): Promise<Download> {
    await this.close();
    const successor = await this.#deps.fetchHere(why);
    this.#successorNow = successor;
    this.#readers.moveTo(successor);
    successor.verified.then(this.#verify.resolve, this.#verify.reject);
    successor.finished.then(this.#finish.resolve, (error: Error) => {
      this.#ended = error;
      this.#finish.reject(error);
    });
    return successor;
  }

  async #end(reason: Error): Promise<void> {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#waiters.end(reason);
    this.#verify.reject(reason);
    // What cannot be kept is fetched again; the reason for which it ends says more.
    await this.close().catch(() => undefined);
    // Only now: who hears of the end may begin anew at once.
    this.#finish.reject(reason);
  }

  #has(piece: number): boolean {
    return this.#partial?.has(piece) ?? false;
  }

  #opened(): PartialDownload {
    if (this.#partial !== undefined) return this.#partial;
    throw new Error(`the download of ${this.metainfo.digest} is used before it was opened`);
  }

  #checkRange({ offset, length }: ByteRange): void {
    if (offset >= 0 && length >= 0 && offset + length <= this.metainfo.length) return;
    throw new InvalidRangeError(
      `bytes ${offset} to ${offset + length} are outside of blob ${this.metainfo.digest}, which has ${this.metainfo.length}`,
    );
  }
}
