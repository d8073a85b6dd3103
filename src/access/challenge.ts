import type { Action, Need } from '../registry/index.ts';

/** Why a token did not do (RFC 6750, section 3.1). */
export type TokenError = 'invalid_token' | 'insufficient_scope';

/** What a token has to grant for each action. Whoever pushes also looks at what is there, and asks for both at once. */
const scopeActions: Readonly<Record<Action, string>> = { pull: 'pull', push: 'pull,push', delete: 'delete' };

/** `WWW-Authenticate` that sends a client to the token server (distribution, "Token authentication specification"). */
export function bearerChallenge(
  { realm, service }: { readonly realm: string; readonly service: string },
  need: Need,
  error?: TokenError,
): string {
  const scope = scopeOf(need);
  const parts = [`realm=${quoted(realm)}`, `service=${quoted(service)}`];
  if (scope !== undefined) parts.push(`scope=${quoted(scope)}`);
  if (error !== undefined) parts.push(`error=${quoted(error)}`);
  // Without spaces behind the commas: that is how distribution writes it, and some clients read no other.
  return `Bearer ${parts.join(',')}`;
}

/** `WWW-Authenticate` that asks for user and password (RFC 7617). */
export function basicChallenge(realm: string): string {
  return `Basic realm=${quoted(realm)}`;
}

/** The scope that a token needs; to be known at all takes none. */
export function scopeOf(need: Need): string | undefined {
  if (need.kind === 'entry') return undefined;
  if (need.kind === 'catalog') return 'registry:catalog:*';
  return `repository:${need.repository}:${scopeActions[need.action]}`;
}

/** A quoted string (RFC 9110, section 5.6.4) that cannot end early, and cannot end the header. */
function quoted(text: string): string {
  return `"${text.replaceAll(/[^ -~]/g, '?').replaceAll(/["\\]/g, '\\$&')}"`;
}
