import type { Readable } from 'node:stream';
import PQueue from 'p-queue';
import type { Logger } from 'pino';
import type { BlobInfo, CaStore } from '../castore/index.ts';
import {
  BlobNotFoundError,
  type ByteRange,
  type Digest,
  NoSpaceError,
  type Repository,
  UnavailableError,
} from '../core/index.ts';
import type { BackendBlobs } from './backend-blobs.ts';
import { guardBlob } from './blob-guard.ts';
import type { OriginMetrics } from './metrics.ts';
import type { OtherOrigins, RemoteBlob } from './other-origins.ts';
import { SingleFlight } from './single-flight.ts';
import type { WriteBackQueue } from './write-back-queue.ts';

/** What {@link OriginBlobs} needs. */
export interface OriginBlobsDeps {
  readonly castore: CaStore;
  readonly backend: BackendBlobs;
  readonly others: OtherOrigins;
  readonly queue: WriteBackQueue;
  readonly metrics: OriginMetrics;
  readonly logger: Logger;
  /** How long a blob that came back from another origin leaves the write-back to that one. */
  readonly replicaDelayMs: number;
  /** Ends all fills. */
  readonly closing: AbortSignal;
}

/** How one read is done. */
export interface ReadOptions {
  /** On this origin's own disk only. */
  readonly local?: boolean;
  readonly signal?: AbortSignal;
  /** Told of the bytes that go to the reader. */
  readonly onBytes?: (bytes: number) => void;
}

/** A blob, found, with a way to its bytes. */
export interface LocatedBlob {
  readonly sizeBytes: number;
  readonly where: 'castore' | 'backend' | 'origin';
  /**
   * The bytes of a range, or all. Fewer bytes than asked end in an error; the whole of a blob that is not on this disk is
   * verified on its way, with its last chunk held back. The caller ends the stream.
   * @throws BlobNotFoundError when it has gone meanwhile
   */
  open(range: ByteRange | undefined, options?: Omit<ReadOptions, 'local'>): Promise<Readable>;
}

/** Cold blobs that are brought to the disk at the same time. */
const FILL_CONCURRENCY = 4;
/** Cold blobs that may wait for that; beyond it they are only read through. */
const MAX_WAITING_FILLS = 1_000;

/**
 * The blobs of one origin: its disk first, then the backend, then the disks of the other origins. What is read from
 * elsewhere is brought to the disk too, once however many ask, and is visible only after its digest has matched.
 */
export class OriginBlobs {
  readonly #deps: OriginBlobsDeps;
  readonly #fills = new SingleFlight<BlobInfo>();
  readonly #fillQueue = new PQueue({ concurrency: FILL_CONCURRENCY });
  #onFilled: (digest: Digest) => void = () => undefined;

  constructor(deps: OriginBlobsDeps) {
    this.#deps = deps;
  }

  /** Tells one listener of each cold blob that has been brought to the disk. */
  onFilled(listener: (digest: Digest) => void): void {
    this.#onFilled = listener;
  }

  /**
   * Takes an upload: verified and synced, kept from eviction, and its write-back queued on disk when this resolves.
   * @throws DigestMismatchError, NoSpaceError, and what the source throws; nothing is kept then
   */
  async receive(
    digest: Digest,
    source: AsyncIterable<Uint8Array>,
    options: { readonly repository: Repository | undefined; readonly delayMs: number; readonly signal: AbortSignal },
  ): Promise<BlobInfo> {
    const { castore, queue } = this.#deps;
    const info = await castore.blobs.put(digest, source, { pin: queue.pin, signal: options.signal });
    await queue.add(digest, options);
    return info;
  }

  /** The blob on this disk. */
  async findLocal(digest: Digest): Promise<BlobInfo | undefined> {
    return this.#deps.castore.blobs.find(digest);
  }

  /**
   * Finds a blob on this disk, in the backend, or on another origin's disk.
   * @throws BlobNotFoundError when it is nowhere; the backend's error, or UnavailableError, when one that could not be
   *   asked may have it
   */
  async locate(digest: Digest, { local = false, signal }: ReadOptions = {}): Promise<LocatedBlob> {
    const info = await this.findLocal(digest);
    if (info !== undefined) return this.#inCastore(info);
    if (local) throw notFound(digest);
    return this.#locateElsewhere(digest, signal);
  }

