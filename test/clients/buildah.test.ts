import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { hashBytes } from '../../src/core/index.ts';
import { hasPrograms } from '../helpers/command.ts';
import { canIsolate } from './isolated-host.ts';
import { PlainRegistry } from './plain-registry.ts';

const dockerfile = `FROM scratch AS base
COPY large /data/large
ENV NAME=value

FROM base
COPY small /data/small
`;

// Skipped only where namespaces cannot be made or programs are missing; never in CI.
const canRun = canIsolate() && hasPrograms('buildah', 'skopeo');

// Skipped only where a program, or root, is missing; in CI a skipped test counts as a failure.
describe.skipIf(!canRun)('buildah', { timeout: 60_000 }, () => {
  const registry = PlainRegistry.forAllTests();

  it('builds what another machine has built already from its cache in the registry', async () => {
    const { host, address } = registry;
    const files = { large: randomBytes(1_000_000), small: randomBytes(1000) };
    for (const [name, bytes] of Object.entries(files)) await host.write(`/root/context/${name}`, bytes);
    await host.write('/root/context/Dockerfile', dockerfile);
    const cache = `${address}/team/cache`;
    const on = (machine: string, ...args: string[]) => {
      return host.run('sh', ['-c', ['buildah', '--root', `/var/lib/${machine}`, ...args, '2>&1'].join(' ')]);
    };
    const build = (machine: string) =>
      on(machine, 'build', '--layers', '--cache-to', cache, '--cache-from', cache, '--tag', 'localhost/app', 'context');
    const first = await build('one');
    expect(first.match(/Pushing cache/g)).toHaveLength(3);
    await on('one', 'push', '--digestfile', '/root/digest', 'localhost/app', `docker://${address}/team/app:v1`);
    expect(await registry.stored.digestOf('team/app')).toBe(await host.read('/root/digest'));

    const second = await build('two');
    expect(second.match(/Cache pulled from remote/g)).toHaveLength(3);
    expect(second).not.toContain('Pushing cache');
    expect(imageIdIn(second)).toBe(imageIdIn(first));

    const container = (await on('three', 'from', `${address}/team/app:v1`)).trim().split('\n').at(-1)!;
    const folder = (await on('three', 'mount', container)).trim();
    for (const [name, bytes] of Object.entries(files)) {
      const sum = await host.run('sha256sum', [`${folder}/data/${name}`]);
      expect(`sha256:${sum.slice(0, 64)}`).toBe(hashBytes(bytes));
    }
  });
});

/** The last line of what a build says. */
function imageIdIn(said: string): string | undefined {
  return /^([0-9a-f]{64})$/m.exec(said)?.[1];
}
