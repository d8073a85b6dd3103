import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { readAuthorization } from '../../src/access/authorization.ts';
import { grant, makeKey, signToken, type TestKey } from './tokens.ts';

/** A user of a token server; the name '' is for those who come without a password. */
export interface TokenUser {
  readonly password: string;
  /** What they may do, by repository. */
  readonly grants: Readonly<Record<string, readonly string[]>>;
}

/** A token server as small as can be, as the specification of distribution's tokens has it: users, scopes, tokens. */
export class TokenServer {
  readonly key: TestKey;
  /** Scopes that were asked for, with who asked, in order. */
  readonly asked: string[] = [];
  realm = '';
  readonly #users: Readonly<Record<string, TokenUser>>;

  private constructor(key: TestKey, users: Readonly<Record<string, TokenUser>>) {
    this.key = key;
    this.#users = users;
  }

  /** Starts on a port of its own; ends with the test. */
  static async start(users: Readonly<Record<string, TokenUser>>): Promise<TokenServer> {
    const tokens = new TokenServer(await makeKey('server'), users);
    const server = createServer((request, response) => {
      tokens.#answer(request, response).catch((error: unknown) => {
        response.writeHead(500).end(String(error));
      });
    });
    server.listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    tokens.realm = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`;
    return tokens;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://localhost');
    // Clients that try OAuth2 first fall back to GET.
    if (request.method !== 'GET' || url.pathname !== '/token') return void response.writeHead(404).end();
    const credentials = readAuthorization(request.headers.authorization);
    const name = credentials.kind === 'password' ? credentials.user : '';
    const user = Object.hasOwn(this.#users, name) ? this.#users[name] : undefined;
    if (user === undefined || (credentials.kind === 'password' && user.password !== credentials.password)) {
      return void response
        .writeHead(401, { 'content-type': 'application/json' })
        .end('{"details":"incorrect username or password"}');
    }
    const scopes = url.searchParams
      .getAll('scope')
      .flatMap((scope) => scope.split(' '))
      .filter((scope) => scope !== '');
    this.asked.push(...scopes.map((scope) => `${name} ${scope}`));
    const access = scopes.flatMap((scope) => grantsOf(scope, user));
    const aud = url.searchParams.get('service') ?? '';
    const token = await signToken(this.key, Date.now(), { sub: name, aud, access });
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ token, expires_in: 300, issued_at: new Date().toISOString() }));
  }
}

/** What a user gets of a scope such as `repository:team/app:pull,push`: less than asked is no error. */
function grantsOf(scope: string, { grants }: TokenUser): ReturnType<typeof grant>[] {
  const [type, name = '', asked = ''] = scope.split(':');
  if (type !== 'repository') return [];
  const granted = grants[name] ?? [];
  const wanted = asked === '*' ? granted : asked.split(',');
  return [grant(name, ...wanted.filter((action) => granted.includes(action)))];
}
