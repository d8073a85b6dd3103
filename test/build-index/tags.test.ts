import { describe, expect, it } from 'vitest';
import {
  BlobNotFoundError,
  type Digest,
  hashBytes,
  InvalidManifestError,
  MANIFEST_MAX_BYTES,
  ManifestBlobUnknownError,
  mediaTypes,
  parseRepository,
  parseTag,
  RepositoryNotFoundError,
  TagNotFoundError,
  UnavailableError,
} from '../../src/core/index.ts';
import {
  addBlob,
  addImage,
  addIndex,
  collect,
  linkImage,
  plantFiles,
  startBuildIndex,
  type TestOrigin,
} from './cluster.ts';

const repository = parseRepository('team/app');
const other = parseRepository('team/other');
const tag = parseTag('v1');
const MANIFESTS = '/docker/registry/v2/repositories/team/app/_manifests';

function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

async function missingOf(call: Promise<unknown>): Promise<unknown> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ManifestBlobUnknownError);
  return (error as ManifestBlobUnknownError).details['missing'];
}

describe('setting a tag', () => {
  it('writes the files that distribution writes, without a newline', async () => {
    const { client, origin, backend } = await startBuildIndex();
    const image = addImage(origin, 'one');
    await linkImage(client, repository, image);
    await client.putTag(repository, tag, image.manifest);
    expect(await client.getTag(repository, tag)).toBe(image.manifest);
    for (const path of [`tags/v1/current/link`, `tags/v1/index/sha256/${hexOf(image.manifest)}/link`]) {
      expect((await backend.getContent(`${MANIFESTS}/${path}`)).toString()).toBe(image.manifest);
    }
  });

  it('moves a tag, and keeps the earlier manifest in its index', async () => {
    const { client, origin, backend } = await startBuildIndex();
    const [first, second] = [addImage(origin, 'one'), addImage(origin, 'two')];
    for (const image of [first, second]) await linkImage(client, repository, image);
    await client.putTag(repository, tag, first.manifest);
    await client.putTag(repository, tag, second.manifest);
    expect(await client.getTag(repository, tag)).toBe(second.manifest);
    const index = await collect(backend.list(`${MANIFESTS}/tags/v1/index/sha256`));
    expect(index.map((path) => path.split('/').at(-1))).toEqual([first, second].map((i) => hexOf(i.manifest)).sort());
  });

  it('is refused while something is missing, and names all of it', async () => {
    const { client, origin } = await startBuildIndex();
    const image = addImage(origin, 'one', { layers: 3 });
    expect(await missingOf(client.putTag(repository, tag, image.manifest))).toEqual([image.manifest]);
    await client.link(repository, 'revision', image.manifest);
    await client.link(repository, 'layer', image.layers[1]!);
    const expected = [image.config, image.layers[0], image.layers[2]];
    expect(await missingOf(client.putTag(repository, tag, image.manifest))).toEqual(expected);
    await expect(client.getTag(repository, tag)).rejects.toThrow(TagNotFoundError);
    await linkImage(client, repository, image);
    await client.putTag(repository, tag, image.manifest);
  });

  it('does not count links of another repository', async () => {
    const { client, origin } = await startBuildIndex();
    const image = addImage(origin, 'one');
    await linkImage(client, other, image);
    await client.link(repository, 'revision', image.manifest);
    expect(await missingOf(client.putTag(repository, tag, image.manifest))).toHaveLength(3);
  });

  it('does not count a layer that is linked as a revision only, nor a manifest that is linked as a layer only', async () => {
    const { client, origin } = await startBuildIndex();
    const image = addImage(origin, 'one', { layers: 1 });
    await client.link(repository, 'layer', image.manifest);
    expect(await missingOf(client.putTag(repository, tag, image.manifest))).toEqual([image.manifest]);
    await client.link(repository, 'revision', image.manifest);
    await client.link(repository, 'layer', image.config);
    await client.link(repository, 'revision', image.layers[0]!);
    expect(await missingOf(client.putTag(repository, tag, image.manifest))).toEqual(image.layers);
  });

  it('asks for the children of an index, which may be layers too', async () => {
    const { client, origin } = await startBuildIndex();
    const child = addImage(origin, 'child');
    const cacheLayer = addBlob(origin, 'a layer of a build cache');
    const index = addIndex(origin, [child.manifest, cacheLayer]);
    await client.link(repository, 'revision', index);
    expect(await missingOf(client.putTag(repository, tag, index))).toEqual([child.manifest, cacheLayer]);
    await linkImage(client, repository, child);
    await client.link(repository, 'layer', cacheLayer);
    await client.putTag(repository, tag, index);
    expect(await client.getTag(repository, tag)).toBe(index);
  });

  it('asks for the index alone when it is lenient, and still for all of an image', async () => {
    const { client, origin } = await startBuildIndex({ indexes: 'lenient' });
    const child = addImage(origin, 'child');
    const index = addIndex(origin, [child.manifest]);
    expect(await missingOf(client.putTag(repository, tag, index))).toEqual([index]);
    await client.link(repository, 'revision', index);
    await client.putTag(repository, tag, index);
    expect(await client.getTag(repository, tag)).toBe(index);
    await client.link(repository, 'revision', child.manifest);
    expect(await missingOf(client.putTag(repository, tag, child.manifest))).toHaveLength(1 + child.layers.length);
  });

  it('does not ask for a subject, nor for layers that stay elsewhere', async () => {
    const { client, origin } = await startBuildIndex();
    const config = addBlob(origin, '{}');
    const manifest = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest: config, size: 2 },
      layers: [
        { mediaType: mediaTypes.dockerForeignLayer, digest: hashBytes(Buffer.from('w')), size: 1, urls: ['https://x'] },
      ],
      subject: { mediaType: mediaTypes.ociManifest, digest: hashBytes(Buffer.from('gone')), size: 4 },
    };
    const digest = addBlob(origin, JSON.stringify(manifest));
    await client.link(repository, 'layer', config);
    await client.link(repository, 'revision', digest);
    await client.putTag(repository, tag, digest);
  });

  it('is refused for what is linked but whose bytes are gone', async () => {
    const { client, origin } = await startBuildIndex();
    const image = addImage(origin, 'one');
    await linkImage(client, repository, image);
    origin.blobs.delete(image.manifest);
    expect(await missingOf(client.putTag(repository, tag, image.manifest))).toEqual([image.manifest]);
  });

  it.each([
    ['that is no manifest', () => Buffer.from('a layer')],
    ['past the limit of manifests', () => Buffer.alloc(MANIFEST_MAX_BYTES + 1, ' ')],
  ])('is refused for a blob %s', async (_what, bytes) => {
    const { client, origin } = await startBuildIndex();
    const digest = addBlob(origin, bytes());
    await client.link(repository, 'revision', digest);
    await expect(client.putTag(repository, tag, digest)).rejects.toThrow(InvalidManifestError);
  });

  const hurts: readonly (readonly [string, Partial<TestOrigin>])[] = [
    ['does not answer', { failure: new UnavailableError('full') }],
    ['breaks off', { breakBodies: true }],
  ];

  it.each(hurts)('waits for better times when the origin %s', async (_what, hurt) => {
    const { client, origin } = await startBuildIndex();
    const image = addImage(origin, 'one');
    await linkImage(client, repository, image);
    Object.assign(origin, hurt);
    await expect(client.putTag(repository, tag, image.manifest)).rejects.toThrow(UnavailableError);
    await expect(client.getTag(repository, tag)).rejects.toThrow(TagNotFoundError);
    origin.failure = undefined;
    origin.breakBodies = false;
    await client.putTag(repository, tag, image.manifest);
  });

  it('does not believe bytes that have another digest', async () => {
    const { client, origin } = await startBuildIndex();
    const [image, evil] = [addImage(origin, 'one'), addImage(origin, 'evil', { layers: 0 })];
    await linkImage(client, repository, image);
    origin.blobs.set(image.manifest, evil.bytes);
    await expect(client.putTag(repository, tag, image.manifest)).rejects.toThrow(UnavailableError);
  });

  it('ends at one of the manifests when many set the same tag at once', async () => {
    const { client, origin, backend } = await startBuildIndex();
    const images = Array.from({ length: 8 }, (_, index) => addImage(origin, `image ${index}`, { layers: 1 }));
    for (const image of images) await linkImage(client, repository, image);
    await Promise.all(images.map((image) => client.putTag(repository, tag, image.manifest)));
    const digests = images.map((image) => image.manifest);
    expect(digests).toContain(await client.getTag(repository, tag));
    const index = await collect(backend.list(`${MANIFESTS}/tags/v1/index/sha256`));
    expect(index).toHaveLength(images.length);
  });
});

