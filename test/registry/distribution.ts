import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Debian's package of distribution 2.8. */
export const DISTRIBUTION = 'docker-registry';

const READY_TIMEOUT_MS = 20_000;

/** distribution, running on an empty folder of its own. */
export interface Distribution {
  readonly url: string;
  /** Ends the process and removes its folder. */
  stop(): Promise<void>;
}

/** Starts distribution on a free port of the loopback, with what it can do switched on. The caller stops it. */
export async function startDistribution(): Promise<Distribution> {
  const directory = await mkdtemp(join(tmpdir(), 'shoal-test-'));
  const port = await freePort();
  const config = join(directory, 'config.yml');
  const lines = [
    'version: 0.1',
    'log: {level: error, accesslog: {disabled: true}}',
    `storage: {filesystem: {rootdirectory: ${join(directory, 'data')}}, delete: {enabled: true}}`,
    `http: {addr: "127.0.0.1:${port}", relativeurls: true, secret: test}`,
  ];
  await writeFile(config, lines.join('\n'));
  const child = spawn(DISTRIBUTION, ['serve', config], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
    await rm(directory, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${port}`;
  const endMs = performance.now() + READY_TIMEOUT_MS;
  while (performance.now() < endMs) {
    const answer = await fetch(`${url}/v2/`).catch(() => undefined); // Not listening yet.
    if (answer?.status === 200) return { url, stop };
    await delay(20);
  }
  await stop();
  throw new Error(`${DISTRIBUTION} did not get ready in ${READY_TIMEOUT_MS} ms`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (typeof address !== 'object' || address === null) throw new Error('the server has no port');
  return address.port;
}
