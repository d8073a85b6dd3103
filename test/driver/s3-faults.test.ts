import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  defaultDriverFactory,
  PathNotFoundError,
  PermissionError,
  StorageUnavailableError,
} from '../../src/driver/index.ts';
import { FaultProxy } from '../helpers/fault-proxy.ts';
import { hasSwift, SwiftServer } from '../helpers/swift-s3/swift.ts';

const mib = 1024 * 1024;

// Skipped only where the program is missing; never in CI.
describe.skipIf(!hasSwift())('s3 driver with faults', { timeout: 60_000 }, () => {
  const swift = SwiftServer.forThisFile();

  async function open(more: Record<string, unknown> = {}) {
    const parameters = { ...(await swift.makeBucket()), chunksize: 5 * mib, requesttimeout: 5000, ...more };
    const proxy = await FaultProxy.before(swift.endpoint);
    const driver = await defaultDriverFactory().create('s3', { ...parameters, regionendpoint: proxy.url });
    onTestFinished(() => driver.close());
    return { driver, proxy };
  }

  it('tries again when S3 says 503 with Retry-After, 500, or cuts the connection', async () => {
    const { driver, proxy } = await open();
    const content = randomBytes(1000);
    proxy.failNext(
      1,
      { kind: 'answer', status: 503, headers: { 'retry-after': '0' } },
      ({ method }) => method === 'PUT',
    );
    await driver.putContent('/a', content);
    proxy.failNext(1, { kind: 'answer', status: 500 });
    expect(await driver.getContent('/a')).toEqual(content);
    proxy.failNext(1, { kind: 'cut' });
    expect((await driver.stat('/a')).size).toBe(1000);
  });

  it('gives up after so many tries, in a typed error that may be tried again', async () => {
    const { driver, proxy } = await open({ maxattempts: 2 });
    proxy.failNext(1000, { kind: 'answer', status: 503 });
    proxy.requests.length = 0;
    const error = await driver.getContent('/a').catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StorageUnavailableError);
    expect((error as StorageUnavailableError).retryable).toBe(true);
    expect(proxy.requests.length).toBe(2);
    proxy.failNext(1, { kind: 'answer', status: 403 });
    await expect(driver.getContent('/a')).rejects.toThrow(PermissionError);
  });

  it('does not wait for an answer for ever', async () => {
    const { driver, proxy } = await open({ maxattempts: 1, requesttimeout: 200 });
    proxy.failNext(1, { kind: 'delay', ms: 3000 });
    await expect(driver.getContent('/a')).rejects.toThrow(StorageUnavailableError);
  });

  it.each(['truncate', 'stall'] as const)('ends a reader in an error when the body does: %s', async (kind) => {
    const { driver, proxy } = await open({ requesttimeout: 500 });
    await driver.putContent('/a', randomBytes(2 * mib));
    proxy.failNext(1, { kind, bytes: 700_000 }, ({ method }) => method === 'GET');
    const stream = await driver.reader('/a', { offset: 10 });
    await expect(buffer(stream)).rejects.toThrow(StorageUnavailableError);
    proxy.failNext(1, { kind, bytes: 700_000 }, ({ method }) => method === 'GET');
    await expect(driver.getContent('/a')).rejects.toThrow(/reading broke off after 700000 of 2097152 bytes/);
  });

  it('lets a reader be slow itself', async () => {
    const { driver } = await open({ requesttimeout: 300 });
    const content = randomBytes(4 * mib);
    await driver.putContent('/a', content);
    const stream = await driver.reader('/a', { offset: 0 });
    await new Promise((resolve) => setTimeout(resolve, 900));
    expect((await buffer(stream)).equals(content)).toBe(true);
  });

  it('knows its own object when the answer to the commit is lost', async () => {
    const { driver, proxy } = await open();
    const content = randomBytes(11 * mib);
    await using writer = await driver.writer('/a', { append: false });
    await writer.write(content);
    const isComplete = (url: string | undefined) => /uploadId=/.test(url ?? '') && !/partNumber=/.test(url ?? '');
    proxy.failNext(1, { kind: 'lose-answer' }, ({ method, url }) => method === 'POST' && isComplete(url));
    await writer.commit();
    expect((await driver.getContent('/a')).equals(content)).toBe(true);
  });

  it('goes on with what it has when a part could not be sent', async () => {
    const { driver, proxy } = await open({ maxattempts: 2 });
    const content = randomBytes(12 * mib);
    const writer = await driver.writer('/a', { append: false });
    proxy.failNext(2, { kind: 'cut' }, ({ url }) => /partNumber=1/.test(url ?? ''));
    let written = 0;
    await expect(
      (async () => {
        for (; written < content.length; written += mib) await writer.write(content.subarray(written, written + mib));
        await writer.commit();
      })(),
    ).rejects.toThrow(StorageUnavailableError);
    await expect(driver.stat('/a')).rejects.toThrow(PathNotFoundError);
    const { size } = writer;
    await writer.close();
    await using next = await driver.writer('/a', { append: true });
    expect(next.size).toBe(size);
    await next.write(content.subarray(size));
    await next.commit();
    expect((await driver.getContent('/a')).equals(content)).toBe(true);
  });

  it('shows nothing half-written when the store is killed, and works again with it', async () => {
    const parameters = { ...(await swift.makeBucket()), chunksize: 5 * mib, maxattempts: 2 };
    const driver = await defaultDriverFactory().create('s3', parameters);
    onTestFinished(() => driver.close());
    const content = randomBytes(17 * mib);
    await using first = await driver.writer('/a', { append: false });
    await first.write(content.subarray(0, 7 * mib));
    await first.close();
    const writer = await driver.writer('/a', { append: true });
    await writer.write(content.subarray(7 * mib, 11 * mib));
    await swift.kill();
    await expect(
      (async () => {
        await writer.write(content.subarray(11 * mib));
        await writer.commit();
      })(),
    ).rejects.toThrow(StorageUnavailableError);
    await expect(writer.close()).rejects.toThrow(StorageUnavailableError);
    await swift.start();
    await expect(driver.stat('/a')).rejects.toThrow(PathNotFoundError);
    await using next = await driver.writer('/a', { append: true });
    expect(next.size).toBe(7 * mib);
    await next.write(content.subarray(7 * mib));
    await next.commit();
    expect((await driver.getContent('/a')).equals(content)).toBe(true);
  });
});