describe('deleting', () => {
  it('a tag takes the tag alone', async () => {
    const { client, origin } = await startBuildIndex();
    const image = addImage(origin, 'one');
    await linkImage(client, repository, image);
    for (const name of ['v1', 'v2']) await client.putTag(repository, parseTag(name), image.manifest);
    await client.deleteTag(repository, tag);
    await expect(client.getTag(repository, tag)).rejects.toThrow(TagNotFoundError);
    await expect(client.deleteTag(repository, tag)).rejects.toThrow(TagNotFoundError);
    expect(await collect(client.listTags(repository))).toEqual(['v2']);
    expect(await client.statBlob(repository, image.manifest)).toMatchObject({ links: ['revision'] });
  });

  it('the last tag leaves the repository, with no tags', async () => {
    const { client, origin } = await startBuildIndex();
    const image = addImage(origin, 'one');
    await linkImage(client, repository, image);
    await client.putTag(repository, tag, image.manifest);
    await client.deleteTag(repository, tag);
    expect(await collect(client.listTags(repository))).toEqual([]);
  });

  it('a revision takes the tags that point at it along, and no others', async () => {
    const { client, origin } = await startBuildIndex();
    const [one, two] = [addImage(origin, 'one'), addImage(origin, 'two')];
    for (const image of [one, two]) await linkImage(client, repository, image);
    await linkImage(client, other, one);
    for (const name of ['a', 'b', 'moved']) await client.putTag(repository, parseTag(name), one.manifest);
    await client.putTag(repository, parseTag('moved'), two.manifest);
    await client.putTag(other, tag, one.manifest);
    await client.unlink(repository, 'revision', one.manifest);
    expect(await collect(client.listTags(repository))).toEqual(['moved']);
    expect(await client.getTag(repository, parseTag('moved'))).toBe(two.manifest);
    expect(await client.getTag(other, tag)).toBe(one.manifest);
    await expect(client.statBlob(repository, one.manifest)).rejects.toThrow(BlobNotFoundError);
    await expect(client.unlink(repository, 'revision', one.manifest)).rejects.toThrow(BlobNotFoundError);
  });

  it('a revision never leaves a tag that points at nothing, whoever comes first', async () => {
    const { client, origin } = await startBuildIndex();
    for (let round = 0; round < 10; round += 1) {
      const image = addImage(origin, `round ${round}`, { layers: 1 });
      await linkImage(client, repository, image);
      const names = Array.from({ length: 6 }, (_, index) => parseTag(`t${index}`));
      const calls = [
        ...names.slice(0, 3).map((name) => client.putTag(repository, name, image.manifest)),
        client.unlink(repository, 'revision', image.manifest),
        ...names.slice(3).map((name) => client.putTag(repository, name, image.manifest)),
      ];
      const failures = (await Promise.allSettled(calls)).flatMap((r) => (r.status === 'rejected' ? [r.reason] : []));
      for (const failure of failures) expect(failure).toBeInstanceOf(ManifestBlobUnknownError);
      expect(await collect(client.listTags(repository))).toEqual([]);
    }
  });
});

