import type { FastifyInstance } from 'fastify';
import { refuseOpenListener } from '../config/index.ts';
import { isLoopback, listen } from '../http/index.ts';
import { composeProxy, type ProxyDeps } from './compose.ts';
import type { ProxyConfig } from './config.ts';

/** A proxy: a read-write registry that hands blobs to the origins, and tags and links to the build-index. */
export class ProxyServer implements AsyncDisposable {
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
   * Opens everything and listens. The caller closes it.
   * @throws ConfigError when the port is taken, or other machines could reach it without TLS
   */
  static async start(config: ProxyConfig, deps: ProxyDeps): Promise<ProxyServer> {
    const { host, tls } = config.listen;
    refuseOpenListener({ role: 'proxy', host, loopback: isLoopback(host), tls: tls !== undefined, asksToken: false });
    // On an error everything that was opened so far is closed again; else it moves to the server.
    await using parts = new AsyncDisposableStack();
    const app = await composeProxy(config, deps, parts);
    const port = await listen(app, 'proxy', config.listen);
    return new ProxyServer(port, app, parts.move());
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
