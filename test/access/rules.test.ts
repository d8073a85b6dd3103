import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import Type from 'typebox';
import { describe, expect, it } from 'vitest';
import { type AccessConfig, AccessConfigSchema } from '../../src/access/index.ts';
import { loadConfig } from '../../src/config/index.ts';
import { ConfigError } from '../../src/core/index.ts';
import type { Need } from '../../src/registry/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import {
  ask,
  basic,
  catalog,
  entry,
  htpasswdLine,
  needOf,
  openTestAccess,
  rule,
  wordOf,
  writeHtpasswd,
} from './fixture.ts';

const rules = [
  rule(['anonymous'], ['public/**'], ['pull']),
  rule(['authenticated'], ['shared/*'], ['pull', 'push']),
  rule(['alice', 'bob'], ['team/**'], ['pull', 'push']),
  rule(['alice'], ['team/scratch'], ['delete'], true),
  rule(['root'], ['**'], ['pull', 'push', 'delete'], true),
];

const users = ['alice', 'bob', 'carol', 'root'] as const;
type Name = (typeof users)[number] | 'anonymous';

describe('rules with passwords', () => {
  it.each<readonly [Need, readonly Name[]]>([
    [needOf('pull', 'public/a'), ['anonymous', 'alice', 'bob', 'carol', 'root']],
    [needOf('pull', 'public/a/b'), ['anonymous', 'alice', 'bob', 'carol', 'root']],
    [needOf('pull', 'public'), ['root']],
    [needOf('push', 'public/a'), ['root']],
    [needOf('delete', 'public/a'), ['root']],
    [needOf('pull', 'shared/a'), ['alice', 'bob', 'carol', 'root']],
    [needOf('push', 'shared/a'), ['alice', 'bob', 'carol', 'root']],
    [needOf('push', 'shared/a/b'), ['root']],
    [needOf('delete', 'shared/a'), ['root']],
    [needOf('push', 'team/a'), ['alice', 'bob', 'root']],
    [needOf('delete', 'team/a'), ['root']],
    [needOf('delete', 'team/scratch'), ['alice', 'root']],
    [needOf('pull', 'elsewhere'), ['root']],
    [catalog, ['alice', 'root']],
    [entry, ['alice', 'bob', 'carol', 'root']],
  ])('grant %j to %j only', async (need, granted) => {
    const text = users.map((user) => htpasswdLine(user, `${user}'s`)).join('');
    const access = await openTestAccess({ htpasswd: { file: await writeHtpasswd(text), realm: 'Shoal' }, rules });
    for (const user of users) {
      const outcome = await ask(access, basic(user, `${user}'s`), need);
      expect(wordOf(outcome), user).toBe(granted.includes(user) ? user : '403');
    }
    const outcome = await ask(access, undefined, need);
    expect(wordOf(outcome), 'anonymous').toBe(granted.includes('anonymous') ? '-' : '401 Basic realm="Shoal"');
  });

  it('also decide what a caller asks beyond the request itself, such as the source of a mount', async () => {
    const text = users.map((user) => htpasswdLine(user, user)).join('');
    const access = await openTestAccess({ htpasswd: { file: await writeHtpasswd(text), realm: 'Shoal' }, rules });
    const callerOf = async (user: Name, need: Need) => {
      const outcome = await ask(access, user === 'anonymous' ? undefined : basic(user, user), need);
      if (!('caller' in outcome)) throw new Error(`${user} is refused`);
      return outcome.caller;
    };
    const bob = await callerOf('bob', needOf('push', 'team/a'));
    expect(bob.may(needOf('pull', 'public/a'))).toBe(true);
    expect(bob.may(needOf('pull', 'team/b'))).toBe(true);
    expect(bob.may(needOf('pull', 'elsewhere'))).toBe(false);
    expect(bob.may(catalog)).toBe(false);
    expect(bob.pullsEverything).toBe(false);
    expect((await callerOf('root', entry)).pullsEverything).toBe(true);
    const anonymous = await callerOf('anonymous', needOf('pull', 'public/a'));
    expect(anonymous.may(needOf('pull', 'public/b'))).toBe(true);
    expect(anonymous.may(needOf('pull', 'shared/a'))).toBe(false);
  });
});

describe('rules without logins', () => {
  it('let everybody do what they grant to anonymous, and nothing else, whatever the header says', async () => {
    const access = await openTestAccess({ rules: [rule(['anonymous'], ['public/**'], ['pull'])] });
    for (const header of [undefined, '', basic('', ''), basic('alice', 'x'), 'Bearer x.y.z', 'nonsense']) {
      expect(wordOf(await ask(access, header, entry))).toBe('-');
      expect(wordOf(await ask(access, header, needOf('pull', 'public/a')))).toBe('-');
      // To log in is not possible, so that a challenge would send the client round in circles.
      expect(wordOf(await ask(access, header, needOf('push', 'public/a')))).toBe('403');
      expect(wordOf(await ask(access, header, needOf('pull', 'a')))).toBe('403');
      expect(wordOf(await ask(access, header, catalog))).toBe('403');
    }
  });

  it('that are for nobody let nobody in, not even to the base route', async () => {
    const access = await openTestAccess({ rules: [rule(['alice'], ['**'], ['pull'], true)] });
    for (const need of [entry, catalog, needOf('pull', 'a')]) {
      expect(wordOf(await ask(access, undefined, need))).toBe('403');
    }
  });

  it('pulls everything only by a rule for everything', async () => {
    const open = await openTestAccess({ rules: [rule(['anonymous'], ['**'], ['pull'])] });
    expect(await ask(open, undefined, entry)).toMatchObject({ caller: { pullsEverything: true } });
    const pushing = await openTestAccess({
      rules: [rule(['anonymous'], ['**'], ['push']), rule(['anonymous'], ['*/**'], ['pull'])],
    });
    expect(await ask(pushing, undefined, entry)).toMatchObject({ caller: { pullsEverything: false } });
  });
});

