import { LRUCache } from 'lru-cache';
import {
  algorithmOf,
  BlobNotFoundError,
  type Clock,
  type Digest,
  decodeMetainfo,
  hashBytes,
  InvalidMetainfoError,
  UnavailableError,
} from '../core/index.ts';
import { decodeMetainfoAnswer } from './protocol.ts';
import type { MetainfoResult } from './tracker-metrics.ts';

/** Where metainfo answers come from: {@link OriginCluster} of the origins. */
interface MetainfoSource {
  /** An encoded metainfo answer. @throws BlobNotFoundError */
  inline(digest: Digest, signal?: AbortSignal): Promise<Buffer>;
}

/** What a {@link MetainfoCache} is made of. */
export interface MetainfoCacheDeps {
  readonly source: MetainfoSource;
  readonly clock: Clock;
  /** Told how each request went. */
  readonly onResult: (result: MetainfoResult) => void;
  readonly maxBytes: number;
  /** An answer is asked for again after this time, so that a wrong one cannot stay for ever. */
  readonly maxAgeMs: number;
}

/** One request to the origins, and how many wait for it. */
interface Flight {
  readonly answer: Promise<Buffer>;
  readonly controller: AbortController;
  waiting: number;
}

/** Blobs that are asked of the origins at once; each may take minutes while an origin reads a cold blob. */
const MAX_FLIGHTS = 1_000;
/** What an entry costs beside its bytes, roughly. */
const ENTRY_OVERHEAD_BYTES = 256;

/**
 * Metainfo answers by digest: kept while they are used, and asked for once however many agents want one at the same
 * moment. Every answer is checked before it is kept or passed on. Failures are not kept.
 */
export class MetainfoCache {
  readonly #deps: MetainfoCacheDeps;
  readonly #cache: LRUCache<Digest, Buffer>;
  readonly #flights = new Map<Digest, Flight>();

  constructor(deps: MetainfoCacheDeps) {
    this.#deps = deps;
    this.#cache = new LRUCache({
      maxSize: deps.maxBytes,
      sizeCalculation: (answer) => answer.length + ENTRY_OVERHEAD_BYTES,
      ttl: deps.maxAgeMs,
      perf: { now: () => deps.clock.monotonicMs() },
      ttlResolution: 0,
    });
  }

  /**
   * The encoded answer for a blob. The request to the origins goes on until nobody waits for it any more.
   * @throws BlobNotFoundError
   * @throws UnavailableError when no origin answers, or one answers something that is not this blob's metainfo
   */
  async get(digest: Digest, signal: AbortSignal): Promise<Buffer> {
    const kept = this.#cache.get(digest);
    this.#deps.onResult(kept === undefined ? 'miss' : 'hit');
    if (kept !== undefined) return kept;
    try {
      return await this.#join(digest, signal);
    } catch (error) {
      if (!signal.aborted) this.#deps.onResult(error instanceof BlobNotFoundError ? 'not_found' : 'failed');
      throw error;
    }
  }

  async #join(digest: Digest, signal: AbortSignal): Promise<Buffer> {
    signal.throwIfAborted();
    const flight = this.#flights.get(digest) ?? this.#depart(digest);
    flight.waiting++;
    const left = Promise.withResolvers<never>();
    const leave = () => left.reject(signal.reason);
    signal.addEventListener('abort', leave, { once: true });
    try {
      return await Promise.race([flight.answer, left.promise]);
    } finally {
      signal.removeEventListener('abort', leave);
      flight.waiting--;
      if (flight.waiting === 0) {
        flight.controller.abort();
        // A newcomer must not join what has just been given up.
        if (this.#flights.get(digest) === flight) this.#flights.delete(digest);
      }
    }
  }

  #depart(digest: Digest): Flight {
    if (this.#flights.size >= MAX_FLIGHTS) {
      throw new UnavailableError(
        `metainfo of ${MAX_FLIGHTS} other blobs is being asked of the origins; try again later`,
      );
    }
    const controller = new AbortController();
    const flight: Flight = { answer: this.#fetch(digest, controller.signal), controller, waiting: 0 };
    this.#flights.set(digest, flight);
    // Whoever waits gets the failure through the race; this one only keeps it from counting as unhandled.
    flight.answer.catch(() => {});
    return flight;
  }

  async #fetch(digest: Digest, signal: AbortSignal): Promise<Buffer> {
    const answer = await this.#deps.source.inline(digest, signal);
    checkAnswer(digest, answer);
    this.#cache.set(digest, answer);
    return answer;
  }
}

/** @throws UnavailableError when an answer is not about this blob: the fault is the origin's, not the caller's */
function checkAnswer(digest: Digest, answer: Buffer): void {
  try {
    const { metainfo: bytes, blob } = decodeMetainfoAnswer(answer);
    const metainfo = decodeMetainfo(bytes);
    if (metainfo.digest !== digest) throw new InvalidMetainfoError(`it is about ${metainfo.digest}`);
    if (blob !== undefined && hashBytes(blob, algorithmOf(digest)) !== digest) {
      throw new InvalidMetainfoError(`the ${blob.length} bytes of the blob that came along do not have its digest`);
    }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UnavailableError(
      `an origin answered metainfo of ${digest} that cannot be used: ${reason}`,
      { digest },
      { cause },
    );
  }
}
