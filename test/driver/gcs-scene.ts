import { onTestFinished } from 'vitest';
import { createGcsDriver, type GcsLimits } from '../../src/driver/gcs/gcs-driver.ts';
import { type StorageDriver, validated } from '../../src/driver/index.ts';
import { FaultProxy } from '../helpers/fault-proxy.ts';
import { GcsStub, type StubOptions } from '../helpers/gcs-stub.ts';

export const chunkBytes = 256 * 1024;

/** A stub of its own, a proxy before it, and drivers on the proxy, until the test is over. */
export async function makeGcsScene(options: StubOptions = {}) {
  const stub = await GcsStub.start(options);
  onTestFinished(() => stub.stop());
  const proxy = await FaultProxy.before(stub.url);
  const open = async (more: Readonly<Record<string, unknown>> = {}, limits: GcsLimits = {}): Promise<StorageDriver> => {
    const parameters = { ...stub.parameters, apiendpoint: proxy.url, chunksize: chunkBytes, ...more };
    const driver = validated(await createGcsDriver(parameters, limits));
    onTestFinished(() => driver.close());
    return driver;
  };
  return { stub, proxy, open };
}

/** Writes bytes and closes without commit. */
export async function leave(driver: StorageDriver, path: string, content: Uint8Array): Promise<void> {
  await using writer = await driver.writer(path, { append: false });
  await writer.write(content);
}

/** All items of a listing. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}
