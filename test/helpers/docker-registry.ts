import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { stringify } from 'yaml';

/** Debian's package of distribution 2.8: the program that it brings. */
export const DOCKER_REGISTRY = 'docker-registry';

const READY_TIMEOUT_MS = 20_000;

/** A running docker-registry. */
export interface DockerRegistry {
  readonly url: string;
  /** Ends the process, and waits until it has; again without effect. */
  stop(): Promise<void>;
}

/** The storage of a docker-registry that keeps everything in a folder. */
export function folderStorage(rootdirectory: string): object {
  return { filesystem: { rootdirectory } };
}

/**
 * Starts docker-registry on a free port of the loopback; whoever starts it stops it.
 * @param storage as its configuration has it
 * @param sections further sections of its configuration; `http` is added to what it has anyway
 */
export async function startDockerRegistry(
  storage: object,
  { http, ...sections }: { readonly http?: object; readonly [section: string]: unknown } = {},
): Promise<DockerRegistry> {
  const directory = await mkdtemp(join(tmpdir(), 'shoal-test-'));
  const port = await freePort();
  const config = {
    version: '0.1',
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { ...storage, delete: { enabled: true } },
    http: { addr: `127.0.0.1:${port}`, relativeurls: true, secret: 'test', ...http },
    ...sections,
  };
  const file = join(directory, 'config.yml');
  await writeFile(file, stringify(config, { defaultStringType: 'QUOTE_DOUBLE' }));
  // Nothing else of the environment: variables of the S3 SDK and of the registry itself change what it does.
  const env = { PATH: process.env['PATH'], HOME: directory };
  const child = spawn(DOCKER_REGISTRY, ['serve', file], { stdio: ['ignore', 'ignore', 'pipe'], env });
  let said = '';
  child.stderr.on('data', (text: Buffer) => {
    said = (said + text.toString()).slice(-4_000);
  });
  const ended = once(child, 'close');
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
    await rm(directory, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${port}`;
  const endMs = performance.now() + READY_TIMEOUT_MS;
  while (performance.now() < endMs && child.exitCode === null) {
    const answer = await fetch(`${url}/v2/`).catch(() => undefined); // Not listening yet.
    if (answer?.status === 200) return { url, stop };
    await delay(20);
  }
  await stop();
  throw new Error(`${DOCKER_REGISTRY} did not get ready: ${said.trim() || 'without a word'}`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
