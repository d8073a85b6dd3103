import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Digest } from '../../src/core/index.ts';
import { hasPrograms } from '../helpers/command.ts';
import { clientKinds } from './client-kinds.ts';
import type { ContainerClient } from './container-client.ts';
import {
  layoutBlobs,
  layoutDigest,
  ownArchitecture,
  readContent,
  type TestIndex,
  writeIndex,
} from './image-layouts.ts';
import { canIsolate } from './isolated-host.ts';
import { PlainRegistry } from './plain-registry.ts';

const foreignArchitecture = 's390x';

// Skipped only where namespaces cannot be made or programs are missing; never in CI.
const canRun = canIsolate() && hasPrograms('skopeo');

// Skipped only where a program, or root, is missing; in CI a skipped test counts as a failure.
describe.skipIf(!canRun)('an image for several platforms', { timeout: 60_000 }, () => {
  const registry = PlainRegistry.forAllTests();
  const name = `${registry.address}/team/index:v1`;
  let index: TestIndex;

  beforeAll(async () => {
    const architectures = [...new Set(['amd64', 'arm64', ownArchitecture, foreignArchitecture])];
    index = await writeIndex(join(registry.directory, 'index'), architectures);
    await registry.host.run('skopeo', ['copy', '--quiet', '--all', `oci:${index.layout}:v1`, `docker://${name}`]);
  });

  /** Compares an index with the one that was made: every image in it, every byte. */
  async function expectWhole(digest: Digest, read: (digest: Digest) => Promise<Buffer>): Promise<void> {
    const { manifests } = JSON.parse((await read(digest)).toString()) as { manifests: IndexEntry[] };
    const found: Record<string, unknown> = {};
    for (const { digest: child, platform } of manifests) {
      found[platform.architecture] = { digest: child, content: await readContent(child, read) };
    }
    expect(found).toEqual(index.images);
  }

  it('is pushed whole by skopeo, and comes back whole', async () => {
    expect(await registry.stored.digestOf('team/index')).toBe(index.digest);
    await expectWhole(index.digest, (digest) => registry.stored.blob(digest));
    await registry.host.run('skopeo', ['copy', '--quiet', '--all', `docker://${name}`, 'oci:/root/whole:v1']);
    const layout = registry.host.pathOf('/root/whole');
    expect(await layoutDigest(layout)).toBe(index.digest);
    await expectWhole(index.digest, layoutBlobs(layout));
  });

  // Skipped only where the program is missing; never in CI.
  it.skipIf(!hasPrograms('buildah'))(
    'is pushed whole by buildah, image by image into an index of its own',
    async () => {
      const list = 'localhost/made-by-buildah';
      await registry.host.run('buildah', ['manifest', 'create', list]);
      await registry.host.run('buildah', ['manifest', 'add', '--all', list, `oci:${index.layout}:v1`]);
      const target = `docker://${registry.address}/team/index-by-buildah:v1`;
      await registry.host.run('buildah', [
        'manifest',
        'push',
        '--all',
        '--digestfile',
        '/root/list-digest',
        list,
        target,
      ]);
      const digest = await registry.stored.digestOf('team/index-by-buildah');
      expect(await registry.host.read('/root/list-digest')).toBe(digest);
      await expectWhole(digest, (wanted) => registry.stored.blob(wanted));
    },
  );

  // Skipped only where the program is missing; never in CI.
  it.skipIf(!hasPrograms('podman'))('is pushed whole by podman, image by image into an index of its own', async () => {
    const list = 'localhost/made-by-podman';
    await registry.host.run('podman', ['manifest', 'create', '--all', list, `docker://${name}`]);
    const target = `docker://${registry.address}/team/index-by-podman:v1`;
    await registry.host.run('podman', ['manifest', 'push', '--all', list, target]);
    await expectWhole(await registry.stored.digestOf('team/index-by-podman'), (digest) => registry.stored.blob(digest));
  });

  for (const kind of clientKinds) {
    // Skipped only where the program is missing; never in CI.
    describe.skipIf(!hasPrograms(...kind.programs))(`with ${kind.name}`, () => {
      let client: ContainerClient;
      beforeAll(async () => {
        client = await kind.start(registry.host);
      });

      it.for([
        ['of this machine', undefined, ownArchitecture],
        ['of another machine', `linux/${foreignArchitecture}`, foreignArchitecture],
      ] as const)('gives the image %s', async ([, platform, architecture]) => {
        const image = index.images[architecture]!;
        // skopeo asks for the index, and then for the image by its digest: the only one that it speaks of.
        expect(await client.pull(name, platform)).toBe(kind.name === 'skopeo' ? image.digest : index.digest);
        expect(await client.content(name)).toEqual(image.content);
        await client.remove(name);
      });

      if (kind.name !== 'containerd') return;
      it('is pulled whole and pushed whole, with the same digest', async () => {
        const copy = `${registry.address}/team/index-by-containerd:v1`;
        const images = (...args: string[]) => registry.host.run('ctr', ['images', ...args]);
        await images('pull', '--all-platforms', name);
        await client.tag(name, copy);
        await images('push', copy);
        expect(await registry.stored.digestOf('team/index-by-containerd')).toBe(index.digest);
      });
    });
  }
});

interface IndexEntry {
  readonly digest: Digest;
  readonly platform: { readonly architecture: string };
}
