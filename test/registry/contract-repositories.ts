import { describe, expect, it } from 'vitest';
import { hashBytes, mediaTypes } from '../../src/core/index.ts';
import { bytesOf, descriptorOf, type TestClient } from './client.ts';
import type { MakeRegistry } from './make-registry.ts';
import { expectBlob, expectNoBlob } from './upload-ways.ts';

/** How a whole repository is deleted: an extension of ours, `DELETE /v2/<name>/_shoal/repository`. */
export function repositoryContract(name: string, makeRegistry: MakeRegistry): void {
  describe(`${name}: repositories that are deleted`, () => {
    it('takes tags, manifests, referrers and blobs along', async () => {
      const { client } = await makeRegistry();
      const { digest, bytes } = await client.putImage('a/b', ['v1', 'v2']);
      const layer = await client.putBlob('a/b', bytesOf('deleted with its repository', 100));
      const subject = descriptorOf(mediaTypes.ociManifest, bytes);
      const referrer = await client.imageOf('a/b', 'referrer', { subject });
      expect((await client.putManifest('a/b', 'signature', referrer)).status).toBe(201);

      await expectDeleted(client, 'a/b');
      for (const reference of ['v1', 'v2', 'signature', digest, hashBytes(Buffer.from(JSON.stringify(referrer)))]) {
        const answer = await client.call('GET', `/v2/a/b/manifests/${reference}`);
        expect([reference, answer.status, ...answer.codes]).toEqual([reference, 404, 'MANIFEST_UNKNOWN']);
      }
      await expectNoBlob(client, `/v2/a/b/blobs/${layer}`);
      await expectNoBlob(client, `/v2/a/b/blobs/${digest}`);
      expect(await listOf(client, `/v2/a/b/referrers/${digest}`, 'manifests')).toEqual([]);
      expect((await client.call('GET', '/v2/a/b/tags/list')).codes).toEqual(['NAME_UNKNOWN']);
      expect(await listOf(client, '/v2/_catalog', 'repositories')).toEqual([]);
    });

    it('leaves repositories beside and below it, and what they share with it', async () => {
      const { client } = await makeRegistry();
      const blob = bytesOf('shared by repositories', 100);
      const others = ['a', 'a/b-c', 'a/b/c', 'a/b/tags', 'a/bc'];
      for (const repository of ['a/b', ...others]) {
        await client.putImage(repository, ['v1'], 'shared');
        await client.putBlob(repository, blob);
      }
      await expectDeleted(client, 'a/b');
      expect(await listOf(client, '/v2/_catalog', 'repositories')).toEqual(others);
      for (const repository of others) {
        expect((await client.call('GET', `/v2/${repository}/manifests/v1`)).status).toBe(200);
        await expectBlob(client, `/v2/${repository}/blobs/${hashBytes(blob)}`, blob);
      }
    });

    it('deletes a repository that holds blobs only', async () => {
      const { client } = await makeRegistry();
      const digest = await client.putBlob('a/b', bytesOf('only a blob', 100));
      await expectDeleted(client, 'a/b');
      await expectNoBlob(client, `/v2/a/b/blobs/${digest}`);
    });

    it('takes pushes under the same name afterwards', async () => {
      const { client } = await makeRegistry();
      await client.putImage('a/b', ['v1'], 'first');
      await expectDeleted(client, 'a/b');
      const again = await client.putImage('a/b', ['v2'], 'first');
      expect((await client.call('GET', '/v2/a/b/manifests/v2')).body.equals(again.bytes)).toBe(true);
      expect(await listOf(client, '/v2/a/b/tags/list', 'tags')).toEqual(['v2']);
    });

    it('does not know a repository that holds nothing, nor one that is deleted already', async () => {
      const { client } = await makeRegistry();
      await client.putImage('a/b/c', ['v1']);
      for (const repository of ['never', 'a', 'a/b']) {
        const refused = await client.call('DELETE', pathOf(repository));
        expect([repository, refused.status, ...refused.codes]).toEqual([repository, 404, 'NAME_UNKNOWN']);
      }
      await expectDeleted(client, 'a/b/c');
    });

    it('refuses a name that is none, and every other method', async () => {
      const { client } = await makeRegistry();
      const refused = await client.call('DELETE', pathOf('NO'));
      expect([refused.status, ...refused.codes]).toEqual([400, 'NAME_INVALID']);
      for (const method of ['GET', 'HEAD', 'PUT', 'POST', 'PATCH']) {
        const answer = await client.call(method, pathOf('a/b'));
        expect([method, answer.status, answer.headers.get('allow')]).toEqual([method, 405, 'DELETE']);
      }
    });
  });
}

function pathOf(repository: string): string {
  return `/v2/${repository}/_shoal/repository`;
}

/** Deletes a repository, and once more to see that it is gone. */
async function expectDeleted(client: TestClient, repository: string): Promise<void> {
  expect((await client.call('DELETE', pathOf(repository))).status).toBe(202);
  const again = await client.call('DELETE', pathOf(repository));
  expect([again.status, ...again.codes]).toEqual([404, 'NAME_UNKNOWN']);
}

async function listOf(client: TestClient, path: string, field: string): Promise<unknown> {
  const answer = await client.call('GET', path);
  expect(answer.status).toBe(200);
  return (JSON.parse(answer.body.toString()) as Record<string, unknown>)[field];
}
