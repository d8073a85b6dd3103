import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { TestCluster } from '../cluster/test-cluster.ts';
import { hasPrograms, run } from '../helpers/command.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { debianImage } from './debian-image.ts';

// debootstrap needs root. In CI all are there, and a skipped test fails the run.
const canMakeImage = hasPrograms('debootstrap', 'umoci', 'skopeo') && process.getuid?.() === 0;

/** Real clients, as people use them: one push of a Debian image to the proxy, pulls from agents. */
describe.skipIf(!canMakeImage)('a Debian image of 100 MB and more', { timeout: 300_000 }, () => {
  let cluster: TestCluster;
  let layout: string;
  let pushed: string;
  /** The same image, at an agent. */
  const agentOf = (name: string) => name.replace(cluster.proxy.registry, cluster.agents[2]!.registry);

  beforeAll(async () => {
    layout = await debianImage();
    cluster = await TestCluster.start();
    const target = `docker://${cluster.proxy.registry}/library/debian:v1`;
    await run('skopeo', ['copy', '--dest-tls-verify=false', `oci:${layout}:v1`, target]);
    pushed = await manifestDigest(layout);
  }, 300_000);
  afterAll(() => cluster?.stop());

  it('comes back from every agent to skopeo with the same manifest digest and the same bytes', async () => {
    await Promise.all(
      cluster.agents.map(async (agent) => {
        const target = join(await makeTempDir(), 'image');
        const source = `docker://${agent.registry}/library/debian:v1`;
        await run('skopeo', ['copy', '--src-tls-verify=false', source, `oci:${target}:v1`]);
        expect(await manifestDigest(target)).toBe(pushed);
        for (const blob of await blobsOf(layout)) {
          const path = ['blobs', 'sha256', blob];
          expect((await readFile(join(target, ...path))).equals(await readFile(join(layout, ...path)))).toBe(true);
        }
      }),
    );
  });

  // Skipped only where the program is missing; never in CI.
  it.skipIf(!hasPrograms('dockerd', 'docker'))('is pulled by docker, and pushed under another name', async () => {
    const directory = await makeTempDir();
    const socket = `unix://${directory}/d.sock`;
    const folders = [
      '--data-root',
      `${directory}/data`,
      '--exec-root',
      `${directory}/exec`,
      '--pidfile',
      `${directory}/pid`,
    ];
    await startDaemon(
      'dockerd',
      [...folders, '-H', socket, '--iptables=false', '--bridge=none'],
      `${directory}/d.sock`,
    );
    const name = `${cluster.agents[0]!.registry}/library/debian:v1`;
    const said = await run('docker', ['-H', socket, 'pull', name]);
    expect(said).toContain(pushed);
    expect(await run('docker', ['-H', socket, 'image', 'ls', '--format', '{{.Repository}}:{{.Tag}}'])).toContain(name);
    const copy = `${cluster.proxy.registry}/copies/by-docker:v1`;
    await run('docker', ['-H', socket, 'tag', name, copy]);
    expect(await run('docker', ['-H', socket, 'push', copy])).toContain('digest: sha256:');
    const inspected = await run('skopeo', ['inspect', '--tls-verify=false', `docker://${agentOf(copy)}`]);
    expect(JSON.parse(inspected)).toMatchObject({ RepoTags: ['v1'], Os: 'linux' });
  });

  // Skipped only where the program is missing; never in CI.
  it.skipIf(!hasPrograms('podman'))('is pulled by podman, and pushed under another name', async () => {
    const directory = await makeTempDir();
    const stores = ['--root', `${directory}/root`, '--runroot', `${directory}/run`, '--storage-driver=vfs'];
    const name = `${cluster.agents[1]!.registry}/library/debian:v1`;
    await run('podman', [...stores, 'pull', '--tls-verify=false', name]);
    expect(await run('podman', [...stores, 'image', 'ls', '--format', '{{.Digest}}'])).toContain(pushed);
    const copy = `${cluster.proxy.registry}/copies/by-podman:v1`;
    await run('podman', [...stores, 'push', '--tls-verify=false', name, copy]);
    const inspected = await run('skopeo', ['inspect', '--tls-verify=false', `docker://${agentOf(copy)}`]);
    expect(JSON.parse(inspected)).toMatchObject({ RepoTags: ['v1'], Os: 'linux' });
  });

  // Skipped only where the program is missing; never in CI.
  it.skipIf(!hasPrograms('containerd', 'ctr'))('is pulled by containerd', async () => {
    const directory = await makeTempDir();
    const socket = `${directory}/c.sock`;
    await startDaemon(
      'containerd',
      ['--root', `${directory}/root`, '--state', `${directory}/state`, '--address', socket],
      socket,
    );
    const name = `${cluster.agents[2]!.registry}/library/debian:v1`;
    await run('ctr', ['-a', socket, 'images', 'pull', '--plain-http', '--snapshotter', 'native', name]);
    expect(await run('ctr', ['-a', socket, 'images', 'ls'])).toContain(pushed);
  });
});

/** Starts a daemon that ends with the test, and waits for its socket. */
async function startDaemon(program: string, args: readonly string[], socket: string): Promise<void> {
  const child = spawn(program, [...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk) => {
    said = (said + chunk).slice(-4000);
  });
  onTestFinished(() => endDaemon(child));
  for (let attempt = 0; attempt < 600; attempt++) {
    if (existsSync(socket)) return;
    if (child.exitCode !== null) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${program} did not open ${socket}:\n${said}`);
}

async function endDaemon(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
  await once(child, 'exit');
  clearTimeout(timer);
}

async function manifestDigest(layout: string): Promise<string> {
  const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as { manifests: { digest: string }[] };
  return index.manifests[0]!.digest;
}

/** Hex digests of everything that the image's manifest consists of. */
async function blobsOf(layout: string): Promise<string[]> {
  const hex = (await manifestDigest(layout)).slice('sha256:'.length);
  const manifest = JSON.parse(await readFile(join(layout, 'blobs', 'sha256', hex), 'utf8')) as {
    config: { digest: string };
    layers: { digest: string }[];
  };
  return [hex, ...[manifest.config, ...manifest.layers].map(({ digest }) => digest.slice('sha256:'.length))];
}
