import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { Registry } from 'prom-client';
import type { StorageDriver } from '../../src/driver/index.ts';
import { createService, listen } from '../../src/http/index.ts';
import { type RegistryOptions, registerRegistry } from '../../src/registry/index.ts';
import { testLogger } from '../helpers/logger.ts';

/** A registry behind the HTTP server that `shoal registry` has, on a port of its own. */
export interface ServedRegistry {
  readonly url: string;
  readonly port: number;
  readonly app: FastifyInstance;
  /** The connections that are open now. */
  readonly sockets: ReadonlySet<Socket>;
  close(): Promise<void>;
}

/** Times of the HTTP server that a test may shorten, so as not to wait for those that people have. */
export interface ServerTimes {
  readonly headersTimeout?: number;
  readonly connectionsCheckingInterval?: number;
  readonly keepAliveTimeout?: number;
  readonly timeout?: number;
}

/** Serves a driver. The driver stays the caller's to close; the caller closes the registry. */
export async function startServedRegistry(
  driver: StorageDriver,
  options: Partial<RegistryOptions> & { readonly logger?: Logger } = {},
  times: ServerTimes = {},
): Promise<ServedRegistry> {
  const logger = options.logger ?? testLogger();
  const metrics = new Registry();
  const ready = async () => void (await driver.stat('/'));
  const app = createService({
    role: 'registry',
    clusterToken: 'none of the routes asks for it',
    logger,
    metrics,
    ready,
  });
  await registerRegistry(app, { driver, metrics, ...options, logger });
  Object.assign(app.server, times);
  const sockets = new Set<Socket>();
  app.server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const port = await listen(app, 'registry', { host: '127.0.0.1', port: 0 });
  return { url: `http://127.0.0.1:${port}`, port, app, sockets, close: () => app.close() };
}
