import { createHmac, generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { type CryptoKey, exportSPKI, importJWK, type JWK } from 'jose';
import { describe, expect, it } from 'vitest';
import type { AccessConfig } from '../../src/access/index.ts';
import { ConfigError } from '../../src/core/index.ts';
import type { AccessControl, Need } from '../../src/registry/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import {
  ask,
  basic,
  catalog,
  entry,
  htpasswdLine,
  ManualClock,
  needOf,
  openTestAccess,
  rule,
  wordOf,
  writeHtpasswd,
} from './fixture.ts';
import {
  absent,
  grant,
  issuer,
  makeKey,
  realm,
  service,
  signToken,
  type TestKey,
  type TokenClaims,
  tokenConfig,
  writeKeys,
} from './tokens.ts';

const bearer = `401 Bearer realm="${realm}",service="${service}"`;
const invalid = `${bearer},error="invalid_token"`;
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

interface TokenScene {
  readonly access: AccessControl;
  readonly clock: ManualClock;
  readonly keys: readonly [TestKey, TestKey];
  /** How a request with this token ends. */
  readonly word: (token: string, need?: Need) => Promise<string>;
  /** A token of the first key. */
  readonly token: (claims?: TokenClaims, header?: Record<string, unknown>) => Promise<string>;
}

async function openTokens(config: Partial<AccessConfig> = {}): Promise<TokenScene> {
  const clock = new ManualClock();
  const keys = [await makeKey('one'), await makeKey('two')] as const;
  const access = await openTestAccess({ token: tokenConfig(await writeKeys(keys)), ...config }, { clock });
  const word = async (token: string, need = entry) => wordOf(await ask(access, `Bearer ${token}`, need));
  return { access, clock, keys, word, token: (claims, header) => signToken(keys[0], clock.nowMs(), claims, header) };
}

describe('logins with tokens', () => {
  it('let in whoever has a token of the token server', async () => {
    const { access, word, token, keys, clock } = await openTokens();
    expect(await word(await token())).toBe('alice');
    expect(await word(await signToken(keys[1], clock.nowMs(), { sub: 'bob' }))).toBe('bob');
    // People without a name have tokens as well.
    expect(await word(await token({ sub: '' }))).toBe('-');
    expect(await word(await token({ sub: absent }))).toBe('-');
    expect(wordOf(await ask(access, undefined, entry))).toBe(bearer);
    expect(wordOf(await ask(access, basic('alice', 'x'), entry))).toBe(bearer);
    expect(wordOf(await ask(access, basic('', ''), entry))).toBe(bearer);
    expect(wordOf(await ask(access, 'nonsense', entry))).toBe(invalid);
  });

  it.each<readonly [string, TokenClaims, boolean]>([
    ['for this service among others', { aud: ['other', service] }, true],
    ['for another service', { aud: 'other' }, false],
    ['for other services', { aud: ['other', 'more'] }, false],
    ['for nobody', { aud: absent }, false],
    ['for an object', { aud: { [service]: true } }, false],
    ['of another issuer', { iss: 'https://evil.example' }, false],
    ['of no issuer', { iss: absent }, false],
    ['of a list of issuers', { iss: [issuer] }, false],
    ['that names its holder by a number', { sub: 7 }, false],
    ['that names its holder by a list', { sub: ['alice'] }, false],
    ['with a name that breaks lines', { sub: 'a\nb' }, false],
    ['with a name of 257 characters', { sub: 'a'.repeat(257) }, false],
    ['that never ends', { exp: absent }, false],
    ['that ends at a text', { exp: '9999999999' }, false],
    ['that ends at nothing', { exp: null }, false],
    ['without the time of its making', { nbf: absent, iat: absent }, true],
    ['with a grant that is no list', { access: { type: 'repository' } }, false],
    ['with a grant that is a text', { access: 'repository:a:pull' }, false],
    ['with a grant that is null', { access: null }, true],
    ['with an entry that is null', { access: [null] }, false],
    ['with an entry without a name', { access: [{ type: 'repository', actions: ['pull'] }] }, false],
    ['with actions that are a text', { access: [{ type: 'repository', name: 'a', actions: 'pull' }] }, false],
    ['with actions that are numbers', { access: [{ type: 'repository', name: 'a', actions: [1] }] }, false],
    ['with actions that are null', { access: [{ type: 'repository', name: 'a', actions: null }] }, true],
  ])('judge a token %s', async (_name, claims, isTaken) => {
    const { word, token } = await openTokens();
    const said = await word(await token(claims));
    expect(said === 'alice').toBe(isTaken);
    if (!isTaken) expect(said).toBe(invalid);
  });

  it.each([
    ['exp', -59, true],
    ['exp', -60, false],
    ['exp', -3600, false],
    ['nbf', 60, true],
    ['nbf', 61, false],
    ['nbf', 3600, false],
  ])('forgive clocks a minute: %s at %d seconds from now', async (claim, seconds, isTaken) => {
    const { word, token, clock } = await openTokens();
    const at = Math.floor(clock.nowMs() / 1000) + seconds;
    expect(await word(await token({ [claim]: at }))).toBe(isTaken ? 'alice' : invalid);
  });

  it('end with the token', async () => {
    const { word, token, clock } = await openTokens();
    const good = await token();
    clock.advance(359_000);
    expect(await word(good)).toBe('alice');
    clock.advance(1_000);
    expect(await word(good)).toBe(invalid);
  });
});

