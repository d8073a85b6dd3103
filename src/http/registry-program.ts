import type { FastifyInstance } from 'fastify';
import { type RegistryListenConfig, refuseOpenListener } from '../config/index.ts';
import { isLoopback, listen } from './service.ts';

/** A program that serves the registry API, once it listens. Whoever started it closes it. */
export class RegistryProgram implements AsyncDisposable {
  /** The port that it listens on. */
  readonly port: number;
  readonly #app: FastifyInstance;
  readonly #parts: AsyncDisposableStack;

  private constructor(port: number, app: FastifyInstance, parts: AsyncDisposableStack) {
    this.port = port;
    this.#app = app;
    this.#parts = parts;
  }

  /**
   * Opens everything and listens.
   *
   * @param compose builds the server; what has to be closed is deferred on its stack, in order
   * @throws ConfigError when the port is taken, or other machines could reach it without TLS
   */
  static async start(
    role: string,
    listenConfig: RegistryListenConfig,
    compose: (parts: AsyncDisposableStack) => Promise<FastifyInstance>,
  ): Promise<RegistryProgram> {
    const { host, tls } = listenConfig;
    refuseOpenListener({ role, host, loopback: isLoopback(host), tls: tls !== undefined, asksToken: false });
    // On an error everything that was opened so far is closed again; else it moves to the program.
    await using parts = new AsyncDisposableStack();
    const app = await compose(parts);
    const port = await listen(app, role, listenConfig);
    return new RegistryProgram(port, app, parts.move());
  }

  /** Stops to listen, ends what is on its way, and closes what it is made of. */
  async close(): Promise<void> {
    await this.#app.close();
    await this.#parts.disposeAsync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Hands a part through, and closes it with the others. */
export function closing<T extends { close(): Promise<void> }>(parts: AsyncDisposableStack, part: T): T {
  parts.defer(() => part.close());
  return part;
}
