import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasPrograms } from '../helpers/command.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { clientKinds } from './client-kinds.ts';
import type { ContainerClient } from './container-client.ts';
import { type TestImage, writeImage } from './image-layouts.ts';
import { canIsolate } from './isolated-host.ts';
import { login, Registries, type RegistryWay, registryNames } from './registries.ts';

const ways = Object.keys(registryNames) as RegistryWay[];
const waysWithLogin: readonly RegistryWay[] = ['passwords over TLS', 'tokens over TLS'];
const refused = /no basic auth credentials|unauthorized|authentication required|authorization failed|denied/i;

// Skipped only where namespaces cannot be made or programs are missing; never in CI.
const canRun = canIsolate() && hasPrograms('skopeo', 'openssl');

/** Each client in each way, configured as docs/clients.md says; every image is one that nobody else has. */
// Skipped only where a program, or root, is missing; in CI a skipped test counts as a failure.
describe.skipIf(!canRun)('a registry process', { timeout: 60_000 }, () => {
  let registries: Registries;
  /** In every registry as `team/from-elsewhere`. */
  let elsewhere: TestImage;
  let directory: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'shoal-test-'));
    elsewhere = await writeImage(join(directory, 'image'));
    registries = await Registries.start();
    for (const name of Object.values(registryNames)) {
      const credentials = ['--dest-creds', `${login.user}:${login.password}`];
      const target = `docker://${name}/team/from-elsewhere:v1`;
      await registries.host.run('skopeo', ['copy', '--quiet', ...credentials, `oci:${elsewhere.layout}:v1`, target]);
    }
  });
  afterAll(async () => {
    await registries?.[Symbol.asyncDispose]();
    if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  });

  for (const kind of clientKinds) {
    // Skipped only where the program is missing; never in CI.
    describe.skipIf(!hasPrograms(...kind.programs))(`with ${kind.name}`, () => {
      let client: ContainerClient;
      beforeAll(async () => {
        client = await kind.start(registries.host);
      });

      it.for(ways)('takes and gives images: %s', async (way) => {
        const { stored } = registries.at(way);
        const registry = registryNames[way];
        const image = await writeImage(join(await makeTempDir(), 'image'));
        const repository = `team/by-${client.name}`;
        const name = `${registry}/${repository}:v1`;
        await client.load(image.layout, name);
        if (waysWithLogin.includes(way)) {
          await expect(client.push(name)).rejects.toThrow(refused);
          await client.login(registry, login.user, login.password);
        }
        const pushed = await client.push(name);
        expect(await stored.digestOf(repository)).toBe(pushed);
        expect(await stored.contentOf(repository)).toEqual(image.content);
        const other = `${registry}/team/from-elsewhere:v1`;
        expect(await client.pull(other)).toBe(elsewhere.digest);
        expect(await client.content(other)).toEqual(elsewhere.content);
        await client.remove(other);
        if (!waysWithLogin.includes(way)) return;
        await client.logout(registry);
        await expect(client.pull(other)).rejects.toThrow(refused);
      });
    });
  }
});
