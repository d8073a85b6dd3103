import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const program = join(
  dirname(dirname(fileURLToPath(import.meta.url))),
  'tools/azurite/node_modules/azurite/dist/src/blob/main.js',
);

/** The account that every Azurite has; its key is in Azurite's documentation and protects nothing. */
export const azuriteAccount = {
  accountname: 'devstoreaccount1',
  accountkey: 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==',
} as const;

/** A running Azurite. */
export interface Azurite {
  /** With the account: the driver's `serviceurl`. */
  readonly serviceUrl: string;
  readonly process: ChildProcess;
  /** Resolves when it has ended. */
  stop(): Promise<void>;
}

/**
 * Whether Azurite is installed. Without it, tests are skipped, and that is said aloud; in CI it always answers true, so that a
 * missing one fails its tests.
 */
export function hasAzurite(): boolean {
  if (process.env['CI'] === 'true' || existsSync(program)) return true;
  console.warn('SKIPPED: tests that need Azurite; npm run test:setup installs it');
  return false;
}

/** Starts Azurite on a free port, with everything in memory. Whoever starts it stops it. */
export async function startAzurite(): Promise<Azurite> {
  const options = ['--inMemoryPersistence', '--skipApiVersionCheck', '--disableTelemetry', '--silent'];
  const child = spawn(process.execPath, [program, ...options, '--blobHost', '127.0.0.1', '--blobPort', '0'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = once(child, 'exit');
  const url = await Promise.race([findUrl(child), ended.then(() => undefined)]);
  if (url === undefined) throw new Error(`Azurite ended before it listened; is it installed? ${program}`);
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  return { serviceUrl: `${url}/${azuriteAccount.accountname}`, process: child, stop };
}

async function findUrl(child: ChildProcess): Promise<string | undefined> {
  const { stdout } = child;
  if (stdout === null) return undefined;
  for await (const line of createInterface({ input: stdout })) {
    const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(line.replace(/:0$/, '')) ?? [];
    if (line.includes('successfully listens') && url !== undefined) {
      stdout.resume();
      return url;
    }
  }
  return undefined;
}
