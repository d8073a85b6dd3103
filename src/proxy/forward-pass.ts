import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Clock, Repository } from '../core/index.ts';
import { type AccessControl, AccessDeniedError, type Caller, type Need } from '../registry/index.ts';

/** What a proxy says of a request that it sends on: it has let this caller push to this repository. */
export interface ForwardedCaller {
  readonly callerName: string;
  readonly repository: string;
}

/** The scheme in `Authorization`; clients have no use for it, as they cannot sign. */
const SCHEME = 'Shoal-Forwarded ';

/** How far the clocks of two proxies may be apart, and how long a pass can be used again by whoever has seen it. */
const VALID_MS = 5 * 60 * 1000;

/**
 * The `Authorization` of requests from one proxy to another, signed with a key that follows from the cluster token. It takes
 * the place of the client's own, which the first proxy has checked, and grants no more than a push to one repository for a
 * few minutes.
 */
export class ForwardPass {
  readonly #key: Buffer;
  readonly #clock: Clock;

  constructor(clusterToken: string, clock: Clock) {
    this.#key = createHmac('sha256', clusterToken).update('shoal forwarded request 1').digest();
    this.#clock = clock;
  }

  /** The header for a request that is sent on now. */
  write(callerName: string, repository: Repository): string {
    const claims = JSON.stringify({ callerName, repository, timeMs: this.#clock.nowMs() });
    const payload = Buffer.from(claims).toString('base64url');
    return `${SCHEME}${payload}.${this.#sign(payload)}`;
  }

  /** What a header says; `undefined` when no proxy of this cluster has written it, or too long ago. */
  find(authorization: string | undefined): ForwardedCaller | undefined {
    if (authorization?.startsWith(SCHEME) !== true) return undefined;
    const [payload = '', signature = ''] = authorization.slice(SCHEME.length).split('.');
    const [given, expected] = [Buffer.from(signature), Buffer.from(this.#sign(payload))];
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
    if (!isClaims(claims) || Math.abs(this.#clock.nowMs() - claims.timeMs) > VALID_MS) return undefined;
    return { callerName: claims.callerName, repository: claims.repository };
  }

  #sign(payload: string): string {
    return createHmac('sha256', this.#key).update(payload).digest('base64url');
  }
}

/** Who a client is where nobody asks. */
const anybody: Caller = { name: '', may: () => true, pullsEverything: true };

/** Lets in what another proxy has let in already, and asks `access` about everything else. */
export function admitForwarded(pass: ForwardPass, access: AccessControl | undefined): AccessControl {
  return {
    async admit(authorization, need, signal): Promise<Caller> {
      const forwarded = pass.find(authorization);
      if (forwarded === undefined) return access?.admit(authorization, need, signal) ?? anybody;
      const may = (asked: Need) =>
        asked.kind === 'repository' && asked.repository === forwarded.repository && asked.action === 'push';
      if (!may(need)) throw new AccessDeniedError('another proxy sends on requests about uploads only');
      return { name: forwarded.callerName, may, pullsEverything: false };
    },
  };
}

function isClaims(value: unknown): value is ForwardedCaller & { readonly timeMs: number } {
  if (typeof value !== 'object' || value === null) return false;
  const { callerName, repository, timeMs } = value as Record<string, unknown>;
  return typeof callerName === 'string' && typeof repository === 'string' && typeof timeMs === 'number';
}