describe('tokens that somebody has made up', () => {
  const claims = (scene: TokenScene) => {
    const now = Math.floor(scene.clock.nowMs() / 1000);
    return { iss: issuer, sub: 'mallory', aud: service, exp: now + 300, access: [grant('a', '*')] };
  };

  const forgeries: readonly (readonly [string, (scene: TokenScene) => Promise<string> | string])[] = [
    ['without a signature', (scene) => `${encode({ alg: 'none' })}.${encode(claims(scene))}.`],
    ['with "none" in capitals', (scene) => `${encode({ alg: 'NONE', kid: 'one' })}.${encode(claims(scene))}.AAAA`],
    ['without an algorithm', (scene) => `${encode({ kid: 'one' })}.${encode(claims(scene))}.AAAA`],
    [
      'with a key that is not ours, under the name of one that is',
      async (scene) => signToken(await makeKey('one'), scene.clock.nowMs()),
    ],
    ['with a key that is not ours', async (scene) => signToken(await makeKey('three'), scene.clock.nowMs())],
    [
      'with our other key under this name',
      (scene) => signToken(scene.keys[1], scene.clock.nowMs(), {}, { kid: 'one' }),
    ],
    [
      'with a key in its own header',
      async (scene) => {
        const key = await makeKey('mine');
        return signToken(key, scene.clock.nowMs(), {}, { jwk: key.publicJwk, kid: absent });
      },
    ],
    [
      'with a key in its own header, under the name of ours',
      async (scene) => {
        const key = await makeKey('one');
        return signToken(key, scene.clock.nowMs(), {}, { jwk: key.publicJwk });
      },
    ],
    [
      'with a URL of keys in its own header',
      async (scene) => signToken(await makeKey('mine'), scene.clock.nowMs(), {}, { jku: 'http://127.0.0.1:9/keys' }),
    ],
    [
      'with a certificate in its own header',
      async (scene) => signToken(await makeKey('mine'), scene.clock.nowMs(), {}, { x5c: ['MIIB'] }),
    ],
    ['with a name that is no text', (scene) => signToken(scene.keys[0], scene.clock.nowMs(), {}, { kid: 7 })],
    ['without saying which of two keys', (scene) => signToken(scene.keys[0], scene.clock.nowMs(), {}, { kid: absent })],
    [
      'with an extension that it says is critical',
      async (scene) => {
        const [, payload, signature] = (await scene.token()).split('.');
        return `${encode({ alg: 'ES256', kid: 'one', crit: ['exp'], exp: 1 })}.${payload}.${signature}`;
      },
    ],
    [
      'with claims exchanged',
      async (scene) => {
        const [head, , signature] = (await scene.token()).split('.');
        return `${head}.${encode(claims(scene))}.${signature}`;
      },
    ],
    ['with a part too many', async (scene) => `${await scene.token()}.AAAA`],
    ['encrypted', () => `${encode({ alg: 'dir', enc: 'A256GCM' })}..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA`],
    [
      'with claims that are no object',
      (scene) => `${encode({ alg: 'ES256', kid: 'one' })}.${encode([scene.keys.length])}.AAAA`,
    ],
    [
      'of 15 KiB',
      async (scene) => scene.token({ access: [grant('a'.repeat(11_000), 'pull')] }).then((text) => `${text}A`),
    ],
    ['longer than any header', async (scene) => scene.token({ access: [grant('a'.repeat(100_000), 'pull')] })],
    ['that are garbage', () => 'garbage'],
    ['that are dots', () => '..'],
  ];

  it.each(forgeries)('are refused: %s', async (_name, forge) => {
    const scene = await openTokens();
    expect(await scene.word(await forge(scene))).toBe(invalid);
    // The same scene lets in what is right.
    expect(await scene.word(await scene.token())).toBe('alice');
  });

  it('are refused when the public key, in whatever form, is the secret of HS256', async () => {
    const scene = await openTokens();
    for (const { kid, publicJwk } of [scene.keys[0], await makeKey('rsa', 'RS256')]) {
      const key = await importJWK(publicJwk, publicJwk.kty === 'RSA' ? 'RS256' : 'ES256');
      const pem = await exportSPKI(key as CryptoKey);
      for (const secret of [pem, pem.trimEnd(), JSON.stringify(publicJwk), publicJwk.x ?? publicJwk.n ?? '', '']) {
        for (const [alg, hash] of [
          ['HS256', 'sha256'],
          ['HS512', 'sha512'],
        ] as const) {
          const text = `${encode({ alg, kid })}.${encode(claims(scene))}`;
          const signature = createHmac(hash, secret).update(text).digest('base64url');
          expect(await scene.word(`${text}.${signature}`)).toBe(invalid);
        }
      }
    }
  });

  it('are refused when their algorithm is not on the list, even of a key that is ours', async () => {
    const clock = new ManualClock();
    const rsa = await makeKey('rsa', 'RS256');
    const edwards = await makeKey('ed', 'EdDSA');
    const token = tokenConfig(await writeKeys([rsa, edwards]), { algorithms: ['RS256'] });
    const access = await openTestAccess({ token }, { clock });
    const word = async (signed: string) => wordOf(await ask(access, `Bearer ${signed}`, entry));
    expect(await word(await signToken(rsa, clock.nowMs()))).toBe('alice');
    expect(await word(await signToken(edwards, clock.nowMs()))).toBe(invalid);
  });

  it('need no name of a key when there is only one', async () => {
    const clock = new ManualClock();
    const key = await makeKey('one');
    const access = await openTestAccess({ token: tokenConfig(await writeKeys([key])) }, { clock });
    const word = async (signed: string) => wordOf(await ask(access, `Bearer ${signed}`, entry));
    expect(await word(await signToken(key, clock.nowMs(), {}, { kid: absent }))).toBe('alice');
    expect(await word(await signToken(await makeKey('one'), clock.nowMs(), {}, { kid: absent }))).toBe(invalid);
  });
});

