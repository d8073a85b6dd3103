import { describe, expect, it, onTestFinished } from 'vitest';
import { type Digest, mediaTypes, parseRepository, parseTag, TagNotFoundError } from '../../src/core/index.ts';
import { hasPrograms } from '../helpers/command.ts';
import { DOCKER_REGISTRY, folderStorage, startDockerRegistry } from '../helpers/docker-registry.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import {
  addImage,
  addIndex,
  collect,
  linkImage,
  startBuildIndex,
  type TestBuildIndex,
  type TestImage,
} from './cluster.ts';
import { pushBlob, pushManifest } from './plain-pushes.ts';

const v1 = parseTag('v1');
const repositories = ['app', 'app-extra', 'app/x'].map(parseRepository);
const [app, , nested] = repositories as [
  ReturnType<typeof parseRepository>,
  unknown,
  ReturnType<typeof parseRepository>,
];

async function push(
  baseUrl: string,
  repository: string,
  reference: string,
  image: TestImage,
  bytesOf: (d: Digest) => Buffer,
) {
  for (const digest of [image.config, ...image.layers]) await pushBlob(baseUrl, repository, bytesOf(digest));
  await pushManifest(baseUrl, repository, reference, image.bytes);
}

async function resolve(baseUrl: string, repository: string, reference: string): Promise<string | null> {
  const accept = `${mediaTypes.ociManifest}, ${mediaTypes.ociIndex}`;
  const answer = await fetch(`${baseUrl}/v2/${repository}/manifests/${reference}`, { headers: { accept } });
  await answer.arrayBuffer();
  return answer.status === 200 ? answer.headers.get('docker-content-digest') : null;
}

/** A folder that docker-registry has written, served by a build-index, and the images in it. */
async function startOnWrittenFolder(): Promise<TestBuildIndex & { readonly one: TestImage; readonly two: TestImage }> {
  const rootdirectory = await makeTempDir();
  const buildIndex = await startBuildIndex({ rootdirectory });
  const { origin } = buildIndex;
  const bytesOf = (digest: Digest) => origin.blobs.get(digest)!;
  const [one, two] = [addImage(origin, 'one'), addImage(origin, 'two')];
  const registry = await startDockerRegistry(folderStorage(rootdirectory));
  onTestFinished(registry.stop);
  for (const repository of repositories) await push(registry.url, repository, 'v1', one, bytesOf);
  await push(registry.url, app, 'v1', two, bytesOf);
  await push(registry.url, app, 'first', one, bytesOf);
  await push(registry.url, app, two.manifest, two, bytesOf);
  await registry.stop();
  return { ...buildIndex, one, two };
}

// Skipped only where the program is missing; never in CI.
describe.skipIf(!hasPrograms(DOCKER_REGISTRY))('a folder that docker-registry has written', () => {
  it('is served as it is', async () => {
    const { client, one, two } = await startOnWrittenFolder();
    expect(await collect(client.listRepositories())).toEqual(['app', 'app-extra', 'app/x']);
    expect(await collect(client.listTags(app))).toEqual(['first', 'v1']);
    expect(await client.getTag(app, v1)).toBe(two.manifest);
    expect(await client.getTag(app, parseTag('first'))).toBe(one.manifest);
    expect(await client.getTag(nested, v1)).toBe(one.manifest);
    for (const digest of [two.config, ...two.layers]) {
      expect(await client.statBlob(app, digest)).toMatchObject({ links: ['layer'] });
    }
    expect(await client.statBlob(app, two.manifest)).toEqual({ sizeBytes: two.bytes.length, links: ['revision'] });
  });

  it('takes new tags and deletes, and docker-registry serves what has become of it', async () => {
    const { client, origin, rootdirectory, one, two } = await startOnWrittenFolder();
    const index = addIndex(origin, [one.manifest, two.manifest]);
    await client.link(app, 'revision', index);
    await client.putTag(app, parseTag('again'), two.manifest);
    await client.deleteTag(app, parseTag('first'));
    await client.unlink(nested, 'revision', one.manifest);
    await client.putTag(app, parseTag('index'), index);
    const mounted = parseRepository('team/new');
    await linkImage(client, mounted, one);
    await client.putTag(mounted, v1, one.manifest);
    const registry = await startDockerRegistry(folderStorage(rootdirectory));
    onTestFinished(registry.stop);
    // The build-index writes no blobs; the origins would have written this one back.
    await pushBlob(registry.url, app, origin.blobs.get(index)!);
    const { url: baseUrl } = registry;
    expect(await resolve(baseUrl, app, 'again')).toBe(two.manifest);
    expect(await resolve(baseUrl, app, 'v1')).toBe(two.manifest);
    expect(await resolve(baseUrl, app, 'first')).toBeNull();
    expect(await resolve(baseUrl, app, one.manifest)).toBe(one.manifest);
    expect(await resolve(baseUrl, app, 'index')).toBe(index);
    expect(await resolve(baseUrl, nested, 'v1')).toBeNull();
    expect(await resolve(baseUrl, nested, one.manifest)).toBeNull();
    expect(await resolve(baseUrl, mounted, 'v1')).toBe(one.manifest);
    const blob = await fetch(`${baseUrl}/v2/${mounted}/blobs/${one.layers[0]}`);
    expect(Buffer.from(await blob.arrayBuffer())).toEqual(origin.blobs.get(one.layers[0]!));
    const tags = (await (await fetch(`${baseUrl}/v2/${app}/tags/list`)).json()) as { tags: string[] };
    expect(tags.tags.sort()).toEqual(['again', 'index', 'v1']);
  });

  it('sees at once what docker-registry writes beside it', async () => {
    const { client, origin, rootdirectory } = await startOnWrittenFolder();
    await expect(client.getTag(app, parseTag('later'))).rejects.toThrow(TagNotFoundError);
    const registry = await startDockerRegistry(folderStorage(rootdirectory));
    onTestFinished(registry.stop);
    const later = addImage(origin, 'later');
    await push(registry.url, app, 'later', later, (digest) => origin.blobs.get(digest)!);
    expect(await client.getTag(app, parseTag('later'))).toBe(later.manifest);
    expect(await client.statBlob(app, later.config)).toMatchObject({ links: ['layer'] });
  });
});
