import type { Logger } from 'pino';
import type { BlobFile, BlobStore } from '../castore/index.ts';
import { type ByteRange, type LendingStream, type LentBytes, UnavailableError } from '../core/index.ts';
import type { OriginCluster } from '../origin/client.ts';
import type { Download } from '../swarm/index.ts';
import { handledElsewhere, orAborted, resolvesWithin } from './abort.ts';
import { lendFile, lendParts } from './file-stream.ts';
import { PieceRescue } from './piece-rescue.ts';
import { lendingStream } from './pulled-stream.ts';

/** What the stream of a download works with. */
export interface DownloadStreamDeps {
  readonly download: Download;
  readonly origins: Pick<OriginCluster, 'open'>;
  /** Holds the blob once the download has finished. */
  readonly blobs: Pick<BlobStore, 'openFile'>;
  readonly logger: Logger;
  /** Told once, when the first verified bytes are handed to the reader. */
  readonly onFirstByte?: () => void;
  /** Told once, when the reader has come to its end or gone away. */
  readonly onClose?: () => void;
}

/** How long a reader waits for what. */
export interface DownloadStreamBudgets {
  readonly firstByteBudgetMs: number;
  readonly nextPieceBudgetMs: number;
  readonly stallLimitMs: number;
}

/** What has been verified already is handed on in chunks up to this size: each costs some 50 µs, whatever its length. */
const CHUNK_BYTES = 512 * 1024;

/** A read that fails while the last piece is in waits this long for the commit, which moves the bytes to the store. */
const COMMIT_BUDGET_MS = 5_000;

/**
 * A stream of verified bytes of a blob that is on its way. A piece that the swarm does not bring within its budget comes
 * from the origins over HTTP. The last piece of the whole blob is held back until the blob's digest has matched; a range
 * rests on its pieces. An error destroys the stream: it never ends early cleanly.
 *
 * @param range lies inside of the blob and is not empty
 */
export function downloadStream(
  deps: DownloadStreamDeps,
  range: ByteRange,
  budgets: DownloadStreamBudgets,
  signal?: AbortSignal,
): LendingStream {
  return lendingStream((ended) => {
    ended.addEventListener('abort', () => deps.onClose?.(), { once: true });
    return new DownloadReading(deps, range, budgets, ended).chunks();
  }, signal);
}

/** One read of one download. */
class DownloadReading {
  readonly #deps: DownloadStreamDeps;
  readonly #range: ByteRange;
  readonly #budgets: DownloadStreamBudgets;
  readonly #signal: AbortSignal;
  readonly #rescue: PieceRescue;
  #file: Promise<BlobFile> | undefined;
  #isCommitted = false;
  #isClosed = false;

  constructor(deps: DownloadStreamDeps, range: ByteRange, budgets: DownloadStreamBudgets, signal: AbortSignal) {
    this.#deps = deps;
    this.#range = range;
    this.#budgets = budgets;
    this.#signal = signal;
    const { download, origins, logger } = deps;
    this.#rescue = new PieceRescue({ download, origins, logger, signal }, range);
  }

