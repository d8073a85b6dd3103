import { describe, expect, it, onTestFinished } from 'vitest';
import type { AccessConfig } from '../../src/access/index.ts';
import { hashBytes, parseRepository } from '../../src/core/index.ts';
import { findNeed } from '../../src/registry/access.ts';
import { methodsOf, parseRoute, type RegistryRoute, type RouteKind } from '../../src/registry/router.ts';
import { memoryDriver, serveRegistry } from '../registry/running-registry.ts';
import { basic, htpasswdLine, ManualClock, openTestAccess, rule, writeHtpasswd } from './fixture.ts';
import { grant, makeKey, signToken, tokenConfig, writeKeys } from './tokens.ts';

const digest = hashBytes(Buffer.from('route'));

/** A path of each route; a route without one here is a compile error. */
const pathOf: Readonly<Record<RouteKind, string>> = {
  base: '/v2/',
  catalog: '/v2/_catalog',
  tags: '/v2/team/app/tags/list',
  manifest: '/v2/team/app/manifests/v1',
  blob: `/v2/team/app/blobs/${digest}`,
  uploads: '/v2/team/app/blobs/uploads/',
  upload: '/v2/team/app/blobs/uploads/00000000-0000-0000-0000-000000000000',
  referrers: `/v2/team/app/referrers/${digest}`,
  repository: '/v2/team/app/_shoal/repository',
};

const kinds = Object.keys(methodsOf) as RouteKind[];
const allRoutes = kinds.flatMap((kind) => methodsOf[kind].map((method) => ({ kind, method, path: pathOf[kind] })));
const ALL_METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT', 'PROPFIND'];

/** The route of each kind, as far as a need is concerned. */
function routeOf(kind: RouteKind): RegistryRoute {
  return parseRoute(methodsOf[kind][0]!, pathOf[kind]);
}

async function serve(config: Partial<AccessConfig>, clock = new ManualClock()) {
  const driver = await memoryDriver();
  return serveRegistry(driver, { access: await openTestAccess(config, { clock }) });
}

/** Rules that let nobody do anything on the routes above. */
const elsewhere = [rule(['alice', 'anonymous'], ['elsewhere'], ['pull', 'push', 'delete'])];
const users = async () => ({ file: await writeHtpasswd(htpasswdLine('alice', 'secret')), realm: 'Shoal' });

describe('every route and method of the registry', () => {
  it('asks for a password where nothing is granted without one', async () => {
    const { client } = await serve({ htpasswd: await users(), rules: elsewhere });
    for (const { method, path } of allRoutes) {
      const answer = await client.call(method, path);
      expect(answer.status, `${method} ${path}`).toBe(401);
      expect(answer.headers.get('www-authenticate')).toBe('Basic realm="Shoal"');
      if (method !== 'HEAD') expect(answer.codes).toEqual(['UNAUTHORIZED']);
    }
  });

  it('refuses a user whom no rule grants anything, but for the base route', async () => {
    const { client } = await serve({ htpasswd: await users(), rules: elsewhere });
    const headers = { authorization: basic('alice', 'secret') };
    for (const { kind, method, path } of allRoutes) {
      const answer = await client.call(method, path, { headers });
      expect(answer.status, `${method} ${path}`).toBe(kind === 'base' ? 200 : 403);
      expect(answer.headers.has('www-authenticate')).toBe(false);
      if (method !== 'HEAD' && kind !== 'base') expect(answer.codes).toEqual(['DENIED']);
    }
  });

  it('asks for a token where there is none, and for a wider one where it grants nothing', async () => {
    const clock = new ManualClock();
    const key = await makeKey('one');
    const { client } = await serve({ token: tokenConfig(await writeKeys([key])) }, clock);
    const narrow = { authorization: `Bearer ${await signToken(key, clock.nowMs())}` };
    for (const { kind, method, path } of allRoutes) {
      const without = await client.call(method, path);
      expect(without.status, `${method} ${path}`).toBe(401);
      expect(without.headers.get('www-authenticate')).toMatch(/^Bearer realm="[^"]+",service="[^"]+"/);
      const answer = await client.call(method, path, { headers: narrow });
      expect(answer.status, `${method} ${path}`).toBe(kind === 'base' ? 200 : 401);
      if (kind !== 'base') expect(answer.headers.get('www-authenticate')).toMatch(/,error="insufficient_scope"$/);
    }
  });

  it('refuses everybody where nobody can log in and no rule grants anything', async () => {
    const { client } = await serve({ rules: [rule(['nobody'], ['**'], ['pull', 'push', 'delete'], true)] });
    for (const { method, path } of allRoutes) {
      const answer = await client.call(method, path);
      expect(answer.status, `${method} ${path}`).toBe(403);
      expect(answer.headers.has('www-authenticate')).toBe(false);
    }
  });

  it('goes on behind the rules where all is granted', async () => {
    const { client } = await serve({ rules: [rule(['anonymous'], ['**'], ['pull', 'push', 'delete'], true)] });
    for (const { method, path } of allRoutes) {
      const { status } = await client.call(method, path);
      expect([401, 403], `${method} ${path}`).not.toContain(status);
    }
  });

  it('needs its own action: with the others granted it is refused', async () => {
    const actions = ['pull', 'push', 'delete'] as const;
    for (const kind of kinds.filter((name) => name !== 'base' && name !== 'catalog')) {
      for (const method of methodsOf[kind]) {
        const need = findNeed(method, routeOf(kind));
        if (need?.kind !== 'repository') throw new Error(`${method} of ${kind} needs no action`);
        const repository = need.repository;
        for (const action of actions) {
          const access = await openTestAccess({ rules: [rule(['anonymous'], ['team/app'], [action])] });
          const admitted = access.admit(undefined, need, new AbortController().signal);
          if (need.action === action) await expect(admitted, `${method} ${kind}`).resolves.toBeDefined();
          else await expect(admitted, `${method} ${kind} ${action}`).rejects.toThrow(`${need.action}`);
        }
        expect(repository).toBe(parseRepository('team/app'));
      }
    }
  });
});