describe('what tokens grant', () => {
  const access = [
    grant('team/app', 'pull', 'push'),
    grant('team/app', 'delete'),
    grant('team/all', '*'),
    grant('team/read', 'pull'),
    grant('team/write', 'push'),
    grant('team/*', 'pull'),
    grant('UPPER', 'pull'),
    { type: 'repository(plugin)', name: 'plugin', actions: ['pull'] },
    { type: 'registry', name: 'catalog', actions: ['pull'] },
  ];

  it.each<readonly [Need, boolean]>([
    [needOf('pull', 'team/app'), true],
    [needOf('push', 'team/app'), true],
    [needOf('delete', 'team/app'), true],
    [needOf('delete', 'team/all'), true],
    [needOf('push', 'team/all'), true],
    [needOf('pull', 'team/read'), true],
    [needOf('push', 'team/read'), false],
    [needOf('delete', 'team/read'), false],
    [needOf('push', 'team/write'), true],
    [needOf('pull', 'team/write'), false],
    [needOf('pull', 'team/other'), false],
    [needOf('pull', 'plugin'), false],
    [catalog, false],
    [entry, true],
  ])('is what they say: %j', async (need, isGranted) => {
    const { word, token } = await openTokens();
    const said = await word(await token({ access }), need);
    const scope =
      need.kind === 'repository'
        ? `repository:${need.repository}:${need.action === 'push' ? 'pull,push' : need.action}`
        : 'registry:catalog:*';
    expect(said).toBe(isGranted ? 'alice' : `${bearer},scope="${scope}",error="insufficient_scope"`);
  });

  it('is the catalog, when they say so', async () => {
    const { word, token } = await openTokens();
    const entries = [{ type: 'registry', name: 'catalog', actions: ['*'] }];
    expect(await word(await token({ access: entries }), catalog)).toBe('alice');
    expect(await word(await token({ access: [{ ...entries[0], type: 'repository' }] }), catalog)).toContain('401');
  });

  it('also decides on the source of a mount', async () => {
    const { access: control, token } = await openTokens();
    const signed = await token({ access: [grant('to', 'pull', 'push'), grant('from', 'pull')] });
    const outcome = await ask(control, `Bearer ${signed}`, needOf('push', 'to'));
    if (!('caller' in outcome)) throw new Error('refused');
    expect(outcome.caller.may(needOf('pull', 'from'))).toBe(true);
    expect(outcome.caller.may(needOf('pull', 'other'))).toBe(false);
    expect(outcome.caller.pullsEverything).toBe(false);
  });

  it('asks whoever comes with nothing for a token with the scope, and says of no error', async () => {
    const { access: control } = await openTokens();
    const said = wordOf(await ask(control, undefined, needOf('push', 'a/b')));
    expect(said).toBe(`${bearer},scope="repository:a/b:pull,push"`);
  });
});

