import { createPublicKey, type JsonWebKey } from 'node:crypto';
import { createLocalJWKSet, type JSONWebKeySet, type JWK, type LocalJWKSet } from 'jose';
import { ConfigError } from '../core/index.ts';

/** Public keys that tokens are checked with; another object whenever they have changed. */
export type KeySet = LocalJWKSet;

/** Where the keys of a token server come from. */
export interface KeySource {
  /** @throws UnavailableError when there have been no keys yet; the signal's reason */
  current(signal: AbortSignal): Promise<KeySet>;
  /** Looks for newer ones, because a token names a key that is not among those of now; may be the same. Throws as `current`. */
  newest(signal: AbortSignal): Promise<KeySet>;
  close(): Promise<void>;
}

/** NIST SP 800-131A, section 3; jose refuses shorter ones when a token comes. */
const RSA_MIN_BITS = 2048;

/**
 * Reads a JSON Web Key Set (RFC 7517, section 5).
 *
 * @param source for messages: the setting and where it points
 * @param unusable what becomes of keys that no signature can be checked with: secret or private ones, kinds that Node does
 *   not know, short ones. A file is ours, and has to be in order; what a token server publishes may have keys for other ends.
 * @throws ConfigError when it is none, or has no key that can be used
 */
export function parseKeySet(text: string, source: string, unusable: 'refuse' | 'skip'): KeySet {
  const keys = readKeys(text, source);
  const faults = keys.map((key, index) => {
    const fault = keyFault(key);
    return fault === undefined ? undefined : `${source}: keys[${index}]: ${fault}`;
  });
  const found = faults.filter((fault) => fault !== undefined);
  if (found.length > 0 && (unusable === 'refuse' || found.length === keys.length)) {
    throw new ConfigError(found.slice(0, 20).join('\n'));
  }
  const usable = keys.filter((_key, index) => faults[index] === undefined);
  return createLocalJWKSet({ keys: usable as JWK[] } as JSONWebKeySet);
}

function readKeys(text: string, source: string): readonly unknown[] {
  const expected = 'expected a JSON Web Key Set, {"keys": [...]} with a public key at least';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ConfigError(`${source}: ${expected}, got no JSON`, {}, { cause });
  }
  const keys = (value as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys) || keys.length === 0) throw new ConfigError(`${source}: ${expected}`);
  return keys;
}

function keyFault(key: unknown): string | undefined {
  if (typeof key !== 'object' || key === null) return 'no key';
  const { kty, d, k } = key as JsonWebKey;
  // With a secret among public keys, whoever can check tokens could make them.
  if (kty === 'oct' || k !== undefined) return 'a secret, expected a public key';
  if (d !== undefined) return 'a private key, expected only its public part';
  try {
    const { asymmetricKeyDetails } = createPublicKey({ key: key as JsonWebKey, format: 'jwk' });
    const bits = asymmetricKeyDetails?.modulusLength;
    if (bits === undefined || bits >= RSA_MIN_BITS) return undefined;
    return `an RSA key of ${bits} bits, expected ${RSA_MIN_BITS} or more`;
  } catch (error) {
    return `no public key: ${error instanceof Error ? error.message : String(error)}`;
  }
}
