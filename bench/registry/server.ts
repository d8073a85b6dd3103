import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { BenchRunError } from '../lib/errors.ts';
import { becomesTrue } from '../lib/monotonic.ts';

const START_TIMEOUT_MS = 20_000;
/** Of what a server says on standard error, the end is kept for messages. */
const KEPT_ERROR_CHARACTERS = 4_000;

/** A server as a process of its own, on a port of 127.0.0.1. Whoever starts it kills it. */
export class Server {
  readonly port: number;
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  #errors = '';
  #hasExited = false;

  /** @param quiet standard error goes nowhere, for a server that logs every request there */
  constructor(command: readonly [string, ...string[]], options: { readonly port: number; readonly quiet: boolean }) {
    const [program, ...args] = command;
    this.#name = program;
    this.port = options.port;
    const stderr = options.quiet ? 'ignore' : 'pipe';
    this.#child = spawn(program, args, { stdio: ['pipe', 'ignore', stderr], detached: true });
    this.#exited = once(this.#child, 'close').catch((error: unknown) => {
      this.#errors = String(error);
    });
    this.#child.once('exit', () => {
      this.#hasExited = true;
    });
    this.#child.stdin!.on('error', () => {}); // It may be gone first.
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-KEPT_ERROR_CHARACTERS);
    });
  }

  /** 0 when it could not be started. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Resolves when it serves the registry API. @throws BenchRunError when it does not within 20 s */
  async whenReady(signal: AbortSignal): Promise<void> {
    const ask = async () => {
      if (this.#hasExited) throw this.#failure('ended');
      try {
        return (await fetch(`${this.baseUrl}/v2/`, { signal })).status === 200;
      } catch {
        return false; // Not yet.
      }
    };
    if (!(await becomesTrue(ask, { timeoutMs: START_TIMEOUT_MS, signal }))) throw this.#failure('does not answer');
  }

  /** Ends it at once, with all processes that it has started, and waits until it is gone. */
  async kill(): Promise<void> {
    try {
      if (this.pid > 0 && !this.#hasExited) process.kill(-this.pid, 'SIGKILL');
    } catch {
      // Gone in this moment.
    }
    await this.#exited;
  }

  #failure(what: string): BenchRunError {
    return new BenchRunError(`${this.#name} on port ${this.port} ${what}: ${this.#errors.trim() || 'without a word'}`);
  }
}

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (typeof address === 'object' && address !== null) return address.port;
  throw new BenchRunError('the system gave no port');
}
