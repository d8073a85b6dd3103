import { pino } from 'pino';
import { Registry } from 'prom-client';
import { onTestFinished } from 'vitest';
import { defaultDriverFactory } from '../../src/driver/index.ts';
import { createService, listen } from '../../src/http/index.ts';
import { registerRegistry } from '../../src/registry/index.ts';

/** A registry in memory on a free loopback port, closed when the test is over. @returns its base URL */
export async function startMemoryRegistry(): Promise<string> {
  const logger = pino({ level: 'silent' });
  const driver = await defaultDriverFactory().create('inmemory', {});
  const app = createService({
    role: 'registry',
    clusterToken: 'unused',
    logger,
    metrics: new Registry(),
    ready: async () => {},
  });
  await registerRegistry(app, { driver, logger });
  const port = await listen(app, 'registry', { host: '127.0.0.1', port: 0 });
  onTestFinished(async () => {
    await app.close();
    await driver.close();
  });
  return `http://127.0.0.1:${port}`;
}
