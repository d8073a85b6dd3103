import { errors, type JWTPayload, jwtVerify } from 'jose';
import type { Logger } from 'pino';
import { type Clock, UnavailableError } from '../core/index.ts';
import { hasControls } from './authorization.ts';
import type { TokenConfig } from './config.ts';
import { KeyFile } from './key-file.ts';
import type { KeySet, KeySource } from './key-set.ts';
import { KeyUrl } from './key-url.ts';
import type { Rights } from './rights.ts';
import { findGrants } from './token-grants.ts';

/** What logins with tokens need. */
export interface TokenLoginDeps {
  readonly logger: Logger;
  readonly clock: Clock;
  /** For `jwksUrl`. */
  readonly fetch: typeof fetch;
}

/** What a token says. */
export type TokenVerdict =
  | { readonly taken: true; readonly subject: string; readonly grants: Rights }
  /** `reason` is for the answer and the log. */
  | { readonly taken: false; readonly reason: string };

/** Clocks of token server and registry may differ by this much; distribution's figure. */
const LEEWAY_SECONDS = 60;
const SUBJECT_MAX_LENGTH = 256;

/**
 * Tokens of one token server (distribution, "Token authentication"; RFC 7519). The keys come from the configuration only:
 * what a token says of keys in its own header (`jwk`, `jku`, `x5c`, `x5u`) is never looked at, but for `kid`, which chooses
 * among ours. Whoever opened it closes it.
 */
export class TokenLogin {
  readonly realm: string;
  readonly service: string;
  readonly #config: TokenConfig;
  readonly #keys: KeySource;
  readonly #clock: Clock;

  private constructor(config: TokenConfig, keys: KeySource, clock: Clock) {
    this.realm = config.realm;
    this.service = config.service;
    this.#config = config;
    this.#keys = keys;
    this.#clock = clock;
  }

  /** @throws ConfigError when there is no `jwksFile` that can be used, and no `jwksUrl` */
  static async open(config: TokenConfig, deps: TokenLoginDeps): Promise<TokenLogin> {
    const { jwksFile, jwksUrl } = config;
    const keys = jwksUrl === undefined ? await KeyFile.open(jwksFile ?? '', deps) : await KeyUrl.open(jwksUrl, deps);
    return new TokenLogin(config, keys, deps.clock);
  }

  /**
   * Checks a token.
   * @throws UnavailableError when there are no keys to check it with; the signal's reason
   */
  async verify(token: string, signal: AbortSignal): Promise<TokenVerdict> {
    const keys = await this.#keys.current(signal);
    try {
      return judge(await this.#payloadOf(token, keys, signal));
    } catch (error) {
      if (signal.aborted || error instanceof UnavailableError) throw error;
      // Anything else is the token's doing: its form, its key, its claims.
      return { taken: false, reason: error instanceof Error ? error.message : String(error) };
    }
  }

  close(): Promise<void> {
    return this.#keys.close();
  }

  async #payloadOf(token: string, keys: KeySet, signal: AbortSignal): Promise<JWTPayload> {
    try {
      return await this.#checked(token, keys);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      const newest = await this.#keys.newest(signal);
      if (newest === keys) throw error;
      return this.#checked(token, newest);
    }
  }

  async #checked(token: string, keys: KeySet): Promise<JWTPayload> {
    const { algorithms, issuer, service } = this.#config;
    const { payload } = await jwtVerify(token, keys, {
      algorithms,
      issuer,
      audience: service,
      clockTolerance: LEEWAY_SECONDS,
      currentDate: new Date(this.#clock.nowMs()),
      requiredClaims: ['exp'],
    });
    return payload;
  }
}

function judge({ sub = '', access }: JWTPayload): TokenVerdict {
  if (typeof sub !== 'string' || sub.length > SUBJECT_MAX_LENGTH || hasControls(sub)) {
    return { taken: false, reason: `"sub" is no name of ${SUBJECT_MAX_LENGTH} characters at most` };
  }
  const grants = findGrants(access);
  if (grants === undefined) return { taken: false, reason: '"access" is no list of {type, name, actions}' };
  return { taken: true, subject: sub, grants };
}