describe('findNeed', () => {
  it('knows every method that a route takes, and no other', () => {
    for (const kind of kinds) {
      const known = ALL_METHODS.filter((method) => findNeed(method, routeOf(kind)) !== undefined);
      expect(known.toSorted(), kind).toEqual(methodsOf[kind].toSorted());
    }
  });

  it('reads with reading methods, writes with the others', () => {
    for (const kind of kinds.filter((name) => name !== 'upload')) {
      for (const method of methodsOf[kind]) {
        const need = findNeed(method, routeOf(kind));
        const isReading = method === 'GET' || method === 'HEAD';
        const isWriting = need?.kind === 'repository' && need.action !== 'pull';
        expect(isWriting, `${method} ${kind}`).toBe(!isReading);
      }
    }
  });

  it('is a list of what is permitted: a method that a route takes and that is not on it is permitted to nobody', async () => {
    // As if a route were taught a method, and its need forgotten.
    const methods = methodsOf.base as string[];
    methods.push('OPTIONS');
    onTestFinished(() => void methods.pop());
    const open = await serveRegistry(await memoryDriver());
    const answer = await open.client.call('OPTIONS', '/v2/');
    expect(answer.status).toBe(403);
    expect(answer.codes).toEqual(['DENIED']);
  });
});

describe('a mount', () => {
  it('takes a blob only from a repository that the caller may pull from', async () => {
    const clock = new ManualClock();
    const key = await makeKey('one');
    const driver = await memoryDriver();
    const open = await serveRegistry(driver);
    const blob = await open.client.putBlob('from', Buffer.from('blob'));
    const access = await openTestAccess({ token: tokenConfig(await writeKeys([key])) }, { clock });
    const { client } = await serveRegistry(driver, { access });
    const mount = async (query: string, ...more: ReturnType<typeof grant>[]) => {
      const grants = { access: [grant('to', 'pull', 'push'), ...more] };
      const headers = { authorization: `Bearer ${await signToken(key, clock.nowMs(), grants)}` };
      return (await client.call('POST', `/v2/to/blobs/uploads/?mount=${blob}${query}`, { headers })).status;
    };
    expect(await mount('&from=from')).toBe(202);
    expect(await mount('&from=from', grant('from', 'push'))).toBe(202);
    expect(await mount('')).toBe(202);
    expect(await mount('', grant('from', 'pull'))).toBe(202);
    expect(await mount('&from=from', grant('from', 'pull'))).toBe(201);
  });
});
