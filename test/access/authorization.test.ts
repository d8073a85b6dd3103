import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readAuthorization } from '../../src/access/authorization.ts';
import { basicChallenge, bearerChallenge } from '../../src/access/challenge.ts';
import {
  ask,
  basic,
  entry,
  htpasswdLine,
  ManualClock,
  needOf,
  openTestAccess,
  rule,
  writeHtpasswd,
} from './fixture.ts';
import { grant, makeKey, signToken, tokenConfig, writeKeys } from './tokens.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');

describe('readAuthorization', () => {
  it.each([
    [undefined, { kind: 'none' }],
    ['', { kind: 'none' }],
    // As podman and skopeo say that they have no password.
    ['Basic Og==', { kind: 'none' }],
    [basic('alice', 'secret'), { kind: 'password', user: 'alice', password: 'secret' }],
    [`bAsIc   ${base64('alice:secret')} `, { kind: 'password', user: 'alice', password: 'secret' }],
    [basic('alice', 'a:b:'), { kind: 'password', user: 'alice', password: 'a:b:' }],
    [basic('alice', ''), { kind: 'password', user: 'alice', password: '' }],
    [basic('', 'secret'), { kind: 'password', user: '', password: 'secret' }],
    [basic('ünï', 'pä😀ss'), { kind: 'password', user: 'ünï', password: 'pä😀ss' }],
    [basic('\ufeffa', 'b'), { kind: 'password', user: '\ufeffa', password: 'b' }],
    ['Bearer a.b.c', { kind: 'token', token: 'a.b.c' }],
    ['bearer  a-_~+/.=', { kind: 'token', token: 'a-_~+/.=' }],
  ])('reads %j', (header, credentials) => {
    expect(readAuthorization(header)).toEqual(credentials);
  });

  it.each([
    'Basic',
    'Basic ',
    'Basic !',
    'Basic a',
    `Basic ${base64('no colon')}`,
    `Basic ${base64('a:b')} x`,
    `Basic ${base64('a:b')},Bearer x`,
    `Basic ${base64('a\0b:c')}`,
    `Basic ${base64('a:b\n')}`,
    `Basic ${base64('a:\u0085')}`,
    `Basic ${Buffer.from([0x61, 0x3a, 0xff]).toString('base64')}`,
    'Bearer',
    'Bearer ',
    'Bearer a b',
    'Bearer "a"',
    'Bearer =',
    'Digest username="a"',
    'Token x',
    ' ',
    'x',
    `Bearer ${'a'.repeat(16 * 1024)}`,
  ])('cannot read %j', (header) => {
    expect(readAuthorization(header)).toMatchObject({ kind: 'unreadable' });
  });

  it('is the inverse of writing user and password', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((value) => !/\p{Cc}/u.test(value));
    fc.assert(
      fc.property(text, text, (user, password) => {
        fc.pre(!user.includes(':') && user + password !== '');
        expect(readAuthorization(basic(user, password))).toEqual({ kind: 'password', user, password });
      }),
    );
  });
});

describe('challenges', () => {
  const server = { realm: 'https://auth.example/token?a=b', service: 'registry' };

  it.each([
    [entry, undefined, ''],
    [{ kind: 'catalog' } as const, undefined, ',scope="registry:catalog:*"'],
    [needOf('pull', 'a/b'), undefined, ',scope="repository:a/b:pull"'],
    [needOf('push', 'a/b'), undefined, ',scope="repository:a/b:pull,push"'],
    [
      needOf('delete', 'a/b'),
      'insufficient_scope' as const,
      ',scope="repository:a/b:delete",error="insufficient_scope"',
    ],
    [entry, 'invalid_token' as const, ',error="invalid_token"'],
  ])('are written as distribution does for %j %s', (need, error, rest) => {
    const expected = `Bearer realm="https://auth.example/token?a=b",service="registry"${rest}`;
    expect(bearerChallenge(server, need, error)).toBe(expected);
  });

  it('never end early, whatever is in them', () => {
    expect(basicChallenge('a"b\\c\r\nd')).toBe('Basic realm="a\\"b\\\\c??d"');
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii' }), (text) => {
        expect(basicChallenge(text)).toMatch(/^Basic realm="(?:[ !#-[\]-~]|\\["\\])*"$/);
      }),
    );
  });
});

