import type { BlobInfo, LentBytes, SharedPieces } from '../../castore/index.ts';
import type { Metainfo } from '../../core/index.ts';
import type { SwarmPartial, SwarmStore } from '../store.ts';
import type { Channel } from './channel.ts';
import type { MainCalls, PeerCalls } from './protocol.ts';

/** Pieces are told of together when they come within this time of each other. */
const GATHER_MS = 5;

/** Stands for the bytes of a piece that the main process has stored; see {@link RemotePartial.writePiece}. */
export const SUPPLIED = Buffer.alloc(0);

/** What a {@link RemotePartial} works with. */
export interface RemotePartialDeps {
  readonly channel: Channel<MainCalls, PeerCalls>;
  readonly blobs: SwarmStore['blobs'];
  /** All pieces are there: called before the main process is asked to verify the blob. */
  readonly onWhole: () => void;
}

/**
 * A download that belongs to the main process's store: pieces are checked and written here, into the file that the main
 * process has opened; that is told of them, keeps them, and commits.
 */
export class RemotePartial implements SwarmPartial {
  readonly metainfo: Metainfo;
  readonly #deps: RemotePartialDeps;
  #pieces!: SharedPieces;
  /** Written, but not told yet. */
  #untold: number[] = [];
  #timer: NodeJS.Timeout | undefined;
  #committed = false;

  private constructor(metainfo: Metainfo, deps: RemotePartialDeps) {
    this.metainfo = metainfo;
    this.#deps = deps;
  }

  /** `openPieces` opens the data, and tells of each piece that is written. */
  static async open(
    metainfo: Metainfo,
    deps: RemotePartialDeps,
    openPieces: (onStored: (index: number) => void) => Promise<SharedPieces>,
  ): Promise<RemotePartial> {
    const partial = new RemotePartial(metainfo, deps);
    partial.#pieces = await openPieces((index) => partial.#onStored(index));
    return partial;
  }

  get verifiedPieces(): number {
    return this.#pieces.verifiedPieces;
  }

  get prefixBytes(): number {
    let pieces = 0;
    while (this.has(pieces)) pieces += 1;
    return Math.min(this.metainfo.length, pieces * this.metainfo.pieceLength);
  }

  has(index: number): boolean {
    return this.#pieces.has(index);
  }

  bitfield(): Uint8Array {
    return this.#pieces.bitfield();
  }

  pieceBuffer(index: number): Buffer {
    return this.#pieces.pieceBuffer(index);
  }

  returnBuffer(buffer: Buffer): void {
    this.#pieces.returnBuffer(buffer);
  }

  /** @param bytes of the piece, or {@link SUPPLIED} when the main process has it in the file already */
  async writePiece(index: number, bytes: Uint8Array): Promise<boolean> {
    if (bytes !== SUPPLIED) return this.#pieces.writePiece(index, bytes);
    this.#pieces.adopt(index);
    return true;
  }

  async read(index: number, offset: number, length: number): Promise<Buffer> {
    const lent = await this.lend(index, offset, length);
    const copy = Buffer.from(lent.bytes);
    lent.release();
    return copy;
  }

  lend(index: number, offset: number, length: number): LentBytes | Promise<LentBytes> {
    if (!this.#committed) return this.#pieces.lend(index, offset, length);
    return this.#lendFromBlob(index * this.metainfo.pieceLength + offset, length);
  }

  async verify(): Promise<void> {
    this.#tell();
    this.#deps.onWhole();
    await this.#deps.channel.call('verifyDownload', { digest: this.metainfo.digest });
  }

  async commit(): Promise<BlobInfo> {
    const info = await this.#deps.channel.call('commitDownload', { digest: this.metainfo.digest });
    this.#committed = true;
    await this.#pieces.close({ committed: true });
    return info;
  }

  async close(): Promise<void> {
    if (this.#committed) return;
    await this.#pieces.close();
    this.#tell();
    await this.#deps.channel.call('closeDownload', { digest: this.metainfo.digest });
  }

  #onStored(index: number): void {
    this.#untold.push(index);
    this.#timer ??= setTimeout(() => this.#tell(), GATHER_MS);
  }

  #tell(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#untold.length === 0) return;
    this.#deps.channel.tell('pieces', { digest: this.metainfo.digest, pieces: this.#untold });
    this.#untold = [];
  }

  async #lendFromBlob(offset: number, length: number): Promise<LentBytes> {
    const file = await this.#deps.blobs.openFile(this.metainfo.digest);
    try {
      return await file.lend(offset, length);
    } finally {
      await file.close();
    }
  }
}
