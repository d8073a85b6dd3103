import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import type { CaStore } from '../castore/index.ts';
import {
  algorithmOf,
  BlobNotFoundError,
  type Digest,
  DigestMismatchError,
  decodeMetainfo,
  hashBytes,
  InvalidMetainfoError,
  type Metainfo,
} from '../core/index.ts';
import type { OriginCluster } from '../origin/client.ts';
import type { TrackerClient } from '../tracker/client.ts';
import { decodeMetainfoAnswer, type MetainfoAnswer } from '../tracker/protocol.ts';
import { hedged } from './hedge.ts';
import { SingleFlight } from './single-flight.ts';

/** What is known of a blob: its metainfo, and when it is small the blob itself, verified. */
export interface KnownBlob {
  readonly metainfo: Metainfo;
  readonly blob: Buffer | undefined;
}

/** Where metainfo is asked for. */
export interface MetainfoSourceDeps {
  readonly tracker: Pick<TrackerClient, 'metainfo'>;
  readonly origins: Pick<OriginCluster, 'inline'>;
  readonly castore: { readonly downloads: Pick<CaStore['downloads'], 'findMetainfo'> };
  readonly logger: Logger;
}

/** Piece hashes of one blob take 104 KiB at most up to 8 GiB; this is room for some hundred large blobs. */
const CACHE_MAX_BYTES = 32 * 1024 * 1024;
/** What an entry takes beside its piece hashes. */
const ENTRY_BYTES = 512;

/** Gets the metainfo of blobs: from memory, from an unfinished download, from the tracker, else from the origins. */
export class MetainfoSource {
  readonly #deps: MetainfoSourceDeps;
  readonly #hedgeMs: number;
  readonly #known = new LRUCache<Digest, Metainfo>({
    maxSize: CACHE_MAX_BYTES,
    sizeCalculation: (metainfo) => ENTRY_BYTES + metainfo.sha1.length + metainfo.sha256.length,
  });
  readonly #flights = new SingleFlight<Digest, KnownBlob>();

  constructor(deps: MetainfoSourceDeps, options: { metainfoHedgeMs: number }) {
    this.#deps = deps;
    this.#hedgeMs = options.metainfoHedgeMs;
  }

  /**
   * @param sizeBytes what the build-index says that the blob has; metainfo of another length is not taken
   * @throws BlobNotFoundError, UnavailableError, InvalidMetainfoError, DigestMismatchError
   */
  async get(digest: Digest, sizeBytes: number, signal?: AbortSignal): Promise<KnownBlob> {
    const metainfo = this.#known.get(digest);
    if (metainfo !== undefined) return { metainfo, blob: undefined };
    return this.#flights.run(digest, (shared) => this.#find(digest, sizeBytes, shared), signal);
  }

  /** Drops what is known, because the blob that it describes turned out to be another. */
  forget(digest: Digest): void {
    this.#known.delete(digest);
    this.#flights.forget(digest);
  }

  async #find(digest: Digest, sizeBytes: number, signal: AbortSignal): Promise<KnownBlob> {
    const begun = await this.#deps.castore.downloads.findMetainfo(digest);
    const found =
      begun?.length === sizeBytes ? { metainfo: begun, blob: undefined } : await this.#ask(digest, sizeBytes, signal);
    // With the blob at hand nobody asks for its metainfo again.
    if (found.blob === undefined) this.#known.set(digest, found.metainfo);
    return found;
  }

  async #ask(digest: Digest, sizeBytes: number, signal: AbortSignal): Promise<KnownBlob> {
    const { tracker, origins, logger } = this.#deps;
    return hedged(
      {
        first: async (either) => {
          try {
            return readAnswer(await tracker.metainfo(digest, either), digest, sizeBytes);
          } catch (error) {
            if (!either.aborted) logger.warn({ digest, err: error }, 'the tracker gave no metainfo');
            throw error;
          }
        },
        second: async (either) => {
          return readAnswer(decodeAnswer(await origins.inline(digest, either), digest), digest, sizeBytes);
        },
        delayMs: this.#hedgeMs,
        isDefinite: (error) => error instanceof BlobNotFoundError,
      },
      signal,
    );
  }
}

function decodeAnswer(bytes: Buffer, digest: Digest): MetainfoAnswer {
  try {
    return decodeMetainfoAnswer(bytes);
  } catch (cause) {
    throw new InvalidMetainfoError(`the origin's metainfo answer for ${digest} cannot be read`, { digest }, { cause });
  }
}

/** Nothing of an answer is believed that does not fit to the digest and length that were asked for. */
function readAnswer(answer: MetainfoAnswer, digest: Digest, sizeBytes: number): KnownBlob {
  const metainfo = decodeMetainfo(answer.metainfo);
  if (metainfo.digest !== digest || metainfo.length !== sizeBytes) {
    throw new InvalidMetainfoError(
      `metainfo is of ${metainfo.digest} with ${metainfo.length} bytes, expected ${digest} with ${sizeBytes}`,
      { digest, got: metainfo.digest },
    );
  }
  if (answer.blob !== undefined) {
    const got = hashBytes(answer.blob, algorithmOf(digest));
    if (got !== digest) {
      throw new DigestMismatchError(`the blob that came with its metainfo is ${got}, expected ${digest}`, {
        expected: digest,
        got,
      });
    }
  }
  return { metainfo, blob: answer.blob };
}
