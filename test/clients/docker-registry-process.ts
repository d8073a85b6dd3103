import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { makeTempDir } from '../helpers/temp-dir.ts';

/** Starts distribution on a folder, for as long as a test runs. @returns its base URL */
export async function startDockerRegistry(folder: string): Promise<string> {
  const port = await freePort();
  const config = join(await makeTempDir(), 'config.yml');
  await writeFile(
    config,
    `version: 0.1
storage:
  filesystem:
    rootdirectory: ${folder}
  delete:
    enabled: true
http:
  addr: 127.0.0.1:${port}
`,
  );
  const child = spawn('docker-registry', ['serve', config], { stdio: 'ignore' });
  onTestFinished(() => end(child));
  const url = `http://127.0.0.1:${port}`;
  await expect
    .poll(
      () =>
        fetch(`${url}/v2/`).then(
          ({ status }) => status,
          () => 0,
        ),
      { timeout: 20_000 },
    )
    .toBe(200);
  return url;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
