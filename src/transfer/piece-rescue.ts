import type { Readable } from 'node:stream';
import type { Logger } from 'pino';
import { type ByteRange, DigestMismatchError, lengthOfPiece, UnavailableError } from '../core/index.ts';
import type { OriginCluster } from '../origin/client.ts';
import type { Download } from '../swarm/index.ts';

/** What a rescue works with. */
export interface PieceRescueDeps {
  readonly download: Download;
  readonly origins: Pick<OriginCluster, 'open'>;
  readonly logger: Logger;
  /** Ends all requests. */
  readonly signal: AbortSignal;
}

/** Requests on their way at once, for one reader. */
const PARALLELISM = 2;
/** One request asks for pieces up to this many bytes, once the first has come. */
const RUN_MAX_BYTES = 4 * 1024 * 1024;

/** Pieces that stand one behind the other, first and last. */
interface Run {
  readonly first: number;
  readonly last: number;
}

/**
 * Brings the pieces of one reader's range from the origins over HTTP while the swarm does not.
 *
 * It begins with the piece that the reader waits for and goes on with those behind it that nobody brings, until the swarm
 * brings more than it does: then the reader waits for the swarm again. Every piece is checked against its SHA-256 by the
 * download, like one from a peer. What it brings goes to disk; one piece a request is in memory.
 */
export class PieceRescue {
  readonly #deps: PieceRescueDeps;
  readonly #end: number;
  readonly #claimed = new Set<number>();
  #position: number;
  #workers = 0;
  #suppliedBytes = 0;
  #swarmBytesBefore = 0;
  #lastBytesAtMs = 0;
  #lastError: unknown;

  /** @param range of the reader: nothing outside of its pieces is fetched */
  constructor(deps: PieceRescueDeps, range: ByteRange) {
    this.#deps = deps;
    this.#position = range.offset;
    this.#end = range.offset + range.length;
  }

  /** Why the last request failed, if it did. */
  get lastError(): unknown {
    return this.#lastError;
  }

  /** When bytes came last, in milliseconds of `performance.now()`; 0 when none ever did. */
  get lastBytesAtMs(): number {
    return this.#lastBytesAtMs;
  }

  /** Tells where the reader stands: pieces before are of no use to it. */
  moveTo(offset: number): void {
    this.#position = offset;
  }

  /** Begins, or goes on, with a piece that the reader waits for, whatever the swarm says of it. */
  begin(piece: number): void {
    if (this.#workers === 0) {
      this.#suppliedBytes = 0;
      this.#swarmBytesBefore = this.#swarmBytes();
    }
    if (this.#workers < PARALLELISM && !this.#claimed.has(piece)) this.#startWorker(piece);
    const following = this.#workers < PARALLELISM ? this.#nextUnclaimed() : undefined;
    if (following !== undefined) this.#startWorker(following);
  }

  #startWorker(piece: number): void {
    this.#workers += 1;
    void this.#work(piece).finally(() => {
      this.#workers -= 1;
    });
  }

  /** Never rejects: the reader waits for its piece, and asks again when it has not come. */
  async #work(piece: number): Promise<void> {
    let next: number | undefined = piece;
    // The first request is for one piece alone, so that it is there soon; each further one for twice as many.
    for (let pieces = 1; next !== undefined && !this.#deps.signal.aborted; pieces *= 2) {
      const run = this.#claim(next, pieces);
      try {
        await this.#fetch(run);
      } catch (error) {
        if (this.#deps.signal.aborted) return;
        this.#lastError = error;
        const { digest } = this.#deps.download.metainfo;
        this.#deps.logger.warn({ digest, piece: run.first, err: error }, 'the origins gave no piece over HTTP');
        return;
      } finally {
        for (let index = run.first; index <= run.last; index++) this.#claimed.delete(index);
      }
      next = this.#swarmIsAhead() ? undefined : this.#nextUnclaimed();
    }
  }

  #claim(first: number, pieces: number): Run {
    const { pieceLength } = this.#deps.download.metainfo;
    const most = Math.min(pieces, Math.max(1, Math.floor(RUN_MAX_BYTES / pieceLength)));
    let last = first;
    while (last - first + 1 < most && this.#isMissing(last + 1)) last += 1;
    for (let index = first; index <= last; index++) this.#claimed.add(index);
    return { first, last };
  }

  /** Whether a piece of the reader's range is one that nobody brings. */
  #isMissing(piece: number): boolean {
    const range = this.#rangeOf(piece);
    if (range.offset >= this.#end || this.#claimed.has(piece)) return false;
    return this.#deps.download.nextMissing(range) === piece;
  }

  #nextUnclaimed(): number | undefined {
    const { download } = this.#deps;
    let offset = this.#position;
    while (offset < this.#end) {
      const piece = download.nextMissing({ offset, length: this.#end - offset });
      if (piece === undefined || !this.#claimed.has(piece)) return piece;
      offset = (piece + 1) * download.metainfo.pieceLength;
    }
    return undefined;
  }

  async #fetch(run: Run): Promise<void> {
    const { download, origins, signal } = this.#deps;
    const from = this.#rangeOf(run.first);
    const to = this.#rangeOf(run.last);
    const range = { offset: from.offset, length: to.offset + to.length - from.offset };
    const body = await origins.open(download.metainfo.digest, range, signal);
    // Errors come by iteration; one that comes after the last piece has nobody left to tell.
    body.on('error', () => {});
    const end = () => body.destroy();
    signal.addEventListener('abort', end, { once: true });
    try {
      await this.#supplyAll(run, body);
    } finally {
      signal.removeEventListener('abort', end);
      end();
    }
  }

  async #supplyAll(run: Run, body: Readable): Promise<void> {
    let index = run.first;
    let parts: Buffer[] = [];
    let wanted = this.#rangeOf(index).length;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      this.#lastBytesAtMs = performance.now();
      for (let offset = 0; offset < chunk.length && index <= run.last; ) {
        const part = chunk.subarray(offset, offset + wanted);
        parts.push(part);
        wanted -= part.length;
        offset += part.length;
        if (wanted > 0) continue;
        await this.#supply(index, Buffer.concat(parts));
        index += 1;
        parts = [];
        wanted = index <= run.last ? this.#rangeOf(index).length : 0;
      }
    }
    if (index > run.last) return;
    const { digest } = this.#deps.download.metainfo;
    throw new UnavailableError(`an origin ended piece ${index} of ${digest} ${wanted} bytes early`, { digest, index });
  }

  async #supply(index: number, bytes: Buffer): Promise<void> {
    const { download } = this.#deps;
    if (await download.supply(index, bytes)) {
      this.#suppliedBytes += bytes.length;
      return;
    }
    const { digest } = download.metainfo;
    throw new DigestMismatchError(`piece ${index} of ${digest} from an origin does not match its SHA-256`, {
      digest,
      index,
    });
  }

  #swarmBytes(): number {
    const progress = this.#deps.download.progress();
    return progress.fromPeersBytes + progress.fromOriginsBytes;
  }

  #swarmIsAhead(): boolean {
    return this.#swarmBytes() - this.#swarmBytesBefore > this.#suppliedBytes;
  }

  #rangeOf(piece: number): ByteRange {
    const { length, pieceLength } = this.#deps.download.metainfo;
    return { offset: piece * pieceLength, length: lengthOfPiece(piece, length, pieceLength) };
  }
}