  async *chunks(): AsyncGenerator<readonly LentBytes[]> {
    const { download } = this.#deps;
    const { length, pieceLength } = download.metainfo;
    const end = this.#range.offset + this.#range.length;
    const isWhole = this.#range.length === length;
    const lastPieceAt = (Math.ceil(length / pieceLength) - 1) * pieceLength;
    const reader = download.openReader(this.#range);
    let isFirst = true;
    handledElsewhere(download.finished.then(() => this.#onCommitted()));
    try {
      for (let offset = this.#range.offset; offset < end; ) {
        const piece = Math.floor(offset / pieceLength);
        const first = { offset, length: Math.min(end, (piece + 1) * pieceLength) - offset };
        await this.#waitFor(piece, first, isFirst ? this.#budgets.firstByteBudgetMs : this.#budgets.nextPieceBudgetMs);
        // The last piece of the whole blob goes by itself: it alone waits for the digest.
        const limit = isWhole ? lastPieceAt : end;
        const runEnd = this.#readyEnd(offset, offset + first.length, limit);
        const run = await this.#lend({ offset, length: runEnd - offset });
        offset = runEnd;
        reader.moveTo(offset);
        this.#rescue.moveTo(offset);
        if (isWhole && offset === end) await this.#untilVerified(run);
        if (isFirst) this.#deps.onFirstByte?.();
        isFirst = false;
        yield run;
      }
    } finally {
      reader.close();
      await this.#close();
    }
  }

  /** How far the next chunk goes: over the piece that has been waited for, and what is verified behind it. */
  #readyEnd(offset: number, pieceEnd: number, limit: number): number {
    const most = Math.max(pieceEnd, Math.min(limit, offset + CHUNK_BYTES));
    if (this.#isCommitted) return most;
    return this.#deps.download.verifiedEnd({ offset: pieceEnd, length: most - pieceEnd });
  }

  /** The file is opened at once, so that an eviction does not take it from under a slow reader. */
  #onCommitted(): void {
    this.#isCommitted = true;
    if (!this.#isClosed) handledElsewhere(this.#openFile());
  }

  /** Resolves when the bytes are verified, whoever brought them. */
  async #waitFor(piece: number, range: ByteRange, budgetMs: number): Promise<void> {
    if (this.#isCommitted) return;
    const sinceMs = performance.now();
    const arrived = this.#deps.download.waitFor(range, this.#signal);
    while (!(await resolvesWithin(arrived, budgetMs))) {
      const quietMs = performance.now() - Math.max(sinceMs, this.#rescue.lastBytesAtMs);
      if (quietMs > this.#budgets.stallLimitMs) throw this.#stalled(piece, quietMs);
      this.#rescue.begin(piece);
    }
  }

  #stalled(piece: number, quietMs: number): UnavailableError {
    const { digest } = this.#deps.download.metainfo;
    const seconds = Math.round(quietMs / 1000);
    const message = `piece ${piece} of ${digest} has not come for ${seconds} s, neither by the swarm nor from an origin`;
    return new UnavailableError(message, { digest, piece }, { cause: this.#rescue.lastError });
  }

  /** Waits until the blob's digest has matched; gives the run back when it does not. */
  async #untilVerified(run: readonly LentBytes[]): Promise<void> {
    try {
      await orAborted(this.#deps.download.verified, this.#signal);
    } catch (error) {
      for (const lent of run) lent.release();
      throw error;
    }
  }

  async #lend(range: ByteRange): Promise<readonly LentBytes[]> {
    const { download } = this.#deps;
    const file = await this.#file?.catch(() => undefined); // Evicted already: the download itself has to do.
    if (file !== undefined) return lendFile(file, range);
    try {
      return await lendPieces(download, range);
    } catch (error) {
      // The download may just be turning into a blob: then the store has the bytes.
      if (this.#file !== undefined || !(await resolvesWithin(download.finished, COMMIT_BUDGET_MS))) throw error;
      return lendFile(await this.#openFile(), range);
    }
  }

  #openFile(): Promise<BlobFile> {
    this.#file ??= this.#deps.blobs.openFile(this.#deps.download.metainfo.digest);
    return this.#file;
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    const file = await this.#file?.catch(() => undefined); // Never opened: nothing to close.
    await file?.close();
  }
}

/** Verified bytes of a download, piece by piece. */
function lendPieces(download: Download, { offset, length }: ByteRange): Promise<readonly LentBytes[]> {
  const { pieceLength } = download.metainfo;
  return lendParts({ offset, length }, pieceLength, (at, bytes) => {
    const piece = Math.floor(at / pieceLength);
    return download.lend(piece, at - piece * pieceLength, bytes);
  });
}
