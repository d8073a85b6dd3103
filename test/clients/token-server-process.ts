/**
 * A token server as a process of its own, for isolated hosts, over TLS: `node token-server-process.ts FILE`. The file has
 * {@link TokenServerSettings} as JSON. It knows one user, and gives everybody tokens as distribution's specification has
 * it: with no more than they may do.
 */
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { fileURLToPath } from 'node:url';
import { type CryptoKey, importJWK, type JWK, SignJWT } from 'jose';

export interface TokenServerSettings {
  readonly listen: { readonly host: string; readonly port: number };
  readonly certFile: string;
  readonly keyFile: string;
  readonly issuer: string;
  /** The private key that tokens are signed with; its `kid` and `alg` go into their header. */
  readonly key: JWK;
  readonly user: string;
  readonly password: string;
  /** What repositories that the user may pull from and push to begin with. */
  readonly prefix: string;
}

/** The file of the script, for whoever starts it. */
export const tokenServerScript = fileURLToPath(import.meta.url);

async function main(settingsFile: string): Promise<void> {
  const settings = JSON.parse(readFileSync(settingsFile, 'utf8')) as TokenServerSettings;
  const key = (await importJWK(settings.key)) as CryptoKey;
  const files = { cert: readFileSync(settings.certFile), key: readFileSync(settings.keyFile) };
  const server = createServer(files, (request, response) => {
    answer(settings, key, request, response).catch((error: unknown) => {
      response.writeHead(500).end(String(error));
    });
  });
  server.listen(settings.listen, () => console.log('ready'));
}

async function answer(
  settings: TokenServerSettings,
  key: CryptoKey,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? '', 'https://localhost');
  // Clients that try OAuth2 first fall back to GET.
  if (request.method !== 'GET' || url.pathname !== '/token') return void response.writeHead(404).end();
  const { authorization } = request.headers;
  const user = authorization === undefined ? '' : settings.user;
  const expected = `Basic ${Buffer.from(`${settings.user}:${settings.password}`).toString('base64')}`;
  if (authorization !== undefined && authorization !== expected) return void response.writeHead(401).end('{}');
  const access = url.searchParams.getAll('scope').flatMap((scopes) => scopes.split(' '));
  const claims = { access: user === '' ? [] : access.flatMap((scope) => grantOf(scope, settings.prefix)) };
  const token = await new SignJWT(claims)
    .setProtectedHeader({ alg: settings.key.alg ?? '', kid: settings.key.kid ?? '' })
    .setIssuer(settings.issuer)
    .setSubject(user)
    .setAudience(url.searchParams.get('service') ?? '')
    .setIssuedAt()
    .setExpirationTime('5 minutes')
    .sign(key);
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ token, expires_in: 300, issued_at: new Date().toISOString() }));
}

/** What the user gets of a scope such as `repository:team/app:pull,push`: less than asked is no error. */
function grantOf(scope: string, prefix: string): { type: string; name: string; actions: string[] }[] {
  const [type = '', name = '', actions = ''] = scope.split(':');
  if (type !== 'repository' || !name.startsWith(prefix)) return [];
  return [{ type, name, actions: actions.split(',') }];
}

if (process.argv[1] === tokenServerScript) await main(process.argv[2]!);
