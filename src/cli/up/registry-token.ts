import type { Dispatcher } from 'undici';
import { RegistryRequestError } from '../errors.ts';

/**
 * Gets an anonymous token from the service that a registry names in its challenge, such as
 * `Bearer realm="https://auth.example/token",service="registry.example",scope="repository:team/app:pull"`
 * (distribution's token authentication specification).
 *
 * @returns `undefined` when the challenge is none that can be answered without a login
 */
export async function askForToken(
  dispatcher: Dispatcher,
  challenge: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const fields = parseBearerChallenge(challenge);
  const realm = fields?.get('realm');
  if (fields === undefined || realm === undefined || !URL.canParse(realm)) return undefined;
  const url = new URL(realm);
  for (const name of ['service', 'scope']) {
    const value = fields.get(name);
    if (value !== undefined) url.searchParams.set(name, value);
  }
  const response = await dispatcher.request({
    origin: url.origin,
    path: url.pathname + url.search,
    method: 'GET',
    ...(signal === undefined ? {} : { signal }),
  });
  const text = await response.body.text();
  if (response.statusCode !== 200) return undefined;
  try {
    const answer = JSON.parse(text) as { token?: string; access_token?: string };
    return answer.token ?? answer.access_token;
  } catch (cause) {
    throw new RegistryRequestError(`the token service at ${url.origin} did not answer with JSON`, {}, { cause });
  }
}

/** The fields of a `Bearer` challenge (RFC 9110, section 11.6.1); `undefined` for any other scheme. */
export function parseBearerChallenge(challenge: string): ReadonlyMap<string, string> | undefined {
  const match = /^bearer\s+(.*)$/i.exec(challenge.slice(0, 4096));
  if (match === null) return undefined;
  const fields = new Map<string, string>();
  for (const [, name, quoted, plain] of match[1]?.matchAll(/([a-z_]+)=(?:"([^"]*)"|([^\s,"]+))/gi) ?? []) {
    if (name !== undefined) fields.set(name.toLowerCase(), quoted ?? plain ?? '');
  }
  return fields;
}
