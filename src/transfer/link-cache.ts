import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import { BlobNotFoundError, type Clock, type Digest, type Repository, UnavailableError } from '../core/index.ts';
import type { BlobStat, LinkKind } from './image-transferer.ts';
import { SingleFlight } from './single-flight.ts';

/** Who knows what is linked where: the build-index. */
export interface LinkSource {
  /** @throws BlobNotFoundError when the blob is not linked in the repository */
  statBlob(repository: Repository, digest: Digest, signal?: AbortSignal): Promise<BlobStat>;
}

/** What a link cache works with. */
export interface LinkCacheDeps {
  readonly source: LinkSource;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Told of every answer that was given although the source does not answer. */
  readonly onStale?: () => void;
}

/** How long answers count, and how many are kept. */
export interface LinkCacheOptions {
  readonly linkCacheMs: number;
  /** While the source does not answer, positive answers up to this age count; 0 never. */
  readonly staleMs: number;
  readonly maxEntries: number;
}

interface Entry {
  readonly stat: BlobStat;
  readonly atMs: number;
}

/**
 * Remembers positive answers about links, so that a registry's checks of one blob (is it a layer here? how long is it?)
 * cost one request together. That something is *not* linked is never remembered: a push may link it at any moment.
 */
export class LinkCache {
  readonly #deps: LinkCacheDeps;
  readonly #options: LinkCacheOptions;
  readonly #entries: LRUCache<string, Entry>;
  readonly #flights = new SingleFlight<string, BlobStat>();
  /** Grows with every invalidation: an answer asked for before one is not remembered after it. */
  #generation = 0;

  constructor(deps: LinkCacheDeps, options: LinkCacheOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#entries = new LRUCache({ max: options.maxEntries });
  }

  /** Length and links of a blob. @throws BlobNotFoundError */
  async stat(repository: Repository, digest: Digest, signal?: AbortSignal): Promise<BlobStat> {
    const known = this.#fresh(keyOf(repository, digest));
    return known ?? this.#ask(repository, digest, signal);
  }

  /** Whether a blob is linked in this way. A remembered answer counts only when it says yes. */
  async hasLink(repository: Repository, kind: LinkKind, digest: Digest, signal?: AbortSignal): Promise<boolean> {
    if (this.#fresh(keyOf(repository, digest))?.links.includes(kind) === true) return true;
    try {
      return (await this.#ask(repository, digest, signal)).links.includes(kind);
    } catch (error) {
      if (error instanceof BlobNotFoundError) return false;
      throw error;
    }
  }

  /** Forgets what was known of a blob in a repository, after a change of its links. */
  invalidate(repository: Repository, digest: Digest): void {
    this.#generation += 1;
    this.#flights.forget(keyOf(repository, digest));
    this.#entries.delete(keyOf(repository, digest));
  }

  /** Forgets all that was known of a repository. */
  invalidateRepository(repository: Repository): void {
    this.#generation += 1;
    for (const key of [...this.#entries.keys()]) {
      if (!key.startsWith(`${repository}@`)) continue;
      this.#flights.forget(key);
      this.#entries.delete(key);
    }
  }

  #fresh(key: string): BlobStat | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || this.#ageMs(entry) >= this.#options.linkCacheMs) return undefined;
    return entry.stat;
  }

  async #ask(repository: Repository, digest: Digest, signal?: AbortSignal): Promise<BlobStat> {
    const key = keyOf(repository, digest);
    try {
      return await this.#flights.run(key, (shared) => this.#fetch(repository, digest, shared), signal);
    } catch (error) {
      const entry = this.#entries.get(key);
      if (error instanceof UnavailableError && entry !== undefined && this.#ageMs(entry) < this.#options.staleMs) {
        this.#deps.onStale?.();
        this.#deps.logger.warn({ repository, digest, ageMs: this.#ageMs(entry), err: error }, 'stale link answered');
        return entry.stat;
      }
      throw error;
    }
  }

  async #fetch(repository: Repository, digest: Digest, signal: AbortSignal): Promise<BlobStat> {
    const key = keyOf(repository, digest);
    const generation = this.#generation;
    try {
      const stat = await this.#deps.source.statBlob(repository, digest, signal);
      if (generation === this.#generation) this.#entries.set(key, { stat, atMs: this.#deps.clock.monotonicMs() });
      return stat;
    } catch (error) {
      if (error instanceof BlobNotFoundError) this.#entries.delete(key);
      throw error;
    }
  }

  #ageMs(entry: Entry): number {
    return this.#deps.clock.monotonicMs() - entry.atMs;
  }
}

/** A repository's name has no "@". */
function keyOf(repository: Repository, digest: Digest): string {
  return `${repository}@${digest}`;
}
