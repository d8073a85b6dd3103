import { describe, expect, it } from 'vitest';
import { BlobNotFoundError, hashBytes, parseRepository, UnavailableError } from '../../src/core/index.ts';
import { addBlob, addImage, CLUSTER_TOKEN, collect, linkImage, startBuildIndex } from './cluster.ts';

const repository = parseRepository('team/app');
const other = parseRepository('team/other');
const ROOT = '/docker/registry/v2/repositories/team/app';

describe('links', () => {
  it('are the files that distribution writes', async () => {
    const { client, backend } = await startBuildIndex();
    const sha256 = hashBytes(Buffer.from('a'));
    const sha512 = hashBytes(Buffer.from('a'), 'sha512');
    await client.link(repository, 'layer', sha256);
    await client.link(repository, 'revision', sha512);
    const read = async (path: string) => (await backend.getContent(path)).toString();
    expect(await read(`${ROOT}/_layers/sha256/${sha256.slice(7)}/link`)).toBe(sha256);
    expect(await read(`${ROOT}/_manifests/revisions/sha512/${sha512.slice(7)}/link`)).toBe(sha512);
  });

  it('say how a blob belongs to a repository, and how long it is', async () => {
    const { client, origin } = await startBuildIndex();
    const digest = addBlob(origin, 'twelve bytes');
    await expect(client.statBlob(repository, digest)).rejects.toThrow(BlobNotFoundError);
    await client.link(repository, 'layer', digest);
    expect(await client.statBlob(repository, digest)).toEqual({ sizeBytes: 12, links: ['layer'] });
    await client.link(repository, 'revision', digest);
    expect(await client.statBlob(repository, digest)).toEqual({ sizeBytes: 12, links: ['layer', 'revision'] });
    await client.unlink(repository, 'layer', digest);
    expect(await client.statBlob(repository, digest)).toEqual({ sizeBytes: 12, links: ['revision'] });
    await expect(client.statBlob(other, digest)).rejects.toThrow(BlobNotFoundError);
  });

  it('ask the origins for a length once, and never for a blob that is not linked', async () => {
    const { client, origin } = await startBuildIndex();
    const digest = addBlob(origin, 'bytes');
    await expect(client.statBlob(repository, digest)).rejects.toThrow(BlobNotFoundError);
    expect(origin.requests).toEqual([]);
    for (const name of [repository, other]) {
      await client.link(name, 'layer', digest);
      await client.statBlob(name, digest);
      await client.statBlob(name, digest);
    }
    expect(origin.requests).toEqual([`GET /v1/blobs/${digest}/stat`]);
  });

  it('without bytes behind them answer not found; without an answer from the origins, unavailable', async () => {
    const { client, origin } = await startBuildIndex();
    const digest = hashBytes(Buffer.from('never uploaded'));
    await client.link(repository, 'layer', digest);
    await expect(client.statBlob(repository, digest)).rejects.toThrow(BlobNotFoundError);
    origin.failure = new UnavailableError('busy');
    await expect(client.statBlob(repository, digest)).rejects.toThrow(UnavailableError);
  });

  it('can be set twice, and taken out once', async () => {
    const { client, origin } = await startBuildIndex();
    const digest = addBlob(origin, 'bytes');
    await client.link(repository, 'layer', digest);
    await client.link(repository, 'layer', digest);
    await client.unlink(repository, 'layer', digest);
    await expect(client.unlink(repository, 'layer', digest)).rejects.toThrow(BlobNotFoundError);
    await expect(client.unlink(repository, 'revision', digest)).rejects.toThrow(BlobNotFoundError);
    await expect(client.unlink(other, 'layer', digest)).rejects.toThrow(BlobNotFoundError);
  });

  it('of one digest do not touch another', async () => {
    const { client, origin } = await startBuildIndex();
    const [one, two] = [addBlob(origin, 'one'), addBlob(origin, 'two')];
    for (const digest of [one, two]) await client.link(repository, 'layer', digest);
    await client.unlink(repository, 'layer', one);
    expect(await client.statBlob(repository, two)).toMatchObject({ links: ['layer'] });
  });
});

