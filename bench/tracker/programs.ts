import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { BenchRunError } from '../lib/errors.ts';
import { becomesTrue } from '../lib/monotonic.ts';
import type { Workbench } from '../lib/workbench.ts';

/** A program that runs until it is ended; its port is on 127.0.0.1. */
export interface RunningProgram {
  readonly pid: number;
  readonly port: number;
  /** Ends it at once. */
  kill(): Promise<void>;
  /** Ends it in order, and waits until it is gone. */
  stop(): Promise<void>;
}

/** Shoal's tracker as a process of its own, with its defaults but for this token and announce interval. */
export async function startTracker(
  bench: Workbench,
  options: { token: string; announceIntervalMs: number; profile?: string | undefined },
): Promise<RunningProgram> {
  const tokenFile = join(bench.directory, 'token');
  await writeFile(tokenFile, options.token, { mode: 0o600 });
  const port = await freePort();
  const { announceIntervalMs } = options;
  const common = { cluster: { tokenFile }, log: { level: 'warn' } };
  const config = { listen: { host: '127.0.0.1', port }, announceIntervalMs, ...common };
  const configFile = join(bench.directory, 'tracker.yaml');
  await writeFile(configFile, stringify(config), { mode: 0o600 });
  const shoal = fileURLToPath(new URL('../../bin/shoal.js', import.meta.url));
  const profiled = options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profile}`];
  const command = [process.execPath, ...profiled, shoal, 'tracker', '--config', configFile, '--exit-with-stdin'];
  const program = bench.keep(() => new Program(command, port));
  await program.whenItAnswers('/readyz', bench.signal);
  return program;
}

/** `opentracker`, serving these info hashes (Debian's build serves no others). Its folder is readable to all: it drops root. */
export async function startOpentracker(bench: Workbench, infoHashes: readonly string[]): Promise<RunningProgram> {
  await chmod(bench.directory, 0o755);
  await writeFile(join(bench.directory, 'served.txt'), `${infoHashes.join('\n')}\n`, { mode: 0o644 });
  const port = await freePort();
  const listen = ['-i', '127.0.0.1', '-p', String(port), '-P', String(port)];
  // It changes its root to that folder, so the file's name is all of its path.
  const command = ['opentracker', ...listen, '-d', bench.directory, '-w', 'served.txt'];
  const program = bench.keep(() => new Program(command, port));
  await program.whenItAnswers('/announce', bench.signal);
  return program;
}

/** A token for one run. */
export function makeToken(): string {
  return randomBytes(24).toString('hex');
}

class Program implements RunningProgram {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  #errors = '';

  constructor(command: readonly string[], port: number) {
    this.port = port;
    const [program, ...args] = command;
    this.#child = spawn(program!, args, { stdio: ['pipe', 'ignore', 'pipe'], detached: true });
    this.#exited = once(this.#child, 'close').catch((error: unknown) => {
      this.#errors = String(error);
    });
    this.#child.stdin!.on('error', () => {}); // It may be gone first.
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-4_000);
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async whenItAnswers(path: string, signal: AbortSignal): Promise<void> {
    const ask = async () => {
      try {
        return (await fetch(`http://127.0.0.1:${this.port}${path}`)).status > 0;
      } catch {
        return false; // Not yet.
      }
    };
    if (await becomesTrue(ask, { timeoutMs: 20_000, signal })) return;
    throw new BenchRunError(`${this.#child.spawnfile} does not answer: ${this.#errors.trim() || 'without a word'}`);
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.#exited;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (typeof address === 'object' && address !== null) return address.port;
  throw new BenchRunError('the system gave no port');
}
