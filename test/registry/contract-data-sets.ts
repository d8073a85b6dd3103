import { describe, expect, it } from 'vitest';
import { hashBytes, mediaTypes } from '../../src/core/index.ts';
import type { TestAnswer, TestClient } from './client.ts';
import { type DataSet, type DataSetManifest, dataSets } from './data-sets.ts';
import type { MakeRegistry } from './make-registry.ts';
import { expectBlob, expectNoBlob } from './upload-ways.ts';

const repository = 'data/set';

/** Every data set of the conformance suite, all the way: push, list, look, pull, referrers, delete. */
export function dataSetContract(name: string, makeRegistry: MakeRegistry): void {
  describe(`${name}: data sets`, () => {
    it.each(Object.keys(dataSets))('keeps, lists, gives and deletes %s', async (what) => {
      const { client } = await makeRegistry();
      const set = dataSets[what]!();
      await push(client, set);
      await expectTags(client, set);
      for (const manifest of set.manifests) {
        for (const reference of [manifest.digest, ...manifest.tags]) await expectManifest(client, reference, manifest);
      }
      for (const blob of set.blobs) await expectBlob(client, blobPath(set, blob), blob);
      await expectReferrers(client, set);
      await deleteAll(client, set);
    });
  });
}

async function push(client: TestClient, { algorithm, blobs, manifests, tagsByParameter }: DataSet): Promise<void> {
  for (const blob of blobs) await client.putBlob(repository, blob, algorithm);
  for (const manifest of manifests) {
    const query = tagsByParameter ? `?${manifest.tags.map((tag) => `tag=${tag}`).join('&')}` : '';
    const put = await putManifest(client, `${manifest.digest}${query}`, manifest);
    expect(put.headers.get('oci-tag')).toBe(tagsByParameter ? manifest.tags.join(', ') : null);
  }
  if (tagsByParameter) return;
  for (const manifest of manifests) for (const tag of manifest.tags) await putManifest(client, tag, manifest);
}

async function putManifest(client: TestClient, reference: string, manifest: DataSetManifest): Promise<TestAnswer> {
  const { bytes, digest, mediaType, subject } = manifest;
  const headers = { 'content-type': mediaType };
  const put = await client.call('PUT', pathOf(reference), { body: bytes, headers });
  expect([put.status, ...put.codes]).toEqual([201]);
  expect(put.headers.get('location')).toBe(pathOf(digest));
  expect(put.headers.get('docker-content-digest')).toBe(digest);
  expect(put.headers.get('oci-subject')).toBe(subject ?? null);
  return put;
}

async function expectManifest(client: TestClient, reference: string, manifest: DataSetManifest): Promise<void> {
  const { bytes, digest, mediaType } = manifest;
  for (const method of ['GET', 'HEAD']) {
    const answer = await client.call(method, pathOf(reference));
    expect(answer.status).toBe(200);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-length': String(bytes.length),
      'content-type': mediaType,
      'docker-content-digest': digest,
      etag: `"${digest}"`,
    });
    expect(answer.body.equals(method === 'GET' ? bytes : Buffer.alloc(0))).toBe(true);
  }
}

/** All tags in order, and those behind the one in the middle. */
async function expectTags(client: TestClient, { manifests }: DataSet): Promise<void> {
  const tags = manifests.flatMap((manifest) => manifest.tags).sort();
  expect(await tagsOf(client, '')).toEqual(tags);
  const middle = Math.floor((tags.length - 1) / 2);
  if (tags[middle] !== undefined) expect(await tagsOf(client, `?last=${tags[middle]}`)).toEqual(tags.slice(middle + 1));
}

async function tagsOf(client: TestClient, query: string): Promise<unknown> {
  const answer = await client.call('GET', `/v2/${repository}/tags/list${query}`);
  expect(answer.status).toBe(200);
  return (JSON.parse(answer.body.toString()) as { tags: unknown }).tags;
}

/** Asked of every manifest, and of every subject that is not there: nothing but what the data set has is listed. */
async function expectReferrers(client: TestClient, { manifests }: DataSet): Promise<void> {
  const subjects = new Set(
    manifests.flatMap(({ digest, subject }) => [digest, ...(subject === undefined ? [] : [subject])]),
  );
  for (const subject of subjects) {
    const referrers = manifests.filter((manifest) => manifest.subject === subject);
    const { entries, filters } = await referrersOf(client, subject, '');
    expect(entries).toEqual(referrers.map(entryOf).sort(byDigest));
    expect(filters).toBe(null);
    for (const artifactType of new Set([...referrers.map((manifest) => manifest.artifactType), 'application/x.none'])) {
      if (artifactType === undefined) continue;
      const filtered = await referrersOf(client, subject, `?artifactType=${encodeURIComponent(artifactType)}`);
      const expected = referrers.filter((manifest) => manifest.artifactType === artifactType).map(entryOf);
      expect(filtered).toEqual({ entries: expected.sort(byDigest), filters: 'artifactType' });
    }
  }
}

async function referrersOf(client: TestClient, subject: string, query: string) {
  const answer = await client.call('GET', `/v2/${repository}/referrers/${subject}${query}`);
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, mediaTypes.ociIndex]);
  const index = JSON.parse(answer.body.toString()) as Record<string, unknown> & { manifests: { digest: string }[] };
  expect(index).toMatchObject({ schemaVersion: 2, mediaType: mediaTypes.ociIndex });
  return { entries: index.manifests, filters: answer.headers.get('oci-filters-applied') };
}

function entryOf({ bytes, digest, mediaType, artifactType, annotations }: DataSetManifest) {
  return {
    mediaType,
    digest,
    size: bytes.length,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

function byDigest(left: { readonly digest: string }, right: { readonly digest: string }): number {
  return left.digest < right.digest ? -1 : 1;
}

/** Tags first, then manifests from the last to the first, then blobs; each is gone at once. */
async function deleteAll(client: TestClient, set: DataSet): Promise<void> {
  const tags = set.manifests.flatMap((manifest) => manifest.tags).sort();
  while (tags.length > 0) {
    await expectDeleted(client, pathOf(tags.shift()!));
    expect(await tagsOf(client, '')).toEqual(tags);
  }
  for (const { digest } of [...set.manifests].reverse()) await expectDeleted(client, pathOf(digest));
  for (const blob of set.blobs) {
    expect((await client.call('DELETE', blobPath(set, blob))).status).toBe(202);
    await expectNoBlob(client, blobPath(set, blob));
  }
}

async function expectDeleted(client: TestClient, path: string): Promise<void> {
  expect((await client.call('DELETE', path)).status).toBe(202);
  expect((await client.call('HEAD', path)).status).toBe(404);
  const again = await client.call('GET', path);
  expect([again.status, ...again.codes]).toEqual([404, 'MANIFEST_UNKNOWN']);
}

function pathOf(reference: string): string {
  return `/v2/${repository}/manifests/${reference}`;
}

function blobPath({ algorithm }: DataSet, blob: Buffer): string {
  return `/v2/${repository}/blobs/${hashBytes(blob, algorithm)}`;
}