describe('tokens and rules', () => {
  const grants = { access: [grant('team/app', 'pull', 'push'), grant('other/app', 'pull', 'push')] };

  it('stand side by side as long as the rules name nobody but anonymous', async () => {
    const { access, word, token } = await openTokens({ rules: [rule(['anonymous'], ['public/*'], ['pull'])] });
    expect(wordOf(await ask(access, undefined, needOf('pull', 'public/a')))).toBe('-');
    expect(wordOf(await ask(access, undefined, entry))).toBe(bearer);
    // What everybody may do, the holder of a token may do as well.
    expect(await word(await token(grants), needOf('pull', 'public/a'))).toBe('alice');
    expect(await word(await token(grants), needOf('push', 'other/app'))).toBe('alice');
    expect(await word(await token(grants), needOf('push', 'public/a'))).toContain('insufficient_scope');
  });

  it('grant only what both do once rules name callers', async () => {
    const { word, token } = await openTokens({
      rules: [
        rule(['anonymous'], ['public/*'], ['pull']),
        rule(['alice'], ['team/*'], ['pull', 'push']),
        rule(['authenticated'], ['other/*'], ['pull']),
        rule(['token'], ['shared/*'], ['pull']),
      ],
    });
    const alice = await token(grants);
    expect(await word(alice, needOf('push', 'team/app'))).toBe('alice');
    expect(await word(alice, needOf('pull', 'other/app'))).toBe('alice');
    expect(await word(alice, needOf('pull', 'public/a'))).toBe('alice');
    // The rules refuse it whatever token comes: to ask for another would be in vain.
    expect(await word(alice, needOf('push', 'other/app'))).toBe('403');
    // The rules would have it, this token does not.
    expect(await word(alice, needOf('push', 'team/web'))).toContain('insufficient_scope');
    expect(await word(alice, needOf('pull', 'shared/a'))).toContain('insufficient_scope');
    const bob = await token({ ...grants, sub: 'bob' });
    expect(await word(bob, needOf('push', 'team/app'))).toBe('403');
    expect(await word(bob, needOf('pull', 'other/app'))).toBe('bob');
    const nobody = await token({ access: [...grants.access, grant('shared/a', 'pull')], sub: '' });
    expect(await word(nobody, needOf('pull', 'other/app'))).toBe('403');
    expect(await word(nobody, needOf('pull', 'shared/a'))).toBe('-');
  });

  it('can do everything that they say by a rule for those who have one, while users have their own', async () => {
    const htpasswd = { file: await writeHtpasswd(htpasswdLine('robot', 'secret')), realm: 'Shoal' };
    const { access, word, token } = await openTokens({
      htpasswd,
      rules: [
        rule(['token'], ['**'], ['pull', 'push', 'delete'], true),
        rule(['robot'], ['robots/*'], ['pull', 'push']),
      ],
    });
    expect(await word(await token(grants), needOf('push', 'other/app'))).toBe('alice');
    const robot = basic('robot', 'secret');
    expect(wordOf(await ask(access, robot, needOf('push', 'robots/a')))).toBe('robot');
    expect(wordOf(await ask(access, robot, needOf('pull', 'other/app')))).toBe('403');
    expect(wordOf(await ask(access, robot, entry))).toBe('robot');
    // Clients are sent to the token server; who came with a password is asked for a password again.
    expect(wordOf(await ask(access, undefined, entry))).toBe(bearer);
    expect(wordOf(await ask(access, basic('', ''), entry))).toBe(bearer);
    expect(wordOf(await ask(access, basic('robot', 'wrong'), entry))).toBe('401 Basic realm="Shoal"');
    // A user has no token, whatever they are called.
    expect(await word(await token({ sub: 'robot' }), needOf('push', 'robots/a'))).toContain('insufficient_scope');
  });
});

