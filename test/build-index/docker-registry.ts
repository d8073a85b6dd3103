import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { type Digest, hashBytes } from '../../src/core/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

/** distribution's own registry, running on a folder. */
export interface DockerRegistry {
  readonly baseUrl: string;
  /** Ends the process, and waits until it has. */
  stop(): Promise<void>;
}

/** Debian's package of distribution 2.8. */
export const DOCKER_REGISTRY = 'docker-registry';

const READY_TIMEOUT_MS = 20_000;

/** Starts `docker-registry` on a free port of the loopback. */
export async function startDockerRegistry(rootdirectory: string): Promise<DockerRegistry> {
  const port = await freePort();
  const config = join(await makeTempDir(), 'config.yml');
  const text = [
    'version: 0.1',
    'log: { level: error }',
    `storage: { filesystem: { rootdirectory: ${JSON.stringify(rootdirectory)} }, delete: { enabled: true } }`,
    `http: { addr: "127.0.0.1:${port}" }`,
  ];
  await writeFile(config, text.join('\n'));
  const child = spawn(DOCKER_REGISTRY, ['serve', config], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  const stop = async () => {
    child.kill('SIGTERM');
    await ended;
  };
  onTestFinished(stop);
  const baseUrl = `http://127.0.0.1:${port}`;
  await ready(baseUrl);
  return { baseUrl, stop };
}

async function ready(baseUrl: string): Promise<void> {
  const end = performance.now() + READY_TIMEOUT_MS;
  while (performance.now() < end) {
    const answer = await fetch(`${baseUrl}/v2/`).catch(() => undefined);
    if (answer?.status === 200) return;
    await delay(20);
  }
  throw new Error(`docker-registry at ${baseUrl} did not get ready`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

/** Pushes a blob in two requests, as clients do. */
export async function pushBlob(baseUrl: string, repository: string, bytes: Buffer): Promise<Digest> {
  const digest = hashBytes(bytes);
  const begun = await fetch(`${baseUrl}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
  const location = new URL(begun.headers.get('location')!, baseUrl);
  location.searchParams.set('digest', digest);
  const headers = { 'content-type': 'application/octet-stream' };
  const answer = await fetch(location, { method: 'PUT', headers, body: new Uint8Array(bytes) });
  if (answer.status !== 201) throw new Error(`pushing a blob: ${answer.status} ${await answer.text()}`);
  return digest;
}

/** Pushes a manifest under a tag or its digest. */
export async function pushManifest(
  baseUrl: string,
  repository: string,
  reference: string,
  bytes: Buffer,
): Promise<void> {
  const { mediaType } = JSON.parse(bytes.toString('utf8')) as { mediaType: string };
  const answer = await fetch(`${baseUrl}/v2/${repository}/manifests/${reference}`, {
    method: 'PUT',
    headers: { 'content-type': mediaType },
    body: new Uint8Array(bytes),
  });
  if (answer.status !== 201) throw new Error(`pushing a manifest: ${answer.status} ${await answer.text()}`);
}
