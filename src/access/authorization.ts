/** What an `Authorization` header says. */
export type Credentials =
  /** Nothing: the caller is anonymous. */
  | { readonly kind: 'none' }
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  | { readonly kind: 'token'; readonly token: string }
  /** Something that nobody could check; `reason` is for the answer. */
  | { readonly kind: 'unreadable'; readonly reason: string };

/** Node takes no headers beyond 16 KiB altogether. */
const MAX_LENGTH = 16 * 1024;

/**
 * Reads an `Authorization` header (RFC 9110, section 11.6.2). Never throws.
 *
 * Basic with neither user nor password is nobody: so say podman, skopeo and others of their kind that they have no password
 * for a registry that asks for one.
 */
export function readAuthorization(header: string | undefined): Credentials {
  if (header === undefined || header === '') return { kind: 'none' };
  if (header.length > MAX_LENGTH) return unreadable(`the Authorization header is longer than ${MAX_LENGTH} characters`);
  const space = header.indexOf(' ');
  const scheme = (space < 0 ? header : header.slice(0, space)).toLowerCase();
  const rest = space < 0 ? '' : header.slice(space).trim();
  if (scheme === 'basic') return readBasic(rest);
  if (scheme !== 'bearer') return unreadable('the Authorization header is neither Basic nor Bearer');
  // RFC 6750, section 2.1: b64token.
  if (!/^[\w.~+/-]+=*$/.test(rest)) return unreadable('the Authorization header has no token behind Bearer');
  return { kind: 'token', token: rest };
}

/** RFC 7617: user and password in UTF-8, a colon between them, no control characters. */
function readBasic(encoded: string): Credentials {
  const text = decodeBase64(encoded);
  const colon = text?.indexOf(':') ?? -1;
  if (text === undefined || colon < 0) {
    return unreadable('the Authorization header has no user and password in base64 behind Basic');
  }
  if (hasControls(text)) return unreadable('user or password have control characters');
  const user = text.slice(0, colon);
  const password = text.slice(colon + 1);
  return user === '' && password === '' ? { kind: 'none' } : { kind: 'password', user, password };
}

function decodeBase64(encoded: string): string | undefined {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(encoded, 'base64'));
  } catch {
    return undefined; // Not UTF-8: the caller says so.
  }
}

/** Whether a text has control characters, which have no place in names. */
export function hasControls(text: string): boolean {
  return /\p{Cc}/u.test(text);
}

function unreadable(reason: string): Credentials {
  return { kind: 'unreadable', reason };
}