describe('referrers', () => {
  it('are listed in order, once their manifests are linked, and never beyond their repository', async () => {
    const { client, origin, backend } = await startBuildIndex();
    const subject = addImage(origin, 'subject').manifest;
    const images = Array.from({ length: 5 }, (_, index) => addImage(origin, `signature ${index}`, { subject }));
    const sha512 = hashBytes(Buffer.from('a'), 'sha512');
    for (const { manifest } of images) await client.putReferrer(repository, subject, manifest);
    await client.putReferrer(repository, subject, sha512);
    expect(await collect(client.listReferrers(repository, subject))).toEqual([]);
    for (const image of images) await linkImage(client, repository, image);
    await client.link(repository, 'revision', sha512);
    const expected = [...images.map((image) => image.manifest).sort(), sha512];
    expect(await collect(client.listReferrers(repository, subject))).toEqual(expected);
    expect(await collect(client.listReferrers(other, subject))).toEqual([]);
    expect(await collect(client.listReferrers(repository, images[0]!.manifest))).toEqual([]);
    const path = `${ROOT}/_referrers/sha256/${subject.slice(7)}/sha512/${sha512.slice(7)}/link`;
    expect((await backend.getContent(path)).toString()).toBe(sha512);
  });

  it('come in pages, as many as it takes', async () => {
    const { client, baseUrl, origin } = await startBuildIndex();
    const subject = addImage(origin, 'subject').manifest;
    const digests = Array.from({ length: 25 }, (_, index) => hashBytes(Buffer.from(`referrer ${index}`))).sort();
    for (const digest of digests) {
      await client.putReferrer(repository, subject, digest);
      await client.link(repository, 'revision', digest);
    }
    const url = new URL('/v1/referrers', baseUrl);
    url.search = String(new URLSearchParams({ repository, subject, after: digests[4]!, limit: '10' }));
    const answer = await fetch(url, { headers: { authorization: `Bearer ${CLUSTER_TOKEN}` } });
    expect(await answer.json()).toEqual({ names: digests.slice(5, 15), more: true });
    expect(await collect(client.listReferrers(repository, subject))).toEqual(digests);
  });

  it('can be taken out, also when they are not there', async () => {
    const { client, origin } = await startBuildIndex();
    const subject = addImage(origin, 'subject').manifest;
    const image = addImage(origin, 'signature', { subject });
    await linkImage(client, repository, image);
    await client.putReferrer(repository, subject, image.manifest);
    await client.deleteReferrer(repository, subject, image.manifest);
    await client.deleteReferrer(repository, subject, image.manifest);
    expect(await collect(client.listReferrers(repository, subject))).toEqual([]);
  });

  it('go with their manifest, and stay when their subject goes', async () => {
    const { client, origin, backend } = await startBuildIndex();
    const subject = addImage(origin, 'subject');
    await linkImage(client, repository, subject);
    const [one, two] = [1, 2].map((n) => addImage(origin, `signature ${n}`, { subject: subject.manifest }));
    for (const image of [one!, two!]) {
      await linkImage(client, repository, image);
      await client.putReferrer(repository, subject.manifest, image.manifest);
    }
    await client.unlink(repository, 'revision', one!.manifest);
    expect(await collect(client.listReferrers(repository, subject.manifest))).toEqual([two!.manifest]);
    const directory = `${ROOT}/_referrers/sha256/${subject.manifest.slice(7)}/sha256`;
    expect(await collect(backend.list(directory))).toEqual([`${directory}/${two!.manifest.slice(7)}`]);
    await client.unlink(repository, 'revision', subject.manifest);
    expect(await collect(client.listReferrers(repository, subject.manifest))).toEqual([two!.manifest]);
  });

  it.each([
    ['gone', undefined],
    ['out of reach', new UnavailableError('busy')],
  ])('go with their manifest when its bytes are %s', async (_what, failure) => {
    const { client, origin } = await startBuildIndex();
    const subject = addImage(origin, 'subject').manifest;
    const image = addImage(origin, 'signature', { subject });
    await linkImage(client, repository, image);
    await client.putReferrer(repository, subject, image.manifest);
    origin.blobs.delete(image.manifest);
    origin.failure = failure;
    await client.unlink(repository, 'revision', image.manifest);
    expect(await collect(client.listReferrers(repository, subject))).toEqual([]);
  });
});
