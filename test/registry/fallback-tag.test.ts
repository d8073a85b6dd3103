import { describe, expect, it } from 'vitest';
import { type Digest, hashBytes, mediaTypes } from '../../src/core/index.ts';
import { descriptorOf, type TestClient } from './client.ts';
import { folderDriver, serveRegistry } from './running-registry.ts';

/** OCI distribution specification, "Referrers Tag Schema". */
describe('the fallback tag of a subject', () => {
  it('is not made by the registry, which lists referrers itself', async () => {
    const { client, subject } = await withSubject();
    await push(client, subject, 'first');
    expect((await client.call('GET', `/v2/a/b/manifests/${tagOf(subject)}`)).status).toBe(404);
  });

  it('gains each referrer that is pushed once a client has made it, and keeps what the client wrote', async () => {
    const { client, subject } = await withSubject();
    const first = await push(client, subject, 'first');
    await makeTag(client, subject, [first], { annotations: { 'made.by': 'a client' } });
    const second = await push(client, subject, 'second');
    const index = await read(client, subject);
    expect(index.manifests.map(({ digest }) => digest)).toEqual([first.digest, second.digest]);
    expect(index.manifests[1]).toMatchObject({
      mediaType: mediaTypes.ociManifest,
      size: second.size,
      artifactType: 'test/second',
      annotations: { seed: 'second' },
    });
    expect(index).toMatchObject({ schemaVersion: 2, annotations: { 'made.by': 'a client' } });
  });

  it('does not list a referrer twice that the client has noted before it was pushed', async () => {
    const { client, subject } = await withSubject();
    const first = await push(client, subject, 'first');
    await makeTag(client, subject, [first]);
    await push(client, subject, 'first');
    expect((await read(client, subject)).manifests).toHaveLength(1);
  });

  it('loses a referrer that is deleted, and stays as an empty index', async () => {
    const { client, subject } = await withSubject();
    const first = await push(client, subject, 'first');
    await makeTag(client, subject, [first]);
    const second = await push(client, subject, 'second');
    await client.call('DELETE', `/v2/a/b/manifests/${first.digest}`);
    expect((await read(client, subject)).manifests.map(({ digest }) => digest)).toEqual([second.digest]);
    await client.call('DELETE', `/v2/a/b/manifests/${second.digest}`);
    expect((await read(client, subject)).manifests).toEqual([]);
  });

  it('has them all when many are pushed at once', async () => {
    const { client, subject } = await withSubject();
    const first = await push(client, subject, 'first');
    await makeTag(client, subject, [first]);
    const seeds = Array.from({ length: 12 }, (_value, index) => `at once ${index}`);
    const pushed = await Promise.all(seeds.map((seed) => push(client, subject, seed)));
    const listed = (await read(client, subject)).manifests.map(({ digest }) => digest);
    expect(listed.toSorted()).toEqual([first, ...pushed].map(({ digest }) => digest).toSorted());
  });

  it('is left alone when it leads to something else than an index', async () => {
    const { client, subject } = await withSubject();
    const other = await client.putImage('a/b', [tagOf(subject)], 'other');
    await push(client, subject, 'first');
    const answer = await client.call('GET', `/v2/a/b/manifests/${tagOf(subject)}`);
    expect(answer.headers.get('docker-content-digest')).toBe(other.digest);
  });
});

async function withSubject(): Promise<{ readonly client: TestClient; readonly subject: Digest }> {
  const { client } = await serveRegistry(await folderDriver());
  const { digest } = await client.putImage('a/b', ['v1']);
  return { client, subject: digest };
}

function tagOf(subject: Digest): string {
  return subject.replace(':', '-');
}

/** Puts an artifact that names the subject. */
async function push(client: TestClient, subject: Digest, seed: string) {
  const about = await client.call('HEAD', `/v2/a/b/manifests/${subject}`);
  const document = await client.imageOf('a/b', seed, {
    artifactType: `test/${seed}`,
    annotations: { seed },
    subject: {
      mediaType: mediaTypes.ociManifest,
      digest: subject,
      size: Number(about.headers.get('content-length')),
    },
  });
  const bytes = Buffer.from(JSON.stringify(document));
  const digest = hashBytes(bytes);
  expect((await client.putManifest('a/b', digest, document)).status).toBe(201);
  return { ...descriptorOf(mediaTypes.ociManifest, bytes), digest, size: bytes.length };
}

async function makeTag(client: TestClient, subject: Digest, manifests: readonly object[], more: object = {}) {
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests, ...more };
  expect((await client.putManifest('a/b', tagOf(subject), index)).status).toBe(201);
}

async function read(client: TestClient, subject: Digest): Promise<{ readonly manifests: { digest: string }[] }> {
  const answer = await client.call('GET', `/v2/a/b/manifests/${tagOf(subject)}`);
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, mediaTypes.ociIndex]);
  return JSON.parse(answer.body.toString()) as { manifests: { digest: string }[] };
}