  /**
   * Finds a blob that is about to be linked in a repository that did not push it. Garbage collection may have taken its
   * bytes out of the backend while this disk still has them: then their write-back is queued anew when this resolves.
   * @returns its length in bytes
   * @throws what {@link locate} throws
   */
  async keep(digest: Digest, signal: AbortSignal): Promise<number> {
    const { queue, backend } = this.#deps;
    const { where, sizeBytes } = await this.locate(digest, { signal });
    if (where === 'castore' && backend.writable) await queue.add(digest, { repository: undefined, delayMs: 0 });
    return sizeBytes;
  }

  /** Finds a blob and opens it. A blob that is evicted between the two is found again elsewhere. */
  async open(
    digest: Digest,
    rangeOf: (sizeBytes: number) => ByteRange | undefined,
    options: ReadOptions = {},
  ): Promise<{ readonly sizeBytes: number; readonly range: ByteRange | undefined; readonly stream: Readable }> {
    const located = await this.locate(digest, options);
    const { sizeBytes } = located;
    const range = rangeOf(sizeBytes);
    try {
      const stream = await located.open(range, options);
      if (located.where !== 'castore') this.fillInBackground(digest, sizeBytes);
      return { sizeBytes, range, stream };
    } catch (error) {
      if (!(error instanceof BlobNotFoundError && located.where === 'castore') || options.local === true) throw error;
      const elsewhere = await this.#locateElsewhere(digest, options.signal);
      return { sizeBytes, range, stream: await elsewhere.open(range, options) };
    }
  }

  /** Whether a blob of this length could be kept on this disk. */
  fits(sizeBytes: number): boolean {
    return sizeBytes <= this.#deps.castore.usage().capacityBytes;
  }

  /** Begins to bring a cold blob to the disk, unless too much is under way already; failures are logged. */
  fillInBackground(digest: Digest, sizeBytes: number): void {
    if (!this.fits(sizeBytes) || this.#fills.has(digest) || this.#fillQueue.size >= MAX_WAITING_FILLS) return;
    // The fill itself logs why it failed, and whoever reads the blob goes without it.
    this.fill(digest).catch(() => undefined);
  }

  /**
   * Brings a blob to the disk, from the backend or else from another origin; callers at the same time share one fill.
   * @throws BlobNotFoundError, DigestMismatchError, NoSpaceError, UnavailableError, and the backend's errors
   */
  async fill(digest: Digest, signal?: AbortSignal): Promise<BlobInfo> {
    return this.#fills.run(digest, () => this.#queueFill(digest), signal);
  }

  /** Resolves when the fills of now have ended; the closing signal ends them early. */
  async settled(): Promise<void> {
    await this.#fills.settled();
  }

  async #queueFill(digest: Digest): Promise<BlobInfo> {
    if (this.#fillQueue.size >= MAX_WAITING_FILLS) {
      throw new UnavailableError(`${MAX_WAITING_FILLS} cold blobs wait already to be brought to this origin's disk`);
    }
    return this.#fillQueue.add(() => this.#fillNow(digest), { signal: this.#deps.closing });
  }

