import { describe, expect, it } from 'vitest';
import { type Digest, hashBytes, mediaTypes } from '../../src/core/index.ts';
import { descriptorOf, type TestAnswer, type TestClient } from './client.ts';
import type { MakeRegistry } from './make-registry.ts';

/** The base route, tags, catalog and referrers. */
export function listingContract(name: string, makeRegistry: MakeRegistry): void {
  describe(`${name}: the base`, () => {
    it.each(['GET', 'HEAD'])('answers %s /v2/ with its version', async (method) => {
      const { client } = await makeRegistry();
      for (const path of ['/v2/', '/v2']) {
        const answer = await client.call(method, path);
        expect(answer.status).toBe(200);
        expect(answer.headers.get('docker-distribution-api-version')).toBe('registry/2.0');
      }
    });

    it.each([
      ['POST', '/v2/', 'GET, HEAD'],
      ['DELETE', '/v2/a/tags/list', 'GET, HEAD'],
      ['PUT', `/v2/a/blobs/${hashBytes(Buffer.from(''))}`, 'GET, HEAD, DELETE'],
      ['GET', '/v2/a/blobs/uploads/', 'POST'],
      ['POST', '/v2/a/manifests/v1', 'GET, HEAD, PUT, DELETE'],
      ['OPTIONS', '/v2/a/tags/list', 'GET, HEAD'],
      ['PATCH', '/v2/_catalog', 'GET, HEAD'],
    ])('does not take %s %s', async (method, path, allow) => {
      const { client } = await makeRegistry();
      const answer = await client.call(method, path, method === 'POST' ? { body: 'x' } : {});
      expect([answer.status, ...answer.codes]).toEqual([405, 'UNSUPPORTED']);
      expect(answer.headers.get('allow')).toBe(allow);
      expect(answer.headers.get('docker-distribution-api-version')).toBe('registry/2.0');
    });

    it.each([
      ['/v2/UPPER/tags/list', 400, 'NAME_INVALID'],
      ['/v2/a//tags/list', 400, 'NAME_INVALID'],
      ['/v2/tags/list', 400, 'NAME_INVALID'],
      ['/v2/a%2Fb/tags/list', 400, 'NAME_INVALID'],
      ['/v2/-a/manifests/v1', 400, 'NAME_INVALID'],
      [`/v2/${'a/'.repeat(130)}a/tags/list`, 400, 'NAME_INVALID'],
      ['/v2/a/blobs/sha256:abc', 400, 'DIGEST_INVALID'],
      ['/v2/a/referrers/latest', 400, 'DIGEST_INVALID'],
      ['/v2/a/blobs/uploads/no.such.id', 404, 'BLOB_UPLOAD_UNKNOWN'],
      ['/v2/a/tags', 404, 'UNSUPPORTED'],
      ['/v2/nothing', 404, 'UNSUPPORTED'],
    ])('answers GET %s with %i %s', async (path, status, code) => {
      const { client } = await makeRegistry();
      const answer = await client.call('GET', path);
      expect([answer.status, ...answer.codes]).toEqual([status, code]);
      const { errors } = JSON.parse(answer.body.toString()) as { errors: { message: string }[] };
      expect(errors[0]?.message).not.toBe('');
    });

    it('routes repositories whose names are words of the API', async () => {
      const { client } = await makeRegistry();
      for (const repository of ['foo/blobs', 'a/manifests/b', 'tags/list', 'blobs/uploads', 'referrers']) {
        const { digest } = await client.putImage(repository, ['list', 'uploads']);
        for (const reference of ['list', 'uploads', digest]) {
          expect((await client.call('HEAD', `/v2/${repository}/manifests/${reference}`)).status).toBe(200);
        }
        expect(await names(client, `/v2/${repository}/tags/list`)).toEqual(['list', 'uploads']);
      }
    });

    it('takes a digest whose colon is percent-encoded', async () => {
      const { client } = await makeRegistry();
      const digest = await client.putBlob('a', Buffer.from('colon'));
      expect((await client.call('GET', `/v2/a/blobs/${digest.replace(':', '%3A')}`)).status).toBe(200);
    });
  });

  describe(`${name}: tags`, () => {
    // In order of bytes: capitals first, then "_", then small letters.
    const sorted = ['V1', '_x', 'a-b', 'a.b', 'a_b', 'ab', 'v1', 'v1-extra', 'v1.0', 'v10', 'v2'];

    it('lists them in order of their bytes', async () => {
      const { client } = await makeRegistry();
      await client.putImage('a/b', [...sorted].reverse());
      const answer = await client.call('GET', '/v2/a/b/tags/list');
      expect(JSON.parse(answer.body.toString())).toEqual({ name: 'a/b', tags: sorted });
      expect(answer.headers.get('content-type')).toContain('application/json');
      expect(answer.headers.get('link')).toBe(null);
    });

    it('gives all of them in pages of any length, and no empty page', async () => {
      const { client } = await makeRegistry();
      await client.putImage('a/b', sorted);
      for (const n of [1, 2, 3, 5, 10, 11, 100]) {
        const pages = await followLinks(client, `/v2/a/b/tags/list?n=${n}`);
        const lists = pages.map((page) => (JSON.parse(page.body.toString()) as { tags: string[] }).tags);
        expect(lists.flat()).toEqual(sorted);
        expect(lists.map((list) => list.length)).toEqual(lists.map((_, i) => Math.min(n, sorted.length - i * n)));
      }
    });

    it('begins behind any tag, and behind what is no tag of it', async () => {
      const { client } = await makeRegistry();
      await client.putImage('a/b', sorted);
      const cases: [string, string[]][] = [
        ...sorted.map((tag, position): [string, string[]] => [tag, sorted.slice(position + 1)]),
        ['a-c', ['a.b', 'a_b', 'ab', 'v1', 'v1-extra', 'v1.0', 'v10', 'v2']],
        ['v1%2Fz', ['v10', 'v2']],
        ['%20', sorted],
        ['..', sorted],
        ['zzz', []],
        ['%C3%A9', []],
      ];
      for (const [last, expected] of cases) {
        expect([last, await names(client, `/v2/a/b/tags/list?last=${last}`)]).toEqual([last, expected]);
        const two = await names(client, `/v2/a/b/tags/list?last=${last}&n=2`);
        expect([last, two]).toEqual([last, expected.slice(0, 2)]);
      }
    });

    it('gives an empty list for n=0', async () => {
      const { client } = await makeRegistry();
      await client.putImage('a/b', ['v1']);
      const answer = await client.call('GET', '/v2/a/b/tags/list?n=0');
      expect([answer.status, answer.headers.get('link')]).toEqual([200, null]);
      expect(JSON.parse(answer.body.toString())).toEqual({ name: 'a/b', tags: [] });
    });

    it('refuses an n that is no whole number', async () => {
      const { client } = await makeRegistry();
      const { digest } = await client.putImage('a/b', ['v1']);
      for (const path of ['/v2/a/b/tags/list', '/v2/_catalog', `/v2/a/b/referrers/${digest}`]) {
        for (const n of ['-1', 'x', '1.5', '1e3', '']) {
          const answer = await client.call('GET', `${path}?n=${n}`);
          expect([n, answer.status, ...answer.codes]).toEqual([n, 400, 'PAGINATION_NUMBER_INVALID']);
        }
      }
    });

    it('does not know a repository that holds nothing, and knows one without tags', async () => {
      const { client } = await makeRegistry();
      for (const query of ['', '?n=0', '?last=x']) {
        const unknown = await client.call('GET', `/v2/a/b/tags/list${query}`);
        expect([unknown.status, ...unknown.codes]).toEqual([404, 'NAME_UNKNOWN']);
      }
      const { digest } = await client.putImage('a/b', ['v1']);
      expect((await client.call('GET', '/v2/a/tags/list')).codes).toEqual(['NAME_UNKNOWN']);
      await client.call('DELETE', '/v2/a/b/manifests/v1');
      expect(await names(client, '/v2/a/b/tags/list')).toEqual([]);
      await client.call('DELETE', `/v2/a/b/manifests/${digest}`);
      expect((await client.call('GET', '/v2/a/b/tags/list')).status).toBe(200);
    });
  });

  describe(`${name}: the catalog`, () => {
    // In order of bytes: "-" and "." come before "/".
    const sorted = ['app', 'app-extra', 'app.x', 'app/a', 'app/a-b', 'app/a/c', 'app0', 'b/manifests/c', 'z'];

    it('is empty at first', async () => {
      const { client } = await makeRegistry();
      const answer = await client.call('GET', '/v2/_catalog');
      expect(JSON.parse(answer.body.toString())).toEqual({ repositories: [] });
    });

    it('lists repositories in order of their bytes, in pages and from any place', async () => {
      const { client } = await makeRegistry();
      for (const repository of [...sorted].reverse()) await client.putImage(repository, ['v1']);
      expect(await names(client, '/v2/_catalog', 'repositories')).toEqual(sorted);
      for (const n of [1, 2, 3, 4, 9, 5000]) {
        const pages = await followLinks(client, `/v2/_catalog?n=${n}`);
        const lists = pages.map(
          (page) => (JSON.parse(page.body.toString()) as { repositories: string[] }).repositories,
        );
        expect(lists.flat()).toEqual(sorted);
        expect(pages.length).toBe(Math.ceil(sorted.length / n));
      }
      for (const last of [...sorted, 'a', 'app/', 'app-', 'app/a/b', 'app/a/d', 'zz', '~', 'B']) {
        const expected = sorted.filter((repository) => repository > last);
        const query = `/v2/_catalog?last=${encodeURIComponent(last)}`;
        expect([last, await names(client, query, 'repositories')]).toEqual([last, expected]);
      }
      expect(await names(client, '/v2/_catalog?n=0', 'repositories')).toEqual([]);
    });
  });

  describe(`${name}: referrers`, () => {
    it('gives an empty index for what nobody refers to, known or not', async () => {
      const { client } = await makeRegistry();
      const { digest } = await client.putImage('a/b', ['v1']);
      for (const path of [`/v2/a/b/referrers/${digest}`, `/v2/never/referrers/${hashBytes(Buffer.from('x'))}`]) {
        const answer = await client.call('GET', path);
        expect([answer.status, answer.headers.get('content-type')]).toEqual([200, mediaTypes.ociIndex]);
        const empty = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] };
        expect(JSON.parse(answer.body.toString())).toEqual(empty);
      }
    });

    it('lists what refers to a manifest, with type and annotations, and filters it', async () => {
      const { client } = await makeRegistry();
      const { digest: subject, bytes } = await client.putImage('a/b', ['v1']);
      const about = descriptorOf(mediaTypes.ociManifest, bytes);
      const signature = await referrer(client, about, { artifactType: 'application/x.signature' });
      const annotations = { 'org.example.format': 'json' };
      const bill = await referrer(client, about, { artifactType: 'application/x.bill', annotations }, 'tagged');
      const plain = await referrer(client, about, {});
      const answer = await client.call('GET', `/v2/a/b/referrers/${subject}`);
      expect(entriesOf(answer)).toEqual(
        [
          { ...signature, artifactType: 'application/x.signature' },
          { ...bill, artifactType: 'application/x.bill', annotations },
          { ...plain, artifactType: mediaTypes.ociConfig },
        ].sort((left, right) => (left.digest < right.digest ? -1 : 1)),
      );
      expect(answer.headers.get('oci-filters-applied')).toBe(null);
      const filtered = await client.call('GET', `/v2/a/b/referrers/${subject}?artifactType=application/x.bill`);
      expect(entriesOf(filtered).map((entry) => entry['digest'])).toEqual([bill.digest]);
      expect(filtered.headers.get('oci-filters-applied')).toBe('artifactType');
    });

    it('lists referrers of a subject that is not there, also by sha512, and of an index', async () => {
      const { client } = await makeRegistry();
      for (const algorithm of ['sha256', 'sha512'] as const) {
        const about = descriptorOf(mediaTypes.ociManifest, Buffer.from('nowhere'), algorithm);
        const entry = await referrer(client, about, { artifactType: 'application/x.signature' });
        const { digest } = about as { digest: Digest };
        expect(
          entriesOf(await client.call('GET', `/v2/a/b/referrers/${digest}`)).map((found) => found['digest']),
        ).toEqual([entry.digest]);
        expect(entriesOf(await client.call('GET', `/v2/a/c/referrers/${digest}`))).toEqual([]);
      }
    });

    it('forgets a referrer that is deleted, and keeps it when its subject is deleted', async () => {
      const { client } = await makeRegistry();
      const { digest: subject, bytes } = await client.putImage('a/b', ['v1']);
      const about = descriptorOf(mediaTypes.ociManifest, bytes);
      const one = await referrer(client, about, { artifactType: 'application/x.one' });
      const two = await referrer(client, about, { artifactType: 'application/x.two' });
      await client.call('DELETE', `/v2/a/b/manifests/${one.digest}`);
      await client.call('DELETE', `/v2/a/b/manifests/${subject}`);
      const left = entriesOf(await client.call('GET', `/v2/a/b/referrers/${subject}`));
      expect(left.map((entry) => entry['digest'])).toEqual([two.digest]);
    });

    it('gives long lists in pages', async () => {
      const { client } = await makeRegistry();
      const about = descriptorOf(mediaTypes.ociManifest, Buffer.from('long'));
      const all: string[] = [];
      for (let i = 0; i < 5; i += 1) all.push((await referrer(client, about, { artifactType: `a/${i}` })).digest);
      const { digest } = about as { digest: Digest };
      const pages = await followLinks(client, `/v2/a/b/referrers/${digest}?n=2`);
      expect(pages.map((page) => entriesOf(page).length)).toEqual([2, 2, 1]);
      expect(pages.flatMap((page) => entriesOf(page).map((entry) => entry['digest']))).toEqual(all.sort());
    });

    it('lists what clients have noted under the fallback tag', async () => {
      const { client } = await makeRegistry();
      const { digest: subject, bytes } = await client.putImage('a/b', ['v1']);
      const listed = await referrer(client, descriptorOf(mediaTypes.ociManifest, bytes), { artifactType: 'x/y' });
      const stranger = await client.putImage('a/b', [], 'stranger');
      const noted = [listed, descriptorOf(mediaTypes.ociManifest, stranger.bytes)];
      const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: noted };
      expect((await client.putManifest('a/b', subject.replace(':', '-'), index)).status).toBe(201);
      const entries = entriesOf(await client.call('GET', `/v2/a/b/referrers/${subject}`));
      expect(entries.map((entry) => entry['digest'])).toEqual([listed.digest]);
    });
  });
}

