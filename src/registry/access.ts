import type { Repository } from '../core/index.ts';
import type { RegistryRoute, RouteKind } from './router.ts';

/** What may be done to a repository. */
export type Action = 'pull' | 'push' | 'delete';

/** What a request needs to be let through. */
export type Need =
  /** To be known at all: the base route, by which clients find out how to log in. */
  | { readonly kind: 'entry' }
  /** To see which repositories there are. */
  | { readonly kind: 'catalog' }
  | { readonly kind: 'repository'; readonly repository: Repository; readonly action: Action };

/** Who sends a request, as far as a registry is concerned. */
export interface Caller {
  /** For events and logs; empty for somebody who has not said who they are. */
  readonly name: string;
  /** Whether this need is granted; asked for what goes beyond the request's own need, such as the source of a mount. */
  may(need: Need): boolean;
  /** Whether every repository may be pulled: then a blob may be mounted that lies in any of them. */
  readonly pullsEverything: boolean;
}

/** Decides who may do what. Whoever makes one closes it. */
export interface AccessControl {
  /**
   * Finds out who sends a request, and whether it may go on.
   * @param authorization the header as it came
   * @throws AuthenticationRequiredError with the challenge that makes clients log in or ask for a wider token;
   *   AccessDeniedError when logging in would change nothing
   */
  admit(authorization: string | undefined, need: Need, signal: AbortSignal): Promise<Caller>;
}

/** Everybody may do everything. */
export const openAccess: AccessControl = {
  admit: async () => ({ name: '', may: () => true, pullsEverything: true }),
};

/**
 * What each method of each route needs; what does not stand here is let through for nobody.
 *
 * Unfinished uploads need `push` only, also to cancel one: that is what clients ask a token for (distribution asks for
 * `delete` there, which they never have).
 */
const needOf: Readonly<Record<RouteKind, Readonly<Record<string, Action | 'entry' | 'catalog'>>>> = {
  base: { GET: 'entry', HEAD: 'entry' },
  catalog: { GET: 'catalog', HEAD: 'catalog' },
  tags: { GET: 'pull', HEAD: 'pull' },
  manifest: { GET: 'pull', HEAD: 'pull', PUT: 'push', DELETE: 'delete' },
  blob: { GET: 'pull', HEAD: 'pull', DELETE: 'delete' },
  uploads: { POST: 'push' },
  upload: { GET: 'push', HEAD: 'push', PATCH: 'push', PUT: 'push', DELETE: 'push' },
  referrers: { GET: 'pull', HEAD: 'pull' },
  repository: { DELETE: 'delete' },
};

/** What a request needs; `undefined` for what is not listed: it is to be refused. */
export function findNeed(method: string, route: RegistryRoute): Need | undefined {
  const needed = needOf[route.kind][method];
  if (needed === undefined) return undefined;
  if (needed === 'entry' || needed === 'catalog') return { kind: needed };
  return 'repository' in route ? { kind: 'repository', repository: route.repository, action: needed } : undefined;
}
