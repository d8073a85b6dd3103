import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError, findReference, findRepository, hashBytes } from '../../src/core/index.ts';
import { methodsOf, parseRoute, type RegistryRoute, routeKindOf } from '../../src/registry/router.ts';

const sha256 = hashBytes(Buffer.from('route'));
const sha512 = hashBytes(Buffer.from('route'), 'sha512');

describe('parseRoute', () => {
  it.each([
    ['GET', '/v2/', { kind: 'base' }],
    ['HEAD', '/v2', { kind: 'base' }],
    ['GET', '/v2/_catalog', { kind: 'catalog' }],
    ['GET', '/v2/a/tags/list', { kind: 'tags', repository: 'a' }],
    ['GET', '/v2/a/b/c/tags/list', { kind: 'tags', repository: 'a/b/c' }],
    ['GET', '/v2/tags/list/tags/list', { kind: 'tags', repository: 'tags/list' }],
    ['PUT', '/v2/a/manifests/v1', { kind: 'manifest', repository: 'a', reference: { kind: 'tag', tag: 'v1' } }],
    ['GET', '/v2/a/manifests/list', { kind: 'manifest', repository: 'a', reference: { kind: 'tag', tag: 'list' } }],
    [
      'GET',
      `/v2/a/manifests/b/manifests/${sha512}`,
      { kind: 'manifest', repository: 'a/manifests/b', reference: { kind: 'digest', digest: sha512 } },
    ],
    ['GET', `/v2/foo/blobs/blobs/${sha256}`, { kind: 'blob', repository: 'foo/blobs', digest: sha256 }],
    ['HEAD', `/v2/a/blobs/${sha256.replace(':', '%3A')}`, { kind: 'blob', repository: 'a', digest: sha256 }],
    ['POST', '/v2/a/blobs/uploads/', { kind: 'uploads', repository: 'a' }],
    ['POST', '/v2/a/blobs/uploads', { kind: 'uploads', repository: 'a' }],
    ['POST', '/v2/a/blobs/uploads/blobs/uploads/', { kind: 'uploads', repository: 'a/blobs/uploads' }],
    ['PATCH', '/v2/a/blobs/uploads/id-1_Z', { kind: 'upload', repository: 'a', uploadId: 'id-1_Z' }],
    ['GET', '/v2/a/blobs/uploads/list', { kind: 'upload', repository: 'a', uploadId: 'list' }],
    ['GET', `/v2/a/b/referrers/${sha256}`, { kind: 'referrers', repository: 'a/b', digest: sha256 }],
  ])('reads %s %s', (method, path, route) => {
    expect(parseRoute(method, path)).toEqual(route);
  });

  it.each([
    ['GET', '/', 'ROUTE_UNKNOWN'],
    ['GET', '/v1/', 'ROUTE_UNKNOWN'],
    ['GET', '/v2a', 'ROUTE_UNKNOWN'],
    ['GET', '/v2/a', 'ROUTE_UNKNOWN'],
    ['GET', '/v2/a/tags', 'ROUTE_UNKNOWN'],
    ['GET', '/v2/a/tags/list/', 'ROUTE_UNKNOWN'],
    ['GET', '/v2/a/uploads/x', 'ROUTE_UNKNOWN'],
    ['GET', '/v2/_catalog/', 'ROUTE_UNKNOWN'],
    ['GET', '/v2/a/_catalog', 'ROUTE_UNKNOWN'],
    ['GET', '/v2//tags/list', 'NAME_INVALID'],
    ['GET', '/v2/tags/list', 'NAME_INVALID'],
    ['GET', '/v2/A/tags/list', 'NAME_INVALID'],
    ['GET', '/v2/../tags/list', 'NAME_INVALID'],
    ['GET', '/v2/a%2Fb/tags/list', 'NAME_INVALID'],
    ['GET', '/v2/a%2fb/manifests/v1', 'NAME_INVALID'],
    ['GET', '/v2/a%/manifests/v1', 'NAME_INVALID'],
    ['GET', '/v2/a%00/manifests/v1', 'NAME_INVALID'],
    ['GET', '/v2/_uploads/manifests/v1', 'NAME_INVALID'],
    ['PUT', '/v2/a/manifests/', 'TAG_INVALID'],
    ['PUT', '/v2/a/manifests/-x', 'TAG_INVALID'],
    ['GET', '/v2/a/manifests/-x', 'MANIFEST_UNKNOWN'],
    ['GET', '/v2/a/manifests/sha256:x', 'DIGEST_INVALID'],
    ['GET', '/v2/a/blobs/v1', 'DIGEST_INVALID'],
    ['GET', '/v2/a/blobs/', 'DIGEST_INVALID'],
    ['GET', `/v2/a/blobs/${sha256.toUpperCase()}`, 'DIGEST_INVALID'],
    ['GET', '/v2/a/referrers/', 'DIGEST_INVALID'],
    ['GET', '/v2/a/blobs/uploads/..', 'UPLOAD_NOT_FOUND'],
    ['GET', `/v2/a/blobs/uploads/${'x'.repeat(200)}`, 'UPLOAD_NOT_FOUND'],
    ['GET', '/v2/a/blobs/uploads/', 'METHOD_NOT_ALLOWED'],
    ['POST', '/v2/a/tags/list', 'METHOD_NOT_ALLOWED'],
    ['TRACE', '/v2/', 'METHOD_NOT_ALLOWED'],
  ])('refuses %s %s as %s', (method, path, code) => {
    expect(codeOf(() => parseRoute(method, path))).toBe(code);
  });

  it('is the inverse of writing a route, for every name, also of words of the API', () => {
    fc.assert(
      fc.property(routes, (route) => {
        for (const method of methodsOf[route.kind]) {
          expect(parseRoute(method, pathOf(route))).toEqual(route);
          expect(routeKindOf(pathOf(route))).toBe(route.kind);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('throws nothing but errors with codes, whatever comes', () => {
    const words = fc.constantFrom('blobs', 'uploads', 'manifests', 'tags', 'list', '', '..', '%', '%2e', sha256, 'a');
    const paths = fc.array(fc.oneof(words, fc.string({ unit: 'binary' })), { maxLength: 8 });
    fc.assert(
      fc.property(fc.constantFrom('GET', 'PUT', 'POST', 'DELETE', 'PATCH'), paths, (method, parts) => {
        const code = codeOf(() => parseRoute(method, `/v2/${parts.join('/')}`));
        expect(code).not.toBe('a defect');
      }),
      { numRuns: 2000 },
    );
  });
});

const repositories = fc
  .array(fc.constantFrom('a', 'blobs', 'uploads', 'manifests', 'tags', 'list', 'referrers', 'v2', 'x-1'), {
    minLength: 1,
    maxLength: 5,
  })
  .map((words) => findRepository(words.join('/'))!);
const digests = fc
  .string()
  .chain((text) =>
    fc.constantFrom('sha256' as const, 'sha512' as const).map((algorithm) => hashBytes(Buffer.from(text), algorithm)),
  );
const tags = fc.constantFrom('v1', 'list', 'uploads', 'blobs', '_', 'A.b-c').map((text) => findReference(text)!);

const routes: fc.Arbitrary<RegistryRoute> = fc.oneof(
  fc.constantFrom('base' as const, 'catalog' as const).map((kind) => ({ kind })),
  fc.record({
    kind: fc.constantFrom('tags' as const, 'uploads' as const, 'repository' as const),
    repository: repositories,
  }),
  fc.record({
    kind: fc.constant('manifest' as const),
    repository: repositories,
    reference: fc.oneof(
      tags,
      digests.map((digest) => ({ kind: 'digest' as const, digest })),
    ),
  }),
  fc.record({
    kind: fc.constantFrom('blob' as const, 'referrers' as const),
    repository: repositories,
    digest: digests,
  }),
  fc.record({
    kind: fc.constant('upload' as const),
    repository: repositories,
    uploadId: fc.stringMatching(/^[A-Za-z0-9_-]{1,128}$/),
  }),
);

function pathOf(route: RegistryRoute): string {
  switch (route.kind) {
    case 'base':
      return '/v2/';
    case 'catalog':
      return '/v2/_catalog';
    case 'tags':
      return `/v2/${route.repository}/tags/list`;
    case 'uploads':
      return `/v2/${route.repository}/blobs/uploads/`;
    case 'repository':
      return `/v2/${route.repository}/_shoal/repository`;
    case 'upload':
      return `/v2/${route.repository}/blobs/uploads/${route.uploadId}`;
    case 'manifest': {
      const { reference } = route;
      return `/v2/${route.repository}/manifests/${reference.kind === 'tag' ? reference.tag : reference.digest}`;
    }
    case 'blob':
      return `/v2/${route.repository}/blobs/${route.digest}`;
    case 'referrers':
      return `/v2/${route.repository}/referrers/${route.digest}`;
  }
}

function codeOf(call: () => unknown): string | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    return error instanceof AppError ? error.code : 'a defect';
  }
}
