import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { Redis } from 'ioredis';
import { vi } from 'vitest';

export const REDIS_SERVER = '/usr/bin/redis-server';

/** A real Redis of a test's own, in memory only. Whoever starts it closes it. */
export class TestRedis {
  readonly port: number;
  #process: ChildProcess;

  static async start(port?: number): Promise<TestRedis> {
    const chosen = port ?? (await freePort());
    const redis = new TestRedis(chosen, spawnRedis(chosen));
    await redis.#answers();
    return redis;
  }

  private constructor(port: number, process: ChildProcess) {
    this.port = port;
    this.#process = process;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Runs one command, as another client would. */
  async command(name: string, ...parameters: string[]): Promise<unknown> {
    const client = new Redis(this.port, '127.0.0.1', { lazyConnect: true, retryStrategy: () => null });
    client.on('error', () => {});
    try {
      await client.connect();
      return await client.call(name, ...parameters);
    } finally {
      client.disconnect();
    }
  }

  /** Ends it at once, and all that it held with it. */
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await gone;
  }

  /** Starts it again on the same port, empty. */
  async restart(): Promise<void> {
    await this.kill();
    this.#process = spawnRedis(this.port);
    await this.#answers();
  }

  /** Keeps its connections open, and answers nothing until {@link resume}. */
  pause(): void {
    this.#process.kill('SIGSTOP');
  }

  resume(): void {
    this.#process.kill('SIGCONT');
  }

  async #answers(): Promise<void> {
    await vi.waitFor(() => this.command('PING'), { timeout: 10_000, interval: 20 });
  }
}

function spawnRedis(port: number): ChildProcess {
  const options = ['--port', String(port), '--save', '', '--appendonly', 'no', '--bind', '127.0.0.1'];
  return spawn(REDIS_SERVER, options, { stdio: 'ignore' });
}

/** A TCP port of 127.0.0.1 that nobody listens on. */
export async function freePort(): Promise<number> {
  const server: Server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  return address.port;
}
