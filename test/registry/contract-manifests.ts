import { describe, expect, it } from 'vitest';
import { hashBytes, mediaTypes } from '../../src/core/index.ts';
import { bytesOf, descriptorOf, type TestClient } from './client.ts';
import type { MakeRegistry } from './make-registry.ts';

/** How manifests are put, read and deleted. */
export function manifestContract(name: string, makeRegistry: MakeRegistry): void {
  describe(`${name}: manifests that are taken`, () => {
    it('takes a manifest by sha512 and keeps it under that', async () => {
      const { client } = await makeRegistry();
      const document = await client.imageOf('a/b', 'sha512');
      const bytes = Buffer.from(JSON.stringify(document));
      const digest = hashBytes(bytes, 'sha512');
      expect((await client.putManifest('a/b', digest, document)).headers.get('docker-content-digest')).toBe(digest);
      await expectManifest(client, `/v2/a/b/manifests/${digest}`, { bytes, digest, type: mediaTypes.ociManifest });
    });

    it('moves a tag to another manifest and keeps the first by digest', async () => {
      const { client } = await makeRegistry();
      const first = await client.putImage('a/b', ['v1'], 'first');
      const second = await client.putImage('a/b', ['v1'], 'second');
      expect((await client.call('GET', '/v2/a/b/manifests/v1')).body.equals(second.bytes)).toBe(true);
      expect((await client.call('GET', `/v2/a/b/manifests/${first.digest}`)).body.equals(first.bytes)).toBe(true);
    });

    it('serves the stored bytes whatever Accept says, and 304 to a client that has them', async () => {
      const { client } = await makeRegistry();
      const { digest, bytes } = await client.putImage('a/b', ['v1']);
      for (const accept of ['*/*', mediaTypes.dockerManifestList, 'text/html']) {
        const answer = await client.call('GET', '/v2/a/b/manifests/v1', { headers: { accept } });
        expect([answer.status, answer.body.equals(bytes)]).toEqual([200, true]);
        expect(answer.headers.get('content-type')).toBe(mediaTypes.ociManifest);
      }
      const headers = { 'if-none-match': `"${digest}"` };
      const again = await client.call('GET', '/v2/a/b/manifests/v1', { headers });
      expect([again.status, again.headers.get('etag')]).toEqual([304, `"${digest}"`]);
    });

    it('takes a media type with parameters', async () => {
      const { client } = await makeRegistry();
      const document = await client.imageOf('a/b', 'parameters');
      const put = await client.putManifest('a/b', 'v1', document, `${mediaTypes.ociManifest}; charset=utf-8`);
      expect(put.status).toBe(201);
      const got = await client.call('GET', '/v2/a/b/manifests/v1');
      expect(got.headers.get('content-type')).toBe(mediaTypes.ociManifest);
    });
  });

  describe(`${name}: manifests that are refused`, () => {
    it('names every blob that is missing, and stores nothing', async () => {
      const { client } = await makeRegistry();
      const config = Buffer.from('{"missing":1}');
      const layers = [bytesOf('missing layer', 10), bytesOf('other layer', 10)];
      await client.putBlob('elsewhere', layers[0]!);
      const document = {
        schemaVersion: 2,
        mediaType: mediaTypes.ociManifest,
        config: descriptorOf(mediaTypes.ociConfig, config),
        layers: layers.map((layer) => descriptorOf(mediaTypes.ociLayerTar, layer)),
      };
      const refused = await client.putManifest('a/b', 'v1', document);
      expect(refused.status).toBe(404);
      const { errors } = JSON.parse(refused.body.toString()) as { errors: { code: string; detail: object }[] };
      expect(errors.map((entry) => [entry.code, entry.detail])).toEqual(
        [config, ...layers].map((bytes) => ['MANIFEST_BLOB_UNKNOWN', { digest: hashBytes(bytes) }]),
      );
      const digest = hashBytes(Buffer.from(JSON.stringify(document)));
      expect((await client.call('GET', '/v2/a/b/manifests/v1')).status).toBe(404);
      expect((await client.call('GET', `/v2/a/b/manifests/${digest}`)).status).toBe(404);
    });

    it('wants the children of an index in the repository', async () => {
      const { client } = await makeRegistry();
      const child = await client.imageOf('a/b', 'child');
      const bytes = Buffer.from(JSON.stringify(child));
      const index = indexOf([descriptorOf(mediaTypes.ociManifest, bytes)]);
      await client.putBlob('elsewhere', bytes);
      expect((await client.putManifest('a/b', 'v1', index)).codes).toEqual(['MANIFEST_BLOB_UNKNOWN']);
      await client.putManifest('a/b', hashBytes(bytes), child);
      expect((await client.putManifest('a/b', 'v1', index)).status).toBe(201);
    });

    it('takes an index of layers, as build tools write for their cache', async () => {
      const { client } = await makeRegistry();
      const layer = bytesOf('cached layer', 100);
      await client.putBlob('a/b', layer);
      const index = indexOf([descriptorOf(mediaTypes.ociLayerTar, layer)]);
      expect((await client.putManifest('a/b', 'cache', index)).status).toBe(201);
      expect((await client.call('GET', '/v2/a/b/manifests/cache')).status).toBe(200);
    });

    it('refuses a blob that has been deleted from the repository', async () => {
      const { client } = await makeRegistry();
      const document = await client.imageOf('a/b', 'deleted layer');
      await client.call('DELETE', `/v2/a/b/blobs/${hashBytes(Buffer.from('layer of deleted layer'))}`);
      expect((await client.putManifest('a/b', 'v1', document)).codes).toEqual(['MANIFEST_BLOB_UNKNOWN']);
    });

    it.each(['sha256', 'sha512'] as const)('refuses other bytes than the %s of the path names', async (algorithm) => {
      const { client } = await makeRegistry();
      const document = await client.imageOf('a/b', 'other bytes');
      const bytes = Buffer.from(`${JSON.stringify(document)} `);
      const digest = hashBytes(Buffer.from(JSON.stringify(document)), algorithm);
      const headers = { 'content-type': mediaTypes.ociManifest };
      const refused = await client.call('PUT', `/v2/a/b/manifests/${digest}`, { body: bytes, headers });
      expect([refused.status, ...refused.codes]).toEqual([400, 'DIGEST_INVALID']);
      expect((await client.call('HEAD', `/v2/a/b/manifests/${digest}`)).status).toBe(404);
    });

    it.each([
      ['nothing', ''],
      ['no JSON', '{"schemaVersion": 2,'],
      ['no object', '[]'],
      ['schema 1', '{"schemaVersion": 1, "fsLayers": []}'],
      ['no config', `{"schemaVersion": 2, "mediaType": "${mediaTypes.ociManifest}", "layers": []}`],
      ['an index and an image in one', '{"schemaVersion": 2, "config": {}, "layers": [], "manifests": []}'],
      ['another type than its header', `{"schemaVersion": 2, "mediaType": "${mediaTypes.ociIndex}", "manifests": []}`],
    ])('refuses a document that is %s', async (_kind, body) => {
      const { client } = await makeRegistry();
      const headers = { 'content-type': mediaTypes.ociManifest };
      const refused = await client.call('PUT', '/v2/a/b/manifests/v1', { body, headers });
      expect([refused.status, ...refused.codes]).toEqual([400, 'MANIFEST_INVALID']);
    });

    it.each([true, false])('refuses more than 4 MiB (with a length beforehand: %s)', async (announced) => {
      const { client } = await makeRegistry();
      const bytes = Buffer.alloc(4 * 1024 * 1024 + 1, ' ');
      const body = announced
        ? bytes
        : (async function* () {
            yield bytes;
          })();
      const headers = { 'content-type': mediaTypes.ociManifest };
      const refused = await client.call('PUT', '/v2/a/b/manifests/v1', { body, headers });
      expect([refused.status, ...refused.codes]).toEqual([413, 'SIZE_INVALID']);
    });

    it.each([
      ['PUT', 'sha256:baddigeststring', 400, 'DIGEST_INVALID'],
      ['GET', 'sha256:baddigeststring', 400, 'DIGEST_INVALID'],
      ['PUT', '.INVALID_MANIFEST_NAME', 400, 'TAG_INVALID'],
      ['GET', '.INVALID_MANIFEST_NAME', 404, 'MANIFEST_UNKNOWN'],
      ['DELETE', '.INVALID_MANIFEST_NAME', 404, 'MANIFEST_UNKNOWN'],
      ['GET', 'nosuchtag', 404, 'MANIFEST_UNKNOWN'],
      ['DELETE', 'nosuchtag', 404, 'MANIFEST_UNKNOWN'],
      ['GET', hashBytes(Buffer.from('none')), 404, 'MANIFEST_UNKNOWN'],
      ['DELETE', hashBytes(Buffer.from('none')), 404, 'MANIFEST_UNKNOWN'],
    ])('answers %s of %s with %i %s', async (method, reference, status, code) => {
      const { client } = await makeRegistry();
      const body = method === 'PUT' ? { body: '{}', headers: { 'content-type': mediaTypes.ociManifest } } : {};
      const refused = await client.call(method, `/v2/a/b/manifests/${reference}`, body);
      expect([refused.status, ...refused.codes]).toEqual([status, code]);
    });

    it.each(['nosuchtag', hashBytes(Buffer.from('none')), hashBytes(Buffer.from('none'), 'sha512')])(
      'answers HEAD of %s with 404 and no body',
      async (reference) => {
        const { client } = await makeRegistry();
        const answer = await client.call('HEAD', `/v2/a/b/manifests/${reference}`);
        expect([answer.status, answer.body.length]).toEqual([404, 0]);
      },
    );

    it('does not show a manifest in a repository that does not hold it', async () => {
      const { client } = await makeRegistry();
      const { digest } = await client.putImage('mine', ['v1']);
      for (const reference of ['v1', digest]) {
        expect((await client.call('GET', `/v2/other/manifests/${reference}`)).codes).toEqual(['MANIFEST_UNKNOWN']);
      }
    });
  });

  describe(`${name}: manifests that are deleted`, () => {
    it('takes only the tag away when it is deleted by tag', async () => {
      const { client } = await makeRegistry();
      const { digest } = await client.putImage('a/b', ['v1', 'v2']);
      expect((await client.call('DELETE', '/v2/a/b/manifests/v1')).status).toBe(202);
      expect((await client.call('HEAD', '/v2/a/b/manifests/v1')).status).toBe(404);
      for (const reference of ['v2', digest]) {
        expect((await client.call('HEAD', `/v2/a/b/manifests/${reference}`)).status).toBe(200);
      }
    });

    it('takes all its tags along when it is deleted by digest, and no others', async () => {
      const { client } = await makeRegistry();
      const { digest } = await client.putImage('a/b', ['v1', 'v2'], 'goes');
      const kept = await client.putImage('a/b', ['v3'], 'stays');
      expect((await client.call('DELETE', `/v2/a/b/manifests/${digest}`)).status).toBe(202);
      for (const reference of ['v1', 'v2', digest]) {
        expect((await client.call('GET', `/v2/a/b/manifests/${reference}`)).status).toBe(404);
      }
      const tags = await client.call('GET', '/v2/a/b/tags/list');
      expect(JSON.parse(tags.body.toString())).toEqual({ name: 'a/b', tags: ['v3'] });
      expect((await client.call('GET', '/v2/a/b/manifests/v3')).body.equals(kept.bytes)).toBe(true);
      expect((await client.call('DELETE', `/v2/a/b/manifests/${digest}`)).status).toBe(404);
    });
  });
}

function indexOf(manifests: readonly object[]) {
  return { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
}

async function expectManifest(
  client: TestClient,
  path: string,
  expected: { readonly bytes: Buffer; readonly digest: string; readonly type: string },
): Promise<void> {
  for (const method of ['GET', 'HEAD']) {
    const answer = await client.call(method, path);
    expect(answer.status).toBe(200);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-length': String(expected.bytes.length),
      'content-type': expected.type,
      'docker-content-digest': expected.digest,
      etag: `"${expected.digest}"`,
    });
    if (method === 'GET') expect(answer.body.equals(expected.bytes)).toBe(true);
    else expect(answer.body.length).toBe(0);
  }
}
