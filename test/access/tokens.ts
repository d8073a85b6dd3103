import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import type { AccessConfig } from '../../src/access/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

/** A key of a token server: it signs, and publishes the other half. */
export interface TestKey {
  readonly kid: string;
  readonly algorithm: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: JWK;
}

export async function makeKey(kid: string, algorithm = 'ES256'): Promise<TestKey> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  return { kid, algorithm, privateKey, publicJwk: { ...(await exportJWK(publicKey)), kid } };
}

/** The file that a token server's keys are published by. */
export async function writeKeys(keys: readonly (TestKey | JWK)[], file?: string): Promise<string> {
  const target = file ?? join(await makeTempDir(), 'jwks.json');
  const jwks = keys.map((key) => ('publicJwk' in key ? (key as TestKey).publicJwk : key));
  await writeFile(target, JSON.stringify({ keys: jwks }));
  return target;
}

export const issuer = 'https://auth.example';
export const service = 'registry.example';
export const realm = 'https://auth.example/token';

/** The `token` section for keys in a file. */
export function tokenConfig(jwksFile: string, more: Partial<TokenConfig> = {}): TokenConfig {
  return { realm, service, issuer, jwksFile, algorithms: ['ES256', 'RS256', 'EdDSA'], ...more };
}
type TokenConfig = NonNullable<AccessConfig['token']>;

/** What a token of a test says; what is left out is right. */
export interface TokenClaims {
  readonly sub?: unknown;
  readonly aud?: unknown;
  readonly iss?: unknown;
  readonly exp?: unknown;
  readonly nbf?: unknown;
  readonly iat?: unknown;
  readonly access?: unknown;
}

/** A claim with this value is left out. */
export const absent = Symbol('absent');

/** Signs a token that is right at `nowMs` for five minutes, but for what `claims` and `header` say. */
export function signToken(
  key: TestKey,
  nowMs: number,
  claims: TokenClaims = {},
  header: Record<string, unknown> = {},
): Promise<string> {
  const now = Math.floor(nowMs / 1000);
  const right = { iss: issuer, sub: 'alice', aud: service, exp: now + 300, nbf: now, iat: now, access: [] };
  const all = Object.entries({ ...right, ...claims }).filter(([, value]) => value !== absent);
  const kid = header['kid'] === absent ? {} : { kid: key.kid };
  const rest = Object.fromEntries(Object.entries(header).filter(([, value]) => value !== absent));
  return new SignJWT(Object.fromEntries(all))
    .setProtectedHeader({ alg: key.algorithm, ...kid, ...rest })
    .sign(key.privateKey);
}

/** An entry of the claim `access`. */
export function grant(name: string, ...actions: string[]) {
  return { type: 'repository', name, actions };
}
