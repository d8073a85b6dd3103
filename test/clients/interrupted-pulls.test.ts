import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Digest } from '../../src/core/index.ts';
import { hasPrograms } from '../helpers/command.ts';
import type { ClientKind, ContainerClient } from './container-client.ts';
import { containerd } from './containerd-client.ts';
import { CuttingProxy } from './cutting-proxy.ts';
import { docker } from './docker-client.ts';
import { followSection } from './documented-steps.ts';
import { type TestImage, writeImage } from './image-layouts.ts';
import { canIsolate, IsolatedHost } from './isolated-host.ts';
import { buildah, podman } from './podman-client.ts';
import { RegistryProcess } from './registry-process.ts';
import { skopeo } from './skopeo-client.ts';

const cutAfterBytes = 3_000_000;

// Skipped only where namespaces cannot be made or programs are missing; never in CI.
const canRun = canIsolate() && hasPrograms('skopeo');

// Skipped only where a program, or root, is missing; in CI a skipped test counts as a failure.
describe.skipIf(!canRun)('a pull whose connection breaks off', { timeout: 60_000 }, () => {
  let directory: string;
  let registry: RegistryProcess;
  let host: IsolatedHost;
  let image: TestImage;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'shoal-test-'));
    image = await writeImage(join(directory, 'image'), 5_000_000);
    registry = await RegistryProcess.start();
    host = await IsolatedHost.start();
    const target = `docker://${registry.address}/team/app:v1`;
    await host.run('skopeo', ['copy', '--quiet', '--dest-tls-verify=false', `oci:${image.layout}:v1`, target]);
  });
  afterAll(async () => {
    await host?.stop();
    await registry?.[Symbol.asyncDispose]();
    if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  });

  /** Pulls through a proxy that cuts the connection, by `pull`, and gives what was asked of the layer that was cut. */
  async function pullThroughCuts(kind: ClientKind, pull: (client: ContainerClient, name: string) => Promise<Digest>) {
    await using proxy = await CuttingProxy.start(registry.url, cutAfterBytes);
    await followSection(host, 'Plain HTTP on loopback', { 'localhost:16000': proxy.address });
    const client = await kind.start(host);
    const name = `${proxy.address}/team/app:v1`;
    expect(await pull(client, name)).toBe(image.digest);
    expect(await client.content(name)).toEqual(image.content);
    await client.remove(name);
    return proxy.requests.map(({ range, status }) => ({ range, status }));
  }

  const whole = { range: undefined, status: 200 };
  const rest = { range: `bytes=${cutAfterBytes}-`, status: 206 };

  for (const kind of [docker, containerd]) {
    // Skipped only where the program is missing; never in CI.
    it.skipIf(!hasPrograms(...kind.programs))(`is gone on with by ${kind.name} where it broke off`, async () => {
      expect(await pullThroughCuts(kind, (client, name) => client.pull(name))).toEqual([whole, rest]);
    });
  }

  for (const kind of [podman, buildah, skopeo]) {
    // Skipped only where the program is missing; never in CI.
    it.skipIf(!hasPrograms(...kind.programs))(`fails with ${kind.name}, and succeeds when it is repeated`, async () => {
      const requests = await pullThroughCuts(kind, async (client, name) => {
        // Those of Debian 12 give up; later ones (containers/image 5.24) go on as docker does.
        return client.pull(name).catch((error: Error) => {
          expect(error.message).toMatch(/unexpected EOF/);
          return client.pull(name);
        });
      });
      expect(requests).toEqual([whole, expect.toBeOneOf([whole, rest])]);
    });
  }
});