describe('listing tags', () => {
  it('gives them in order of their bytes, a page at a time', async () => {
    const { client, origin, backend } = await startBuildIndex();
    const image = addImage(origin, 'one');
    await linkImage(client, repository, image);
    const names = ['1', '10', '2', 'A', 'Z', '_', 'a', 'a-b', 'a.b', 'a_b', 'ab', 'b'];
    for (const name of [...names].reverse()) await client.putTag(repository, parseTag(name), image.manifest);
    const sorted = [...names].sort();
    expect(await collect(client.listTags(repository))).toEqual(sorted);
    for (let limit = 1; limit <= names.length + 1; limit += 1) {
      expect(await collect(client.listTags(repository, { limit }))).toEqual(sorted.slice(0, limit));
    }
    for (const after of [...names, '', '0', 'a-', 'zzz', 'not/a tag', '~']) {
      const expected = sorted.filter((name) => name > after);
      expect(await collect(client.listTags(repository, { after }))).toEqual(expected);
      expect(await collect(client.listTags(repository, { after, limit: 2 }))).toEqual(expected.slice(0, 2));
    }
    expect(await collect(backend.list(`${MANIFESTS}/tags`))).toHaveLength(names.length);
  });

  it('goes on over as many pages as it takes', async () => {
    const { client, rootdirectory } = await startBuildIndex();
    const names = Array.from({ length: 2_345 }, (_, index) => `t${String(index).padStart(5, '0')}`);
    const links = names.map((name) => `${MANIFESTS}/tags/${name}/current/link`);
    await plantFiles(rootdirectory, links, hashBytes(Buffer.from('x')));
    expect(await collect(client.listTags(repository))).toEqual(names);
    expect(await collect(client.listTags(repository, { after: names[999]!, limit: 1_001 }))).toEqual(
      names.slice(1000, 2001),
    );
  });

  it('leaves out what an interrupted write has left: a tag without a pointer', async () => {
    const { client, origin, backend } = await startBuildIndex();
    const image = addImage(origin, 'one');
    await linkImage(client, repository, image);
    await client.putTag(repository, tag, image.manifest);
    const torn = `${MANIFESTS}/tags/torn/index/sha256/${hexOf(image.manifest)}/link`;
    await backend.putContent(torn, Buffer.from(image.manifest));
    expect(await collect(client.listTags(repository))).toEqual(['v1']);
    await expect(client.getTag(repository, parseTag('torn'))).rejects.toThrow(TagNotFoundError);
    await expect(client.deleteTag(repository, parseTag('torn'))).rejects.toThrow(TagNotFoundError);
    expect(await collect(backend.list(`${MANIFESTS}/tags`))).toEqual([`${MANIFESTS}/tags/v1`]);
  });

  it('takes a pointer without a digest for no tag, and a push mends it', async () => {
    const { client, origin, backend } = await startBuildIndex();
    const image = addImage(origin, 'one');
    await linkImage(client, repository, image);
    await backend.putContent(`${MANIFESTS}/tags/v1/current/link`, Buffer.alloc(0));
    await expect(client.getTag(repository, tag)).rejects.toThrow(TagNotFoundError);
    await client.putTag(repository, tag, image.manifest);
    expect(await client.getTag(repository, tag)).toBe(image.manifest);
  });

  it('of a repository that is not known is an error', async () => {
    const { client } = await startBuildIndex();
    await client.link(repository, 'layer', hashBytes(Buffer.from('blob of an upload')));
    await expect(collect(client.listTags(repository))).rejects.toThrow(RepositoryNotFoundError);
    await expect(collect(client.listTags(other))).rejects.toThrow(RepositoryNotFoundError);
  });
});
