import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasPrograms, run } from '../helpers/command.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { containerd } from './containerd-client.ts';
import { docker } from './docker-client.ts';
import { documentedSections, followSection } from './documented-steps.ts';
import { layoutDigest, writeImage } from './image-layouts.ts';
import { canIsolate, type IsolatedHost } from './isolated-host.ts';
import { buildah, podman } from './podman-client.ts';
import { login, Registries, registryNames } from './registries.ts';
import { RegistryProcess } from './registry-process.ts';

const pushHere = registryNames['passwords over TLS'];
const pullHere = registryNames['plain HTTP on loopback'];
const programs = ['skopeo', 'openssl', 'podman', 'buildah', 'dockerd', 'docker', 'containerd', 'ctr'];

// Skipped only where namespaces cannot be made or programs are missing; never in CI.
const canRun = canIsolate() && hasPrograms(...programs);

// Skipped only where a program, or root, is missing; in CI a skipped test counts as a failure.
describe.skipIf(!canRun)('docs/clients.md', { timeout: 60_000 }, () => {
  let registries: Registries;
  let host: IsolatedHost;
  let agent: RegistryProcess;

  beforeAll(async () => {
    registries = await Registries.start(['passwords over TLS']);
    host = registries.host;
    // What an agent is to clients: the same images, on loopback, for pulls only.
    agent = await RegistryProcess.start({
      host,
      config: {
        listen: { port: 16000 },
        parameters: { rootdirectory: registries.at('passwords over TLS').folder },
        registry: { readOnly: true },
      },
    });
    await followSection(host, 'Plain HTTP on loopback');
    await host.write('/root/password', login.password);
  });
  afterAll(async () => {
    await registries?.[Symbol.asyncDispose]();
    await agent?.[Symbol.asyncDispose]();
  });

  const newImage = async () => writeImage(join(await makeTempDir(), 'image'), 100_000);
  const stored = (repository: string) => registries.at('passwords over TLS').stored.contentOf(repository);

  it('has sections that are all followed here', async () => {
    expect(await documentedSections()).toEqual([
      'Certificates',
      'Plain HTTP on loopback',
      'docker',
      'podman and buildah',
      'skopeo',
      'containerd',
      'Kubernetes',
      "The registry's own name, from the agent",
    ]);
  });

  it('is right about docker', async () => {
    const client = await docker.start(host);
    const image = await newImage();
    await client.load(image.layout, 'app:v1');
    await followSection(host, 'docker');
    expect(await stored('team/app')).toEqual(image.content);
    for (const registry of [pushHere, pullHere]) {
      expect(await client.content(`${registry}/team/app:v1`)).toEqual(image.content);
    }
  });

  it('is right about podman and buildah', async () => {
    const client = await podman.start(host);
    const image = await newImage();
    await client.load(image.layout, 'localhost/app:v1');
    await followSection(host, 'podman and buildah');
    for (const repository of ['team/app', 'team/by-buildah']) expect(await stored(repository)).toEqual(image.content);
    expect(await client.content(`${pullHere}/team/app:v1`)).toEqual(image.content);
    expect(await (await buildah.start(host)).content(`${pushHere}/team/by-buildah:v1`)).toEqual(image.content);
  });

  it('is right about skopeo', async () => {
    const image = await newImage();
    await run('cp', ['-r', image.layout, host.pathOf('/root/app')]);
    await followSection(host, 'skopeo');
    expect(await stored('team/app')).toEqual(image.content);
    expect(await layoutDigest(host.pathOf('/root/pulled'))).toBe(image.digest);
    await expect(stored('team/copy')).rejects.toThrow(/ENOENT/);
  });

  it('is right about containerd, and its mirrors', async () => {
    await followSection(host, 'Kubernetes');
    expect(await host.run('containerd', ['config', 'dump'])).toContain('config_path = "/etc/containerd/certs.d"');
    const client = await containerd.start(host);
    const image = await newImage();
    await run('tar', ['-cf', host.pathOf('/root/app.tar'), '-C', image.layout, '.']);
    await followSection(host, 'containerd');
    expect(await stored('team/app')).toEqual(image.content);
    for (const registry of [pushHere, pullHere]) {
      expect(await client.content(`${registry}/team/app:v1`)).toEqual(image.content);
      await client.remove(`${registry}/team/app:v1`);
    }
    // Nobody is logged in: only what asks for no login can have given it.
    await expect(client.pull(`${pushHere}/team/app:v1`)).rejects.toThrow(/401 Unauthorized|authorization failed/);
    await followSection(host, "The registry's own name, from the agent");
    expect(await client.content(`${pushHere}/team/app:v1`)).toEqual(image.content);
    expect(await (await podman.start(host)).content(`${pushHere}/team/app:v1`)).toEqual(image.content);
    // The certificates alone are what other tests go by.
    await followSection(host, 'Certificates');
  });
});