/** Puts a manifest that names a subject; gives its descriptor. */
async function referrer(client: TestClient, subject: object, more: object, tag?: string) {
  const document = await client.imageOf('a/b', JSON.stringify(more), { ...more, subject });
  const bytes = Buffer.from(JSON.stringify(document));
  const digest = hashBytes(bytes);
  const put = await client.putManifest('a/b', tag ?? digest, document);
  expect([put.status, put.headers.get('oci-subject')]).toEqual([201, (subject as { digest: string }).digest]);
  return { mediaType: mediaTypes.ociManifest, digest, size: bytes.length };
}

function entriesOf(answer: TestAnswer): Record<string, unknown>[] {
  return (JSON.parse(answer.body.toString()) as { manifests: Record<string, unknown>[] }).manifests;
}

async function names(client: TestClient, path: string, field = 'tags'): Promise<unknown> {
  const answer = await client.call('GET', path);
  expect(answer.status).toBe(200);
  return (JSON.parse(answer.body.toString()) as Record<string, unknown>)[field];
}

/** All pages from one on, by their links. */
async function followLinks(client: TestClient, first: string): Promise<TestAnswer[]> {
  const pages: TestAnswer[] = [];
  for (let path: string | undefined = first; path !== undefined; ) {
    const answer = await client.call('GET', path);
    expect(answer.status).toBe(200);
    pages.push(answer);
    path = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1];
  }
  return pages;
}
