import { BlobNotFoundError, type Digest, type Metainfo, UnavailableError } from '../core/index.ts';
import { setBits } from './bitfield.ts';
import { BlockCache } from './block-cache.ts';
import type { BlobFile, LentBytes } from './ca-store.ts';
import { OpenBlobFile } from './file-reader.ts';
import { isMissing, nodeFileOps, type OpenFile } from './files.ts';
import { LoopLoad } from './loop-load.ts';
import { PieceFile } from './piece-file.ts';
import { PieceThreads } from './piece-threads.ts';
import type { StoreLogger } from './store-logger.ts';

/** What another process needs to work on a store's files. */
export interface SharedFilesOptions {
  readonly logger: StoreLogger;
  /** Bytes of shared memory for pieces and for what is lent; as for a store. */
  readonly memoryBytes: number;
  /** Threads that check and write pieces. */
  readonly hashWorkers: number;
}

/**
 * Files of a store that another process of this host has open: its blobs to be read, its downloads to be written piece by
 * piece. That process owns them: it says where they are, counts the pieces as its own once it has been told of them
 * (`PartialDownload.adoptPiece`), and alone commits, evicts and drops.
 */
export class SharedFiles {
  readonly #cache: BlockCache;
  readonly #threads: PieceThreads;
  readonly #load = new LoopLoad();
  readonly #open = new Set<{ close(): Promise<void> }>();

  constructor({ logger, memoryBytes, hashWorkers }: SharedFilesOptions) {
    this.#cache = new BlockCache(memoryBytes);
    this.#threads = new PieceThreads(hashWorkers, logger);
  }

  /** Opens a blob. The caller closes it. @throws BlobNotFoundError when it has been evicted */
  async openBlob({ digest, path, sizeBytes }: { digest: Digest; path: string; sizeBytes: number }): Promise<BlobFile> {
    const what = `blob ${digest}`;
    const file = await openExisting(path, what, digest);
    const memory = { cache: this.#cache, cached: this.#cache.ofBlob(digest) };
    return new OpenBlobFile({ file, what, sizeBytes, openThings: this.#open }, memory);
  }

  /** Forgets what of a blob is in memory: it may have been evicted because its bytes were damaged. */
  forgetBlob(digest: Digest): void {
    this.#cache.forgetBlob(digest);
  }

  /**
   * Opens the data of a download. The caller closes it.
   *
   * @param download.bitfield the pieces that are there, as their owner says
   * @param onStored hears of every piece that was written here
   */
  async openPieces(
    download: { readonly metainfo: Metainfo; readonly path: string; readonly bitfield: Uint8Array },
    onStored: (index: number) => void,
  ): Promise<SharedPieces> {
    const file = await nodeFileOps.open(download.path, 'change');
    const memory = { cache: this.#cache, thread: this.#threads.assign(), load: this.#load };
    const pieces = new SharedPieces({ ...download, file, ...memory, onStored, openThings: this.#open });
    this.#open.add(pieces);
    return pieces;
  }

  /** Closes all that is open, and ends the threads. */
  async close(): Promise<void> {
    await Promise.all([...this.#open].map((thing) => thing.close()));
    await this.#threads.close();
    this.#cache.close();
  }
}

/** The pieces of a download whose owner is another process. */
export class SharedPieces {
  readonly #metainfo: Metainfo;
  readonly #file: OpenFile;
  readonly #pieces: PieceFile;
  readonly #cache: BlockCache;
  readonly #openThings: Set<{ close(): Promise<void> }>;
  #closing: Promise<void> | undefined;

  /** Made by {@link SharedFiles}. */
  constructor(deps: {
    metainfo: Metainfo;
    bitfield: Uint8Array;
    file: OpenFile;
    cache: BlockCache;
    thread: ReturnType<PieceThreads['assign']>;
    load: LoopLoad;
    onStored: (index: number) => void;
    openThings: Set<{ close(): Promise<void> }>;
  }) {
    const { metainfo, file, cache, thread, load, onStored } = deps;
    this.#metainfo = metainfo;
    this.#file = file;
    this.#cache = cache;
    this.#openThings = deps.openThings;
    const checkOpen = () => {
      if (this.#closing !== undefined) throw new UnavailableError(`download ${metainfo.digest} is closed`);
    };
    // A disk that is full is for the owner to deal with, who may evict.
    this.#pieces = new PieceFile({
      metainfo,
      file,
      cache,
      thread,
      load,
      onDisk: (write) => write(),
      checkOpen,
      onStored,
    });
    for (const index of setBits(deps.bitfield, this.#pieces.pieces.size)) this.#pieces.pieces.set(index);
  }

  get verifiedPieces(): number {
    return this.#pieces.pieces.count;
  }

  has(index: number): boolean {
    return this.#pieces.pieces.has(index);
  }

  /** The pieces as a BEP 3 bitfield. A copy. */
  bitfield(): Uint8Array {
    return this.#pieces.pieces.bytes();
  }

  /** The owner has stored a piece, and says so. */
  adopt(index: number): void {
    this.#pieces.checkIndex(index);
    this.#pieces.pieces.set(index);
  }

  /** See `PartialDownload.pieceBuffer`. */
  pieceBuffer(index: number): Buffer {
    return this.#pieces.pieceBuffer(index);
  }

  /** See `PartialDownload.returnBuffer`. */
  returnBuffer(buffer: Buffer): void {
    this.#pieces.returnBuffer(buffer);
  }

  /** See `PartialDownload.writePiece`. The owner has to be told afterwards. */
  writePiece(index: number, bytes: Uint8Array): Promise<boolean> {
    return this.#pieces.writePiece(index, bytes);
  }

  /** See `PartialDownload.lend`. @throws UnavailableError when it is closed */
  lend(index: number, offset: number, length: number): LentBytes | Promise<LentBytes> {
    const position = this.#pieces.positionOf(index, offset, length);
    if (this.#closing !== undefined) throw new UnavailableError(`download ${this.#metainfo.digest} is closed`);
    return this.#pieces.lend(position, length);
  }

  /**
   * Lets go of the file, once nothing is being written.
   *
   * @param options.committed the download has become a blob: what of it is in memory is the blob's
   */
  close(options: { committed?: boolean } = {}): Promise<void> {
    this.#closing ??= this.#close(options.committed ?? false);
    return this.#closing;
  }

  async #close(committed: boolean): Promise<void> {
    this.#openThings.delete(this);
    await this.#pieces.idle();
    if (committed) this.#cache.adopt(this.#metainfo.digest, this.#pieces.cached);
    else this.#pieces.cached.forget();
    await this.#file.close();
  }
}

async function openExisting(path: string, what: string, digest: Digest): Promise<OpenFile> {
  try {
    return await nodeFileOps.open(path, 'read');
  } catch (error) {
    if (!isMissing(error)) throw error;
    throw new BlobNotFoundError(`${what} is not in the store any more`, { digest }, { cause: error });
  }
}
