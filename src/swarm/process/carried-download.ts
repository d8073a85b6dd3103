import type { ByteRange, Digest } from '../../core/index.ts';
import type { Download, DownloadReader } from '../swarm.ts';
import type { DownloadState } from './protocol.ts';
import { SUPPLIED } from './remote-partial.ts';

/** Missing pieces that are told for one reader at most: as many as it may get to before it is told again. */
const MAX_MISSING = 64;

interface Reader {
  readonly place: DownloadReader;
  readonly end: number;
  offset: number;
}

/** A download in a peer process, on behalf of the main process: its readers are there, and want to know how it stands. */
export class CarriedDownload {
  /** Resolves when it has ended, and the main process has been told. */
  readonly told: Promise<void>;
  readonly #download: Download;
  readonly #readers = new Map<number, Reader>();
  #lastTold = '';

  /** @param follow waits for its end and tells the main process; never rejects */
  constructor(download: Download, follow: (carried: CarriedDownload) => Promise<void>) {
    this.#download = download;
    this.told = follow(this);
  }

  get digest(): Digest {
    return this.#download.metainfo.digest;
  }

  /** A reader of the main process has come, moved, or gone. */
  moveReader(id: number, range: ByteRange | undefined): void {
    const reader = this.#readers.get(id);
    if (range === undefined) {
      reader?.place.close();
      this.#readers.delete(id);
    } else if (reader === undefined) {
      const place = this.#download.openReader(range);
      this.#readers.set(id, { place, offset: range.offset, end: range.offset + range.length });
    } else {
      reader.offset = range.offset;
      reader.place.moveTo(range.offset);
    }
  }

  /** The main process has stored a piece that came from elsewhere. */
  async supplied(piece: number): Promise<void> {
    await this.#download.supply(piece, SUPPLIED);
  }

  /** Ends it; resolves once the main process has been told all of it, unless it is whole and goes on to become a blob. */
  async cancel(reason: Error): Promise<void> {
    if (await this.#download.cancel(reason)) await this.told;
  }

  /** How it stands, when that has changed since the last call. */
  changedState(): DownloadState | undefined {
    const { fromPeersBytes, fromOriginsBytes, wastedBytes, peers } = this.#download.progress();
    const missing = this.#readers.size === 0 ? undefined : this.#missing();
    const told = [fromPeersBytes, fromOriginsBytes, wastedBytes, peers, missing?.join(' ')].join();
    if (told === this.#lastTold) return undefined;
    this.#lastTold = told;
    return { digest: this.digest, fromPeersBytes, fromOriginsBytes, wastedBytes, peers, missing };
  }

  #missing(): number[] {
    const { pieceLength } = this.#download.metainfo;
    const missing = new Set<number>();
    for (const { offset, end } of this.#readers.values()) {
      let count = 0;
      for (let at = offset; at < end && count < MAX_MISSING; count++) {
        const piece = this.#download.nextMissing({ offset: at, length: end - at });
        if (piece === undefined) break;
        missing.add(piece);
        at = (piece + 1) * pieceLength;
      }
    }
    return [...missing].sort((a, b) => a - b);
  }
}
