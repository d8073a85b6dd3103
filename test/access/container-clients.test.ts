import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AccessConfig } from '../../src/access/index.ts';
import { systemClock } from '../../src/core/index.ts';
import type { ContainerClient } from '../clients/container-client.ts';
import { containerd } from '../clients/containerd-client.ts';
import { docker } from '../clients/docker-client.ts';
import { followSection } from '../clients/documented-steps.ts';
import { canIsolate, IsolatedHost } from '../clients/isolated-host.ts';
import { podman } from '../clients/podman-client.ts';
import { hasPrograms } from '../helpers/command.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { writeOciLayout } from '../registry/oci-layout.ts';
import { memoryDriver, serveRegistry } from '../registry/running-registry.ts';
import { htpasswdLine, openTestAccess, rule, writeHtpasswd } from './fixture.ts';
import { TokenServer } from './token-server.ts';
import { tokenConfig, writeKeys } from './tokens.ts';

const refused =
  /no basic auth credentials|unauthorized|authentication required|authorization failed|denied|401|403|Forbidden/i;

// Skipped only where namespaces cannot be made or programs are missing; never in CI.
const canRun = canIsolate() && hasPrograms('skopeo');

/** The table of docs/access.md is what these tests say. */
// Skipped only where a program, or root, is missing; in CI a skipped test counts as a failure.
describe.skipIf(!canRun)('container clients', { timeout: 60_000 }, () => {
  let host: IsolatedHost;
  beforeAll(async () => {
    host = await IsolatedHost.start();
  });
  afterAll(() => host?.stop());

  /** Serves an image as `public/app` and `team/app`. @returns the registry's address */
  async function serve(config: Partial<AccessConfig>): Promise<string> {
    const driver = await memoryDriver();
    const open = await serveRegistry(driver);
    const layout = join(await makeTempDir(), 'image');
    await writeOciLayout(layout);
    for (const repository of ['public/app', 'team/app']) {
      const target = `docker://${new URL(open.url).host}/${repository}:v1`;
      await host.run('skopeo', ['copy', '--dest-tls-verify=false', `oci:${layout}:v1`, target]);
    }
    const access = await openTestAccess(config, { clock: systemClock });
    const { url } = await serveRegistry(driver, { access });
    const { host: address } = new URL(url);
    await followSection(host, 'Plain HTTP on loopback', { 'localhost:16000': address });
    return address;
  }

  async function servePasswords(): Promise<string> {
    return serve({
      htpasswd: { file: await writeHtpasswd(htpasswdLine('alice', 'secret')), realm: 'Shoal' },
      rules: [rule(['alice'], ['team/*', 'public/*'], ['pull', 'push']), rule(['anonymous'], ['public/*'], ['pull'])],
    });
  }

  async function serveTokens(): Promise<string> {
    const grants = { 'team/app': ['pull', 'push'], 'team/copy': ['pull', 'push'], 'public/app': ['pull'] };
    const tokens = await TokenServer.start({
      alice: { password: 'secret', grants },
      '': { password: '', grants: { 'public/app': ['pull'] } },
    });
    return serve({ token: tokenConfig(await writeKeys([tokens.key]), { realm: tokens.realm }) });
  }

  for (const kind of [docker, podman, containerd]) {
    // Skipped only where the program is missing; never in CI.
    describe.skipIf(!hasPrograms(...kind.programs))(kind.name, () => {
      let client: ContainerClient;
      beforeAll(async () => {
        client = await kind.start(host);
      });

      /** What is said is `ok`, or the reason of the failure. */
      const attempt = (done: Promise<unknown>) =>
        done.then(
          () => 'ok',
          (error: Error) => error.message,
        );
      const pull = (registry: string, repository: string) => attempt(client.pull(`${registry}/${repository}:v1`));
      const login = (registry: string, password: string) => attempt(client.login(registry, 'alice', password));
      /** Pushes what was pulled as `from`. */
      const push = async (registry: string, from: string, repository: string) => {
        const name = `${registry}/${repository}:v1`;
        await client.tag(`${registry}/${from}:v1`, name);
        return attempt(client.push(name));
      };

      it.for([
        ['passwords', servePasswords],
        ['tokens', serveTokens],
      ] as const)('uses %s', async ([way, start]) => {
        const registry = await start();
        if (kind.name !== 'containerd') expect(await login(registry, 'wrong')).toMatch(/unauthorized|invalid|denied/i);
        expect(await login(registry, 'secret')).toBe('ok');
        expect(await pull(registry, 'team/app')).toBe('ok');
        expect(await push(registry, 'team/app', 'team/copy')).toBe('ok');
        expect(await push(registry, 'team/app', 'other/copy')).toMatch(refused);
        await client.logout(registry);
        expect(await pull(registry, 'team/copy')).toMatch(refused);
        // docker gives up at the base route's challenge when it has no password to answer it with.
        const isTold = kind.name === 'docker' && way === 'passwords';
        const said = await pull(registry, 'public/app');
        if (isTold) expect(said).toMatch(/no basic auth credentials/);
        else expect(said).toBe('ok');
      });

      it('pulls where nobody can log in', async () => {
        const registry = await serve({ rules: [rule(['anonymous'], ['public/*'], ['pull'])] });
        expect(await pull(registry, 'public/app')).toBe('ok');
        expect(await pull(registry, 'team/app')).toMatch(refused);
        expect(await push(registry, 'public/app', 'public/copy')).toMatch(refused);
      });
    });
  }
});
