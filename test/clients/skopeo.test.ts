import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Digest, hashBytes, mediaTypes } from '../../src/core/index.ts';
import { hasPrograms } from '../helpers/command.ts';
import { LayoutWriter, layoutDigest, readContent, type TestImage, writeImage, writeIndex } from './image-layouts.ts';
import { canIsolate } from './isolated-host.ts';
import { PlainRegistry } from './plain-registry.ts';

// Skipped only where namespaces cannot be made or programs are missing; never in CI.
const canRun = canIsolate() && hasPrograms('skopeo');

// Skipped only where a program, or root, is missing; in CI a skipped test counts as a failure.
describe.skipIf(!canRun)('skopeo', { timeout: 60_000 }, () => {
  const registry = PlainRegistry.forAllTests();
  const nameOf = (repository: string, tag = 'v1') => `docker://${registry.address}/${repository}:${tag}`;
  const skopeo = (...args: string[]) => registry.host.run('skopeo', args);
  const copy = (...args: string[]) => skopeo('copy', '--quiet', ...args);
  const images: TestImage[] = [];

  beforeAll(async () => {
    for (const name of ['one', 'two']) images.push(await writeImage(join(registry.directory, name), 100_000));
  });

  it('lists tags, and inspects an image', async () => {
    const [image] = images;
    for (const tag of ['v2', 'v1', 'latest']) await copy(`oci:${image!.layout}:v1`, nameOf('team/listed', tag));
    const listed = JSON.parse(await skopeo('list-tags', `docker://${registry.address}/team/listed`));
    expect(listed.Tags).toEqual(['latest', 'v1', 'v2']);
    const inspected = JSON.parse(await skopeo('inspect', nameOf('team/listed')));
    expect(inspected).toMatchObject({ Digest: image!.digest, RepoTags: ['latest', 'v1', 'v2'], Os: 'linux' });
    expect(inspected.Layers).toHaveLength(2);
    expect(hashBytes(Buffer.from(await skopeo('inspect', '--raw', nameOf('team/listed'))))).toBe(image!.digest);
    const config = await skopeo('inspect', '--config', '--raw', nameOf('team/listed'));
    expect(hashBytes(Buffer.from(config))).toBe(image!.content.config);
  });

  it('deletes an image with all of its tags, and nothing else', async () => {
    const [one, two] = images;
    for (const tag of ['v1', 'same']) await copy(`oci:${one!.layout}:v1`, nameOf('team/deleted', tag));
    await copy(`oci:${two!.layout}:v1`, nameOf('team/deleted', 'other'));
    await skopeo('delete', nameOf('team/deleted', 'v1'));
    for (const tag of ['v1', 'same']) {
      await expect(skopeo('inspect', nameOf('team/deleted', tag))).rejects.toThrow(/manifest unknown/);
    }
    const listed = JSON.parse(await skopeo('list-tags', `docker://${registry.address}/team/deleted`));
    expect(listed.Tags).toEqual(['other']);
    await copy(nameOf('team/deleted', 'other'), 'oci:/root/other:v1');
    expect(await layoutDigest(registry.host.pathOf('/root/other'))).toBe(two!.digest);
    await expect(skopeo('delete', nameOf('team/deleted', 'v1'))).rejects.toThrow(
      /Image may not exist|manifest unknown/,
    );
  });

  it('syncs a folder of images to the registry, and the registry to a folder', async () => {
    const [one, two] = images;
    await registry.host.run('mkdir', ['-p', '/root/synced/group']);
    await copy(`oci:${one!.layout}:v1`, 'dir:/root/synced/group/app:v1');
    await copy(`oci:${two!.layout}:v1`, 'dir:/root/synced/group/app:v2');
    const sync = (...args: string[]) => skopeo('sync', ...args);
    await sync('--src', 'dir', '--dest', 'docker', '/root/synced', `${registry.address}/mirror`);
    expect(await registry.stored.contentOf('mirror/app', 'v1')).toEqual(one!.content);
    expect(await registry.stored.contentOf('mirror/app', 'v2')).toEqual(two!.content);
    await sync('--src', 'dir', '--dest', 'docker', '--scoped', '/root/synced', `${registry.address}/mirror`);
    expect(await registry.stored.digestOf('mirror/group/app', 'v2')).toBe(two!.digest);
    await sync('--src', 'docker', '--dest', 'dir', '--scoped', `${registry.address}/mirror/app`, '/root/back');
    for (const [tag, image] of [
      ['v1', one],
      ['v2', two],
    ] as const) {
      const manifest = await registry.host.read(`/root/back/${registry.address}/mirror/app:${tag}/manifest.json`);
      expect(hashBytes(Buffer.from(manifest))).toBe(image!.digest);
    }
  });

  it('syncs an index whole from repository to repository', async () => {
    const index = await writeIndex(join(registry.directory, 'index'), ['amd64', 'arm64']);
    await copy('--all', `oci:${index.layout}:v1`, nameOf('team/index'));
    const [from, to] = [`${registry.address}/team/index`, `${registry.address}/copies`];
    await skopeo('sync', '--all', '--src', 'docker', '--dest', 'docker', from, to);
    expect(await registry.stored.digestOf('copies/index')).toBe(index.digest);
    for (const { digest, content } of Object.values(index.images)) {
      const found = await readContent(digest, (wanted) => registry.stored.blob(wanted));
      expect(found).toEqual(content);
    }
  });

  it('copies an image with the sigstore signatures that are attached to it', async () => {
    const [image] = images;
    // cosign and its like keep the signatures of an image under this tag, in the same repository.
    const signatureTag = `${image!.digest.replace(':', '-')}.sig`;
    const conf = `docker:\n  ${registry.address}:\n    use-sigstore-attachments: true\n`;
    await registry.host.write('/etc/containers/registries.d/sigstore.yaml', conf);
    await copy(`oci:${image!.layout}:v1`, nameOf('team/signed'));
    const signature = await writeSignature(join(registry.directory, 'signature'), image!.digest);
    await copy(`oci:${signature.layout}:v1`, nameOf('team/signed', signatureTag));
    await copy(nameOf('team/signed'), nameOf('copies/signed'));
    const attached = await registry.stored.blob(await registry.stored.digestOf('copies/signed', signatureTag));
    const [layer] = JSON.parse(attached.toString()).layers;
    expect(layer.annotations).toEqual(signature.annotations);
    expect((await registry.stored.blob(layer.digest)).toString()).toBe(signature.payload);
  });
});

/** A signature as cosign attaches it. Nobody verifies it here, so that its last bytes may be any. */
async function writeSignature(layout: string, digest: Digest) {
  const critical = { type: 'cosign container image signature', image: { 'docker-manifest-digest': digest } };
  const payload = JSON.stringify({ critical, optional: null });
  const annotations = { 'dev.cosignproject.cosign/signature': randomBytes(70).toString('base64') };
  const writer = new LayoutWriter(layout);
  const layer = await writer.put('application/vnd.dev.cosign.simplesigning.v1+json', Buffer.from(payload));
  const rootfs = { type: 'layers', diff_ids: [layer.digest] };
  const config = { architecture: '', os: '', config: {}, rootfs };
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: await writer.put(mediaTypes.ociConfig, Buffer.from(JSON.stringify(config))),
    layers: [{ ...layer, annotations }],
  };
  await writer.finish(await writer.put(mediaTypes.ociManifest, Buffer.from(JSON.stringify(manifest))));
  return { layout, payload, annotations };
}
