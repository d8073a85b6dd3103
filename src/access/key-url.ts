import type { Logger } from 'pino';
import { type Clock, UnavailableError } from '../core/index.ts';
import { type KeySet, type KeySource, parseKeySet } from './key-set.ts';
import { waitFor } from './wait.ts';

/** What keys from a URL need. */
export interface KeyUrlDeps {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly fetch: typeof fetch;
}

const TIMEOUT_MS = 5_000;
const MAX_BYTES = 1024 * 1024;
/** After this long the keys are fetched again, so that one that was withdrawn is not taken for ever. */
const FRESH_MS = 10 * 60 * 1000;
/** However many tokens name unknown keys, and whether or not the URL answers, it is not asked more often. */
const RETRY_MS = 30 * 1000;
/** With no keys at all nobody with a token gets in: then it is asked more often. */
const FIRST_RETRY_MS = 2 * 1000;
/** Keys that cannot be fetched again are taken for this long. */
const KEEP_MS = 24 * 60 * 60 * 1000;

/**
 * The keys of a token server from a URL. They are fetched when somebody asks and they are old, or a token names a key that is
 * not among them; while that fails, the former keys stay, for a day at most. Whoever opened it closes it.
 */
export class KeyUrl implements KeySource {
  readonly #url: string;
  readonly #deps: KeyUrlDeps;
  readonly #closed = new AbortController();
  #keys: KeySet | undefined;
  #fetchedMs = 0;
  #triedMs = Number.NEGATIVE_INFINITY;
  #fetching: Promise<void> | undefined;

  private constructor(url: string, deps: KeyUrlDeps) {
    this.#url = url;
    this.#deps = deps;
  }

  /** Fetches the keys for the first time; when that fails, it is logged, and tried again when somebody asks. */
  static async open(url: string, deps: KeyUrlDeps): Promise<KeyUrl> {
    const keys = new KeyUrl(url, deps);
    await keys.#fetch();
    return keys;
  }

  async current(signal: AbortSignal): Promise<KeySet> {
    if (this.#keys === undefined) await this.#fetchAgain(FIRST_RETRY_MS, signal);
    else if (this.#ageMs() >= FRESH_MS) await this.#fetchAgain(RETRY_MS, signal);
    return this.#usable();
  }

  async newest(signal: AbortSignal): Promise<KeySet> {
    await this.#fetchAgain(RETRY_MS, signal);
    return this.#usable();
  }

  async close(): Promise<void> {
    this.#closed.abort(new UnavailableError('the keys of the token server are not fetched any more: this is closing'));
    await this.#fetching;
  }

  #usable(): KeySet {
    if (this.#keys !== undefined && this.#ageMs() < KEEP_MS) return this.#keys;
    const message = `the keys of the token server could not be fetched from ${this.#url}; try again later`;
    throw new UnavailableError(message, { url: this.#url });
  }

  #ageMs(): number {
    return this.#deps.clock.monotonicMs() - this.#fetchedMs;
  }

  async #fetchAgain(notWithinMs: number, signal: AbortSignal): Promise<void> {
    const sinceTryMs = this.#deps.clock.monotonicMs() - this.#triedMs;
    if (this.#fetching === undefined && sinceTryMs < notWithinMs) return;
    await waitFor(this.#fetch(), signal);
  }

  /** Never rejects; callers of the same time share it. */
  #fetch(): Promise<void> {
    this.#fetching ??= this.#replaceKeys().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #replaceKeys(): Promise<void> {
    const { logger, clock } = this.#deps;
    this.#triedMs = clock.monotonicMs();
    try {
      const text = await this.#download(AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), this.#closed.signal]));
      this.#keys = parseKeySet(text, `access.token.jwksUrl: ${this.#url}`, 'skip');
      this.#fetchedMs = clock.monotonicMs();
    } catch (error) {
      if (this.#closed.signal.aborted) return;
      const rest = this.#keys === undefined ? 'no token can be checked' : 'the former ones stay';
      logger.error({ err: error, url: this.#url }, `the keys of the token server cannot be fetched; ${rest}`);
    }
  }

  async #download(signal: AbortSignal): Promise<string> {
    const headers = { accept: 'application/jwk-set+json, application/json' };
    // A redirect could lead away from TLS.
    const response = await this.#deps.fetch(this.#url, { headers, redirect: 'error', signal });
    if (response.status !== 200 || response.body === null) {
      await response.body?.cancel();
      throw new UnavailableError(`${this.#url} answered ${response.status}, expected 200 with a JSON Web Key Set`);
    }
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const part of response.body as AsyncIterable<Uint8Array>) {
      parts.push(part);
      size += part.length;
      if (size > MAX_BYTES) throw new UnavailableError(`${this.#url} answers more than ${MAX_BYTES} bytes`);
    }
    return Buffer.concat(parts).toString('utf8');
  }
}
