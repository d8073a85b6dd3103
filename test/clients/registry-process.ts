import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { IsolatedHost } from './isolated-host.ts';
import { StoredImages } from './stored-images.ts';

const shoal = fileURLToPath(new URL('../../bin/shoal.js', import.meta.url));

/** What a registry is started with beside a folder. */
export interface RegistryProcessOptions {
  /** Where it runs; without one on this machine, on 127.0.0.1 and a free port. */
  readonly host?: IsolatedHost;
  /** Sections of its configuration. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** A `shoal registry` process on a folder of its own, as people start it. */
export class RegistryProcess implements AsyncDisposable {
  readonly stored: StoredImages;
  readonly port: number;
  /** `rootdirectory` of its driver, when no other was given. */
  readonly folder: string;
  readonly #directory: string;
  readonly #child: ChildProcess;

  private constructor(directory: string, child: ChildProcess, port: number) {
    this.#directory = directory;
    this.#child = child;
    this.port = port;
    this.folder = join(directory, 'data');
    this.stored = new StoredImages(this.folder);
  }

  /** Starts it and waits until it listens. The caller disposes of it. */
  static async start({ host, config = {} }: RegistryProcessOptions = {}): Promise<RegistryProcess> {
    const directory = await mkdtemp(join(tmpdir(), 'shoal-test-'));
    const file = join(directory, 'registry.yaml');
    const listen = { host: '127.0.0.1', port: 0 };
    const parameters = { rootdirectory: join(directory, 'data') };
    await writeFile(file, stringify({ listen, parameters, ...config }));
    const args = [shoal, 'registry', '--config', file];
    const child =
      host === undefined
        ? spawn(process.execPath, [...args, '--exit-with-stdin'], { stdio: ['pipe', 'ignore', 'pipe'] })
        : host.start(process.execPath, args);
    child.stdin?.on('error', () => {}); // It has ended.
    child.stdout?.resume();
    try {
      return new RegistryProcess(directory, child, await untilListens(child));
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** The address that clients name it by, when it runs on this machine. */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get url(): string {
    return `http://${this.address}`;
  }

  /** Ends it (on an isolated host the host does that) and removes its folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGKILL');
      await once(this.#child, 'exit');
    }
    await rm(this.#directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** @returns the port, as its log has it */
async function untilListens(child: ChildProcess): Promise<number> {
  let said = '';
  return new Promise((resolve, reject) => {
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-8000);
      const match = /"port":(\d+),.*"msg":"registry listens"/.exec(said);
      if (match !== null) resolve(Number(match[1]));
    });
    child.once('close', () => reject(new Error(`shoal registry ended:\n${said}`)));
  });
}
