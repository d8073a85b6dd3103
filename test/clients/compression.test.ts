import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { hashBytes } from '../../src/core/index.ts';
import { hasPrograms } from '../helpers/command.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { clientKinds } from './client-kinds.ts';
import { writeImage } from './image-layouts.ts';
import { canIsolate } from './isolated-host.ts';
import { PlainRegistry } from './plain-registry.ts';

// Skipped only where namespaces cannot be made or programs are missing; never in CI.
const canRun = canIsolate() && hasPrograms('skopeo');
const zstdType = 'application/vnd.oci.image.layer.v1.tar+zstd';

// Skipped only where a program, or root, is missing; in CI a skipped test counts as a failure.
describe.skipIf(!canRun)('layers compressed with zstd', { timeout: 60_000 }, () => {
  const registry = PlainRegistry.forAllTests();
  const layersOf = async (repository: string, tag = 'v1') => {
    const manifest = await registry.stored.blob(await registry.stored.digestOf(repository, tag));
    return JSON.parse(manifest.toString()).layers as { mediaType: string; size: number; annotations?: object }[];
  };

  // docker 20.10 fetches them, too, but cannot unpack them.
  for (const kind of clientKinds.filter(({ name }) => name !== 'docker')) {
    // Skipped only where the program is missing; never in CI.
    it.skipIf(!hasPrograms(...kind.programs))(`are pushed by skopeo and pulled by ${kind.name}`, async () => {
      const image = await writeImage(join(await makeTempDir(), 'image'), 100_000);
      const repository = `team/for-${kind.name}`;
      const name = `${registry.address}/${repository}:v1`;
      const copy = ['copy', '--quiet', '--dest-compress-format', 'zstd', `oci:${image.layout}:v1`, `docker://${name}`];
      await registry.host.run('skopeo', copy);
      expect((await layersOf(repository)).map(({ mediaType }) => mediaType)).toEqual([zstdType, zstdType]);
      expect(await registry.stored.contentOf(repository)).toEqual(image.content);
      const client = await kind.start(registry.host);
      expect(await client.pull(name)).toBe(await registry.stored.digestOf(repository));
      expect(await client.content(name)).toEqual(image.content);
    });
  }

  // Skipped only where the program is missing; never in CI.
  it.skipIf(!hasPrograms('buildah', 'podman'))('in chunks: podman asks for those alone that it lacks', async () => {
    const { host, address } = registry;
    // Only this driver can put layers together from chunks; it works on any machine above a file system in memory.
    await host.run('mount', ['-t', 'tmpfs', 'tmpfs', '/mnt']);
    await host.write('/root/chunks.conf', storageWithChunks);
    const inChunks = (program: string, ...args: string[]) =>
      host.run('env', ['CONTAINERS_STORAGE_CONF=/root/chunks.conf', program, ...args]);
    const files = new Map(Array.from({ length: 12 }, (_, index) => [`file${index}`, randomBytes(100_000)]));
    const push = async (tag: string) => {
      for (const [name, bytes] of files) await host.write(`/root/${tag}/${name}`, bytes);
      await host.write(`/root/${tag}/Dockerfile`, 'FROM scratch\nCOPY file* /\n');
      await inChunks('buildah', 'build', '--quiet', '--tag', `localhost/app:${tag}`, tag);
      const target = `docker://${address}/team/chunked:${tag}`;
      await inChunks('buildah', 'push', '--compression-format', 'zstd:chunked', `localhost/app:${tag}`, target);
    };
    await push('v1');
    // Apart from each other, so that one range is not enough.
    for (const name of ['file3', 'file7']) files.set(name, randomBytes(100_000));
    await push('v2');
    await inChunks('buildah', 'rmi', '--all', '--force');
    const pull = async (tag: string) => {
      const command = `podman --log-level debug pull ${address}/team/chunked:${tag} 2>&1`;
      const said = await inChunks('sh', '-c', command);
      return /Missing (\d+) bytes out of (\d+)/.exec(said)?.slice(1).map(Number);
    };
    expect(await pull('v1')).toEqual([1_200_000, 1_200_000].map(expectAbout));
    expect(await pull('v2')).toEqual([200_000, 1_200_000].map(expectAbout));
    const folder = (await inChunks('podman', 'image', 'mount', `${address}/team/chunked:v2`)).trim();
    for (const [name, bytes] of files) {
      const sum = await host.run('sha256sum', [join(folder, name)]);
      expect(`sha256:${sum.slice(0, 64)}`).toBe(hashBytes(bytes));
    }
  });
});

const storageWithChunks = `[storage]
driver = "overlay"
runroot = "/run/containers/chunks"
graphroot = "/mnt"

[storage.options]
pull_options = { enable_partial_images = "true" }
`;

/** The Dockerfile and the like go with the files. */
function expectAbout(bytes: number) {
  return expect.toSatisfy((found: number) => found >= bytes && found < bytes + 1000, `about ${bytes}`);
}
