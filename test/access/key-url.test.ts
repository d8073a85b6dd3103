import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { UnavailableError } from '../../src/core/index.ts';
import { ask, entry, ManualClock, openTestAccess, wordOf } from './fixture.ts';
import { makeKey, realm, service, signToken, type TestKey, tokenConfig } from './tokens.ts';

const invalid = `401 Bearer realm="${realm}",service="${service}",error="invalid_token"`;

/** A server of keys that answers what a test says, and counts how often it is asked. */
class KeyServer {
  keys: readonly TestKey[] = [];
  /** Set when it answers otherwise. */
  fault: RequestListener | undefined;
  asked = 0;
  url = '';

  async start(): Promise<void> {
    const server = createServer((request, response) => {
      this.asked += 1;
      if (this.fault !== undefined) return void this.fault(request, response);
      // Keys for other ends stand beside those for signatures.
      const others = [{ kty: 'oct', k: 'AAAA', kid: 'other' }];
      response.end(JSON.stringify({ keys: [...this.keys.map(({ publicJwk }) => publicJwk), ...others] }));
    });
    server.listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
  }
}

async function openScene(at: { readonly keys?: readonly TestKey[]; readonly fault?: RequestListener }) {
  const server = new KeyServer();
  await server.start();
  Object.assign(server, at);
  const clock = new ManualClock();
  const { jwksFile: _file, ...token } = tokenConfig('');
  const access = await openTestAccess({ token: { ...token, jwksUrl: server.url } }, { clock });
  const admit = async (key: TestKey) => ask(access, `Bearer ${await signToken(key, clock.nowMs())}`, entry);
  return { server, clock, access, admit, word: async (key: TestKey) => wordOf(await admit(key)) };
}

describe('keys from a URL', () => {
  it('are fetched once, and again after ten minutes', async () => {
    const key = await makeKey('one');
    const { server, clock, word } = await openScene({ keys: [key] });
    for (let round = 0; round < 5; round += 1) expect(await word(key)).toBe('alice');
    expect(server.asked).toBe(1);
    server.keys = [await makeKey('two')];
    clock.advance(10 * 60_000);
    // Withdrawn.
    expect(await word(key)).toBe(invalid);
    expect(server.asked).toBe(2);
  });

  it('are fetched again when a token names an unknown one, but not more than twice a minute', async () => {
    const [old, fresh, unknown] = [await makeKey('old'), await makeKey('new'), await makeKey('unknown')];
    const { server, clock, word } = await openScene({ keys: [old] });
    server.keys = [old, fresh];
    clock.advance(30_000);
    expect(await word(fresh)).toBe('alice');
    expect(server.asked).toBe(2);
    const words = await Promise.all(Array.from({ length: 20 }, () => word(unknown)));
    expect(new Set(words)).toEqual(new Set([invalid]));
    expect(server.asked).toBe(2);
    clock.advance(30_000);
    await Promise.all(Array.from({ length: 20 }, () => word(unknown)));
    expect(server.asked).toBe(3);
    expect(await word(old)).toBe('alice');
  });

  const faults: readonly (readonly [string, RequestListener])[] = [
    ['an error', (_request, response) => void response.writeHead(500).end('{}')],
    ['no keys', (_request, response) => void response.end('<html>')],
    ['only keys for other ends', (_request, response) => void response.end('{"keys":[{"kty":"oct","k":"AAAA"}]}')],
    ['more than there is room for', (_request, response) => void response.end(Buffer.alloc(2 * 1024 * 1024, ' '))],
    ['a redirect', (_request, response) => void response.writeHead(302, { location: '/keys2' }).end()],
    ['half an answer', (request, response) => void response.write('{"keys":', () => request.socket.destroy())],
  ];

  it.each(faults)('stay as they were while the URL gives %s, for a day', async (_name, fault) => {
    const key = await makeKey('one');
    const { server, clock, word, admit } = await openScene({ keys: [key] });
    server.fault = fault;
    clock.advance(10 * 60_000);
    for (let round = 0; round < 5; round += 1) expect(await word(key)).toBe('alice');
    // Also failures are not repeated with every request.
    expect(server.asked).toBe(2);
    clock.advance(24 * 60 * 60_000);
    await expect(admit(key)).rejects.toThrow(UnavailableError);
    server.fault = undefined;
    clock.advance(30_000);
    expect(await word(key)).toBe('alice');
  });

  it('may not be there yet when the registry starts', async () => {
    const key = await makeKey('one');
    const refuse: RequestListener = (_request, response) => void response.writeHead(503).end();
    const { server, clock, word, admit } = await openScene({ fault: refuse });
    server.keys = [key];
    await expect(admit(key)).rejects.toThrow(UnavailableError);
    expect(server.asked).toBe(1);
    server.fault = undefined;
    clock.advance(2_000);
    expect(await word(key)).toBe('alice');
    expect(server.asked).toBe(2);
  });

  it('are not waited for by a client that goes away, nor after closing', async () => {
    const key = await makeKey('one');
    const { server, clock, access } = await openScene({ keys: [key] });
    const silent = Promise.withResolvers<void>();
    server.fault = () => silent.resolve();
    clock.advance(10 * 60_000);
    const leaving = new AbortController();
    const left = access.admit(`Bearer ${await signToken(key, clock.nowMs())}`, entry, leaving.signal);
    const staying = access.admit(`Bearer ${await signToken(key, clock.nowMs())}`, entry, new AbortController().signal);
    await silent.promise;
    leaving.abort(new Error('left'));
    await expect(left).rejects.toThrow('left');
    await access[Symbol.asyncDispose]();
    // Whoever still waits is judged by the keys of before.
    expect((await staying).name).toBe('alice');
    expect(server.asked).toBe(2);
  });
});
