import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import {
  type Clock,
  type Digest,
  type Repository,
  type Tag,
  TagNotFoundError,
  UnavailableError,
} from '../core/index.ts';

/** What a tag cache works with. */
export interface TagCacheDeps {
  /** Asks the build-index. @throws TagNotFoundError, UnavailableError */
  readonly getTag: (repository: Repository, tag: Tag, signal?: AbortSignal) => Promise<Digest>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Told of every answer that was given although the build-index does not answer. */
  readonly onStale?: () => void;
}

/** How long a last known digest counts while the build-index is away, and how many are kept. */
export interface TagCacheOptions {
  readonly staleMs: number;
  readonly maxEntries: number;
}

/**
 * Answers tags while the build-index is away. As long as it answers, every question goes to it: a tag may move at any
 * moment, and only the build-index knows.
 */
export class TagCache {
  readonly #deps: TagCacheDeps;
  readonly #options: TagCacheOptions;
  readonly #lastKnown: LRUCache<string, { readonly digest: Digest; readonly atMs: number }>;

  constructor(deps: TagCacheDeps, options: TagCacheOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#lastKnown = new LRUCache({ max: options.maxEntries });
  }

  /** @throws TagNotFoundError; UnavailableError when the build-index is away and nothing recent is known */
  async get(repository: Repository, tag: Tag, signal?: AbortSignal): Promise<Digest> {
    const key = `${repository}:${tag}`;
    const { clock, logger, onStale } = this.#deps;
    try {
      const digest = await this.#deps.getTag(repository, tag, signal);
      this.#lastKnown.set(key, { digest, atMs: clock.monotonicMs() });
      return digest;
    } catch (error) {
      if (error instanceof TagNotFoundError) this.#lastKnown.delete(key);
      const known = this.#lastKnown.get(key);
      if (!(error instanceof UnavailableError) || known === undefined) throw error;
      const ageMs = clock.monotonicMs() - known.atMs;
      if (ageMs >= this.#options.staleMs) throw error;
      onStale?.();
      logger.warn({ repository, tag, digest: known.digest, ageMs, err: error }, 'stale tag answered');
      return known.digest;
    }
  }
}