describe('the section access', () => {
  const schema = Type.Object({ access: Type.Optional(AccessConfigSchema) }, { additionalProperties: false });
  const load = async (text: string) => {
    const file = join(await makeTempDir(), 'config.yaml');
    await writeFile(file, text);
    return loadConfig(schema, { file });
  };

  it('is read from YAML, with defaults', async () => {
    const text = `
access:
  htpasswd: { file: /etc/shoal/htpasswd }
  token: { realm: https://auth/token, service: shoal, issuer: auth, jwksFile: /etc/shoal/jwks.json }
  rules:
    - { callers: [anonymous], repositories: [library/*], actions: [pull] }
    - { callers: [ops], catalog: true }
`;
    expect(await load(text)).toEqual({
      access: {
        htpasswd: { file: '/etc/shoal/htpasswd', realm: 'Shoal' },
        token: {
          realm: 'https://auth/token',
          service: 'shoal',
          issuer: 'auth',
          jwksFile: '/etc/shoal/jwks.json',
          algorithms: ['ES256', 'RS256', 'EdDSA'],
        },
        rules: [
          { callers: ['anonymous'], repositories: ['library/*'], actions: ['pull'], catalog: false },
          { callers: ['ops'], repositories: [], actions: [], catalog: true },
        ],
      },
    });
    expect(await load('{}')).toEqual({});
  });

  it.each([
    ['a quote in a realm', 'access: { htpasswd: { file: x, realm: "a\\"b" } }', /htpasswd\.realm/],
    [
      'a line end in a service',
      'access: { token: { realm: "https://a", service: "a\\nb", issuer: a } }',
      /token\.service/,
    ],
    ['a password in a URL', 'access: { token: { realm: "https://a:b@c/", service: a, issuer: a } }', /token\.realm/],
    [
      'HS256',
      'access: { token: { realm: "https://a", service: a, issuer: a, algorithms: [HS256] } }',
      /algorithms\[0\]/,
    ],
    ['none', 'access: { token: { realm: "https://a", service: a, issuer: a, algorithms: [none] } }', /algorithms\[0\]/],
    ['no caller', 'access: { rules: [{ callers: [], repositories: [a], actions: [pull] }] }', /rules\[0\]\.callers/],
    [
      'no repository',
      'access: { rules: [{ callers: [a], repositories: ["A B"], actions: [pull] }] }',
      /repositories\[0\]/,
    ],
    ['no action', 'access: { rules: [{ callers: [a], repositories: [a], actions: ["*"] }] }', /actions\[0\]/],
  ])('takes no %s', async (_name, text, message) => {
    await expect(load(text)).rejects.toThrow(message);
  });

  const token = { realm: 'https://a/t', service: 's', issuer: 'i', algorithms: ['ES256' as const] };

  it.each<readonly [string, Partial<AccessConfig>, RegExp]>([
    ['no rule at all', {}, /access\.rules: no rule/],
    ['only users', { htpasswd: { file: 'x', realm: 'x' } }, /authenticated/],
    [
      'a pattern that is none',
      { rules: [rule(['a'], ['b', 'a/**/b'], ['pull'])] },
      /rules\[0\]\.repositories\[1\]: "a\/\*\*\/b"/,
    ],
    ['a rule without actions', { rules: [rule(['a'], ['a'], [])] }, /rules\[0\]: grants nothing/],
    ['a rule without repositories', { rules: [rule(['a'], [], ['pull'], true)] }, /rules\[0\]: grants nothing/],
    ['no keys', { token }, /expected one of jwksFile and jwksUrl, got neither/],
    ['keys twice', { token: { ...token, jwksFile: 'a', jwksUrl: 'https://a' } }, /got both/],
    [
      'keys without TLS',
      { token: { ...token, jwksUrl: 'http://auth.example/keys' } },
      /access\.token\.jwksUrl: .*https/,
    ],
    ['a realm without TLS', { token: { ...token, realm: 'http://10.0.0.1/t', jwksFile: 'a' } }, /access\.token\.realm/],
    ['a realm that is no URL', { token: { ...token, realm: 'https://', jwksFile: 'a' } }, /is no URL/],
  ])('is refused with %s', async (_name, config, message) => {
    const opened = openTestAccess(config);
    await expect(opened).rejects.toThrow(ConfigError);
    await expect(opened).rejects.toThrow(message);
  });
});