/** Anything that could stand in the header, much of it nearly right. */
function headers(good: readonly string[]): fc.Arbitrary<string> {
  const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 60 }), fc.base64String({ maxLength: 60 }));
  const scheme = fc.oneof(fc.constantFrom('Basic', 'Bearer', 'bearer', 'BASIC', 'Digest', 'Negotiate', ''), text);
  const gap = fc.constantFrom(' ', '', '  ', '\t', ',');
  const json = fc.json({ maxDepth: 2 }).map((value) => Buffer.from(value).toString('base64url'));
  const jwt = fc.tuple(json, json, fc.base64String({ maxLength: 90 })).map((parts) => parts.join('.'));
  const header = fc
    .record({
      alg: fc.constantFrom('ES256', 'HS256', 'none', 'RS256', '__proto__', 1, null),
      kid: fc.constantFrom('one', 'two', '', '__proto__', 7, {}),
      crit: fc.constantFrom(undefined, ['exp'], [], 'x'),
      b64: fc.constantFrom(undefined, false, true),
    })
    .map((value) => Buffer.from(JSON.stringify(value)).toString('base64url'));
  const nearlyJwt = fc.tuple(header, json, fc.base64String({ maxLength: 90 })).map((parts) => parts.join('.'));
  const cut = fc.tuple(fc.constantFrom(...good), fc.nat(600), fc.string({ maxLength: 3 })).map(([value, at, put]) => {
    const place = at % (value.length + 1);
    return value.slice(0, place) + put + value.slice(place + put.length);
  });
  return fc.oneof(
    fc.tuple(scheme, gap, fc.oneof(text, jwt, nearlyJwt)).map((parts) => parts.join('')),
    cut,
    text,
  );
}

describe('an access control under random headers', { timeout: 120_000 }, () => {
  it('lets in, or asks to log in, and fails in no other way', async () => {
    const clock = new ManualClock();
    const keys = [await makeKey('one'), await makeKey('two', 'EdDSA')];
    const htpasswd = { file: await writeHtpasswd(htpasswdLine('alice', 'secret')), realm: 'Shoal' };
    const rules = [rule(['anonymous'], ['public/*'], ['pull']), rule(['authenticated'], ['**'], ['pull'])];
    const both = { htpasswd, token: tokenConfig(await writeKeys(keys)), rules };
    const access = await openTestAccess(both, { clock });
    const token = await signToken(keys[0]!, clock.nowMs(), { access: [grant('public/a', 'pull')] });
    const good = [`Bearer ${token}`, basic('alice', 'secret')];
    for (const header of good) expect(await ask(access, header, entry)).toHaveProperty('caller');
    let refused = 0;
    let admitted = 0;
    await fc.assert(
      fc.asyncProperty(headers(good), fc.constantFrom(entry, needOf('pull', 'public/a')), async (header, need) => {
        const outcome = await ask(access, header, need);
        if ('denied' in outcome) throw new Error(outcome.denied);
        if ('challenge' in outcome) {
          refused += 1;
          expect(outcome.challenge).toMatch(/^(?:Basic|Bearer) realm="[^"]*"(?:,[a-z]+="[^"]*")*$/);
          return;
        }
        admitted += 1;
        expect(['', 'alice']).toContain(outcome.caller.name);
        // Only what was good to begin with, or no credentials at all, gets in.
        const { kind } = readAuthorization(header);
        if (kind === 'none') expect(need).not.toEqual(entry);
        else expect(good.map(decodedOf)).toContain(decodedOf(header));
      }),
      { numRuns: Number(process.env['SHOAL_FUZZ_RUNS'] ?? 20_000) },
    );
    expect(refused).toBeGreaterThan(1000);
    expect(admitted).toBeGreaterThan(0);
  });
});

/** Credentials as they are understood: base64 can be written in more than one way, that of a signature as well. */
function decodedOf(header: string): string {
  const credentials = readAuthorization(header);
  if (credentials.kind !== 'token') return JSON.stringify(credentials);
  const [head, claims, signature = ''] = credentials.token.split('.');
  return JSON.stringify([head, claims, Buffer.from(signature, 'base64url').toString('hex')]);
}