describe('keys in a file', () => {
  it('are followed when it changes, at once when a token names one that is new', async () => {
    const clock = new ManualClock();
    const old = await makeKey('old');
    const file = await writeKeys([old]);
    const access = await openTestAccess({ token: tokenConfig(file) }, { clock });
    const word = async (key: TestKey) =>
      wordOf(await ask(access, `Bearer ${await signToken(key, clock.nowMs())}`, entry));
    expect(await word(old)).toBe('alice');
    const fresh = await makeKey('new');
    expect(await word(fresh)).toBe(invalid);
    await writeKeys([fresh], file);
    expect(await word(fresh)).toBe('alice');
    expect(await word(old)).toBe(invalid);
    await writeFile(file, '{"keys":');
    clock.advance(1000);
    expect(await word(fresh)).toBe('alice');
    await writeKeys([old, fresh], file);
    clock.advance(1000);
    expect(await word(old)).toBe('alice');
    await writeKeys([fresh], file);
    clock.advance(1000);
    expect(await word(old)).toBe(invalid);
  });

  const privateJwk = { kty: 'EC', crv: 'P-256', d: 'AAAA', x: 'AAAA', y: 'AAAA' };

  it.each<readonly [string, unknown, RegExp]>([
    ['no JSON', undefined, /got no JSON/],
    ['a list', [], /expected a JSON Web Key Set/],
    ['null', null, /expected a JSON Web Key Set/],
    ['no keys', { keys: [] }, /expected a JSON Web Key Set/],
    ['a key that is null', { keys: [null] }, /keys\[0\]: no key/],
    ['a secret', { keys: [{ kty: 'oct', k: 'AAAA' }] }, /keys\[0\]: a secret/],
    ['a private key', { keys: [privateJwk] }, /keys\[0\]: a private key/],
    ['a key that is damaged', { keys: [{ kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' }] }, /keys\[0\]: no public key/],
    ['a key of no kind', { keys: [{ kid: 'x' }] }, /keys\[0\]: no public key/],
  ])('are refused: %s', async (_name, value, message) => {
    const file = `${await makeTempDir()}/jwks.json`;
    await writeFile(file, value === undefined ? '{' : JSON.stringify(value));
    const opened = openTestAccess({ token: tokenConfig(file) });
    await expect(opened).rejects.toThrow(ConfigError);
    await expect(opened).rejects.toThrow(message);
    await expect(opened).rejects.toThrow(file);
  });

  it('are refused when an RSA key is short', async () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const file = await writeKeys([publicKey.export({ format: 'jwk' }) as JWK]);
    await expect(openTestAccess({ token: tokenConfig(file) })).rejects.toThrow(/RSA key of 1024 bits/);
  });

  it('are refused when the file is missing', async () => {
    const file = `${await makeTempDir()}/none.json`;
    await expect(openTestAccess({ token: tokenConfig(file) })).rejects.toThrow(/access\.token\.jwksFile.*ENOENT/);
  });
});
