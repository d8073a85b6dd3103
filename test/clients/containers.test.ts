import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Digest, hashBytes } from '../../src/core/index.ts';
import { TestCluster } from '../cluster/test-cluster.ts';
import { hasPrograms, run } from '../helpers/command.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { containerd } from './containerd-client.ts';
import { debianImage } from './debian-image.ts';
import { docker } from './docker-client.ts';
import { followSection } from './documented-steps.ts';
import { layoutBlobs, layoutDigest } from './image-layouts.ts';
import { canIsolate, IsolatedHost } from './isolated-host.ts';
import { podman } from './podman-client.ts';

// debootstrap needs root, as hosts do. In CI all are there, and a skipped test fails the run.
const canMakeImage = canIsolate() && hasPrograms('debootstrap', 'umoci', 'skopeo');

/** Real clients, as people use them: one push of a Debian image to the proxy, pulls from agents. */
// Skipped only where a program, or root, is missing; in CI a skipped test counts as a failure.
describe.skipIf(!canMakeImage)('a Debian image of 100 MB and more', { timeout: 300_000 }, () => {
  let cluster: TestCluster;
  let host: IsolatedHost;
  let layout: string;
  let pushed: Digest;

  beforeAll(async () => {
    layout = await debianImage();
    pushed = await layoutDigest(layout);
    cluster = await TestCluster.start();
    const target = `docker://${cluster.proxy.registry}/library/debian:v1`;
    await run('skopeo', ['copy', '--dest-tls-verify=false', `oci:${layout}:v1`, target]);
    host = await IsolatedHost.start();
    for (const { name, registry } of [cluster.proxy, ...cluster.agents]) {
      const names = { 'localhost:16000': registry, 'shoal.conf': `${name}.conf` };
      await followSection(host, 'Plain HTTP on loopback', names);
    }
  }, 300_000);
  afterAll(async () => {
    await host?.stop();
    await cluster?.stop();
  });

  it('comes back from every agent to skopeo with the same manifest digest and the same bytes', async () => {
    await Promise.all(
      cluster.agents.map(async (agent) => {
        const target = join(await makeTempDir(), 'image');
        const source = `docker://${agent.registry}/library/debian:v1`;
        await run('skopeo', ['copy', '--src-tls-verify=false', source, `oci:${target}:v1`]);
        expect(await layoutDigest(target)).toBe(pushed);
        const read = layoutBlobs(target);
        const { config, layers } = JSON.parse((await read(pushed)).toString()) as Manifest;
        for (const { digest } of [{ digest: pushed }, config, ...layers]) {
          expect(hashBytes(await read(digest))).toBe(digest);
        }
      }),
    );
  });

  for (const [index, kind] of [docker, podman, containerd].entries()) {
    // Skipped only where the program is missing; never in CI.
    it.skipIf(!hasPrograms(...kind.programs))(`is pulled by ${kind.name}, and pushed under another name`, async () => {
      const client = await kind.start(host);
      const agent = cluster.agents[index]!.registry;
      const name = `${agent}/library/debian:v1`;
      expect(await client.pull(name)).toBe(pushed);
      const repository = `copies/by-${kind.name}`;
      await client.tag(name, `${cluster.proxy.registry}/${repository}:v1`);
      const digest = await client.push(`${cluster.proxy.registry}/${repository}:v1`);
      const inspected = await host.run('skopeo', ['inspect', `docker://${agent}/${repository}:v1`]);
      expect(JSON.parse(inspected)).toMatchObject({ Digest: digest, RepoTags: ['v1'], Os: 'linux' });
    });
  }
});

interface Manifest {
  readonly config: { readonly digest: Digest };
  readonly layers: readonly { readonly digest: Digest }[];
}
