import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestCluster } from '../cluster/test-cluster.ts';
import { hasPrograms } from '../helpers/command.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { clientKinds } from './client-kinds.ts';
import type { ContainerClient } from './container-client.ts';
import { followSection } from './documented-steps.ts';
import { ownArchitecture, writeImage, writeIndex } from './image-layouts.ts';
import { canIsolate, IsolatedHost } from './isolated-host.ts';

// Skipped only where namespaces cannot be made or programs are missing; never in CI.
const canRun = canIsolate() && hasPrograms('skopeo');

/** Each client pushes to the proxy and pulls from an agent. Large images are pulled in containers.test.ts. */
// Skipped only where a program, or root, is missing; in CI a skipped test counts as a failure.
describe.skipIf(!canRun)('a cluster', { timeout: 60_000 }, () => {
  let cluster: TestCluster;
  let host: IsolatedHost;

  beforeAll(async () => {
    cluster = await TestCluster.start({ agents: 1, origins: 1 });
    host = await IsolatedHost.start();
    for (const { name, registry } of [cluster.proxy, cluster.agents[0]!]) {
      const names = { 'localhost:16000': registry, 'shoal.conf': `${name}.conf` };
      await followSection(host, 'Plain HTTP on loopback', names);
    }
  });
  afterAll(async () => {
    await host?.stop();
    await cluster?.stop();
  });

  for (const kind of clientKinds) {
    // Skipped only where the program is missing; never in CI.
    describe.skipIf(!hasPrograms(...kind.programs))(`with ${kind.name}`, () => {
      let client: ContainerClient;
      beforeAll(async () => {
        client = await kind.start(host);
      });

      it('gives by an agent what the proxy was given', async () => {
        const image = await writeImage(join(await makeTempDir(), 'image'));
        const nameAt = (registry: string) => `${registry}/team/by-${kind.name}:v1`;
        const [there, here] = [nameAt(cluster.proxy.registry), nameAt(cluster.agents[0]!.registry)];
        await client.load(image.layout, there);
        const pushed = await client.push(there);
        await client.remove(there);
        expect(await client.pull(here)).toBe(pushed);
        expect(await client.content(here)).toEqual(image.content);
      });

      it('gives the image of a platform out of an index', async () => {
        const index = await writeIndex(join(await makeTempDir(), 'index'), [ownArchitecture, 's390x']);
        const nameAt = (registry: string) => `${registry}/team/index-for-${kind.name}:v1`;
        const target = `docker://${nameAt(cluster.proxy.registry)}`;
        await host.run('skopeo', ['copy', '--quiet', '--all', `oci:${index.layout}:v1`, target]);
        const here = nameAt(cluster.agents[0]!.registry);
        const digest = await client.pull(here, 'linux/s390x');
        expect([index.digest, index.images['s390x']!.digest]).toContain(digest);
        expect(await client.content(here)).toEqual(index.images['s390x']!.content);
      });
    });
  }
});