  async #fillNow(digest: Digest): Promise<BlobInfo> {
    const { castore, metrics, logger } = this.#deps;
    const held = await castore.blobs.find(digest);
    if (held !== undefined) return held;
    try {
      const info = (await this.#fillFromBackend(digest)) ?? (await this.#fillFromOther(digest));
      this.#onFilled(digest);
      return info;
    } catch (error) {
      metrics.fills.inc({ result: 'failed' });
      if (!this.#deps.closing.aborted) logger.warn({ err: error, digest }, 'a cold blob was not brought to the disk');
      throw error;
    }
  }

  /** `undefined` when the bytes have to come from elsewhere. */
  async #fillFromBackend(digest: Digest): Promise<BlobInfo | undefined> {
    const { backend, castore, metrics, logger, closing } = this.#deps;
    try {
      const sizeBytes = await backend.find(digest, { signal: closing });
      if (sizeBytes !== undefined && !this.fits(sizeBytes)) throw tooLarge(digest, sizeBytes);
      const source = sizeBytes === undefined ? undefined : await backend.open(digest, undefined, { signal: closing });
      if (source === undefined) return undefined;
      const info = await castore.blobs.put(digest, source, { signal: closing });
      metrics.fills.inc({ result: 'backend' });
      return info;
    } catch (error) {
      closing.throwIfAborted();
      if (error instanceof NoSpaceError || this.#deps.others.size === 0) throw error;
      logger.warn({ err: error, digest }, 'the backend did not give a blob; asking the other origins');
      const info = await this.#fillFromOther(digest).catch((other: unknown) => {
        throw other instanceof BlobNotFoundError ? error : other;
      });
      return info;
    }
  }

  /** What only another origin has is not in the backend yet: it is kept like an upload until it is. */
  async #fillFromOther(digest: Digest): Promise<BlobInfo> {
    const { others, metrics, closing, replicaDelayMs } = this.#deps;
    const remote = await others.find(digest, closing);
    if (remote === undefined) throw notFound(digest);
    const source = await remote.origin.open(digest, undefined, closing, { local: true });
    const info = await this.receive(digest, source, {
      repository: undefined,
      delayMs: replicaDelayMs,
      signal: closing,
    });
    metrics.fills.inc({ result: 'origin' });
    return info;
  }

  async #locateElsewhere(digest: Digest, signal: AbortSignal | undefined): Promise<LocatedBlob> {
    const { backend, others } = this.#deps;
    let failure: unknown;
    try {
      const sizeBytes = await backend.find(digest, signal === undefined ? {} : { signal });
      if (sizeBytes !== undefined) return this.#inBackend(digest, sizeBytes);
    } catch (error) {
      signal?.throwIfAborted();
      failure = error;
    }
    const remote = await others.find(digest, signal);
    if (remote === undefined) throw failure ?? notFound(digest);
    return this.#inOther(digest, remote);
  }

  #inCastore({ digest, sizeBytes }: BlobInfo): LocatedBlob {
    const { blobs } = this.#deps.castore;
    const open = (range: ByteRange | undefined) => blobs.open(digest, range);
    return { sizeBytes, where: 'castore', open: guarded({ digest, sizeBytes, verified: true, open }) };
  }

  #inBackend(digest: Digest, sizeBytes: number): LocatedBlob {
    const open = async (range: ByteRange | undefined, signal: AbortSignal | undefined) => {
      const stream = await this.#deps.backend.open(digest, range, signal === undefined ? {} : { signal });
      if (stream === undefined) throw notFound(digest);
      return stream;
    };
    return { sizeBytes, where: 'backend', open: guarded({ digest, sizeBytes, verified: false, open }) };
  }

  #inOther(digest: Digest, { origin, sizeBytes }: RemoteBlob): LocatedBlob {
    const open = (range: ByteRange | undefined, signal: AbortSignal | undefined) =>
      origin.open(digest, range, signal, { local: true });
    return { sizeBytes, where: 'origin', open: guarded({ digest, sizeBytes, verified: false, open }) };
  }
}

/** Opens a blob through a guard. Only the whole of a blob can be verified here; a range rests on its reader's pieces. */
function guarded(blob: {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly verified: boolean;
  readonly open: (range: ByteRange | undefined, signal: AbortSignal | undefined) => Promise<Readable>;
}): LocatedBlob['open'] {
  const { digest } = blob;
  return async (range, { signal, onBytes } = {}) => {
    const stream = await blob.open(range, signal);
    const isWhole = range === undefined || range.length === blob.sizeBytes;
    return guardBlob(stream, {
      digest,
      sizeBytes: range?.length ?? blob.sizeBytes,
      verify: isWhole && !blob.verified,
      ...(onBytes === undefined ? {} : { onBytes }),
    });
  };
}

function notFound(digest: Digest): BlobNotFoundError {
  return new BlobNotFoundError(`blob ${digest} is neither on an origin's disk nor in the backend`, { digest });
}

function tooLarge(digest: Digest, sizeBytes: number): NoSpaceError {
  return new NoSpaceError(`blob ${digest} has ${sizeBytes} bytes, more than this origin may keep`, {
    digest,
    sizeBytes,
  });
}
