import Fastify, { type FastifyInstance } from 'fastify';
import { onTestFinished } from 'vitest';
import { defaultDriverFactory, type StorageDriver } from '../../src/driver/index.ts';
import { type RegistryOptions, registerRegistry } from '../../src/registry/index.ts';
import { testLogger } from '../helpers/logger.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { TestClient } from './client.ts';

/** A registry that listens on a port of its own until the test is over. */
export interface RunningRegistry {
  readonly url: string;
  readonly client: TestClient;
  readonly app: FastifyInstance;
}

/** Serves a driver over HTTP. The driver stays the caller's to close. */
export async function serveRegistry(
  driver: StorageDriver,
  options: Partial<RegistryOptions> = {},
): Promise<RunningRegistry> {
  const app = Fastify({ forceCloseConnections: true });
  await registerRegistry(app, { driver, logger: testLogger(), ...options });
  await app.listen({ host: '127.0.0.1', port: 0 });
  onTestFinished(() => app.close());
  const address = app.server.address();
  if (typeof address !== 'object' || address === null) throw new Error('the server has no port');
  const url = `http://127.0.0.1:${address.port}`;
  return { url, client: new TestClient(url), app };
}

/** A driver in memory, closed when the test is over. */
export async function memoryDriver(): Promise<StorageDriver> {
  return closing(await defaultDriverFactory().create('inmemory', {}));
}

/** A driver on a folder (its own, when none is given), closed when the test is over. */
export async function folderDriver(rootdirectory?: string): Promise<StorageDriver> {
  const folder = rootdirectory ?? (await makeTempDir());
  return closing(await defaultDriverFactory().create('filesystem', { rootdirectory: folder }));
}

function closing(driver: StorageDriver): StorageDriver {
  onTestFinished(() => driver.close());
  return driver;
}
