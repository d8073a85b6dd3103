import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  PathNotFoundError,
  PermissionError,
  PreconditionFailedError,
  StorageUnavailableError,
} from '../../src/driver/index.ts';
import { GcsStub } from '../helpers/gcs-stub.ts';
import { all, chunkBytes, leave, makeGcsScene } from './gcs-scene.ts';

const isPut = ({ url }: { url?: string | undefined }) => url?.startsWith('/upload/') === true;
const isDownload = ({ url }: { url?: string | undefined }) => url?.includes('alt=media') === true;

describe('the gcs driver with faults', { timeout: 30_000 }, () => {
  it.each([
    [{ kind: 'answer', status: 503 }, StorageUnavailableError],
    [{ kind: 'answer', status: 429 }, StorageUnavailableError],
    [{ kind: 'answer', status: 408 }, StorageUnavailableError],
    [{ kind: 'cut' }, StorageUnavailableError],
    [{ kind: 'lose-answer' }, StorageUnavailableError],
    [{ kind: 'answer', status: 403 }, PermissionError],
    [{ kind: 'answer', status: 401 }, PermissionError],
  ] as const)('tells what %j is, tries nothing again, and works in the next call', async (fault, kind) => {
    const { proxy, open } = await makeGcsScene();
    const driver = await open();
    await driver.putContent('/a', Buffer.from('content'));
    proxy.requests.length = 0;
    proxy.failNext(1, fault);
    const error = await driver.getContent('/a').catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(kind);
    expect(error).toMatchObject({ path: '/a', retryable: kind === StorageUnavailableError });
    expect(proxy.requests.length).toBe(1);
    expect((await driver.getContent('/a')).toString()).toBe('content');
  });

  it('deletes nothing any more when a deletion has failed', async () => {
    const { proxy, open } = await makeGcsScene();
    const driver = await open();
    for (let index = 0; index < 30; index++) await driver.putContent(`/d/${index}`, Buffer.from('x'));
    proxy.failNext(
      1,
      { kind: 'answer', status: 503 },
      ({ method, url }) => method === 'DELETE' && /%2F10$/.test(url ?? ''),
    );
    await expect(driver.delete('/d')).rejects.toBeInstanceOf(StorageUnavailableError);
    const left = (await all(driver.list('/d'))).length;
    expect(left).toBeGreaterThan(1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await all(driver.list('/d'))).length).toBe(left);
  });

  it('goes on over 503 and lost answers in the middle of an upload', async () => {
    const { proxy, stub, open } = await makeGcsScene();
    const driver = await open();
    const content = randomBytes(4 * chunkBytes + 5);
    for (const fault of [{ kind: 'answer', status: 503 }, { kind: 'lose-answer' }, { kind: 'cut' }] as const) {
      proxy.failNext(1, fault, isPut);
      await leave(driver, '/upload', content);
      proxy.failNext(1, fault, ({ url }) => url?.includes('/compose') === true);
      {
        await using writer = await driver.writer('/upload', { append: true });
        await writer.write(content);
        await writer.close();
      }
      proxy.failNext(1, fault, ({ url }) => url?.includes('/rewriteTo') === true);
      await using writer = await driver.writer('/upload', { append: true });
      await writer.commit();
      expect((await driver.getContent('/upload')).equals(Buffer.concat([content, content]))).toBe(true);
    }
    expect(stub.names).toEqual(['upload']);
  });

  it('keeps the pieces in front of one that could not be sent, and commits nothing', async () => {
    const { proxy, open } = await makeGcsScene();
    const driver = await open();
    const content = randomBytes(8 * chunkBytes);
    const writer = await driver.writer('/upload', { append: false });
    let third: string | undefined;
    proxy.rule = (request) => {
      if (!isPut(request)) return undefined;
      third ??= proxy.requests.filter((line) => line.includes('/upload/')).length === 3 ? 'seen' : undefined;
      return third === undefined ? undefined : { kind: 'answer', status: 503 };
    };
    const written = await writer.write(content).catch((error: unknown) => error);
    expect(written).toBeInstanceOf(StorageUnavailableError);
    await expect(writer.commit()).rejects.toMatchObject({ code: 'WRITER_CLOSED' });
    // Two pieces are on their way at once, and each is tried four times.
    const puts = () => proxy.requests.filter((line) => line.includes('/upload/')).length;
    await vi.waitFor(() => expect(puts()).toBe(2 + 2 * 4), 5_000);
    proxy.rule = () => undefined;
    await writer.close();
    expect(writer.size).toBe(2 * chunkBytes);
    await expect(driver.stat('/upload')).rejects.toBeInstanceOf(PathNotFoundError);
    await using next = await driver.writer('/upload', { append: true });
    expect(next.size).toBe(2 * chunkBytes);
    await next.write(content.subarray(next.size));
    await next.commit();
    expect((await driver.getContent('/upload')).equals(content)).toBe(true);
  });

  it('shows nothing when the service dies in the middle of an upload, and goes on after its restart', async () => {
    const first = await GcsStub.start();
    const { proxy: _, ...scene } = await makeGcsScene({ state: first.state });
    const { port, state } = first;
    const driver = await scene.open({ apiendpoint: first.url });
    const content = randomBytes(9 * chunkBytes);
    await leave(driver, '/upload', content.subarray(0, 3 * chunkBytes + 1));
    const writer = await driver.writer('/upload', { append: true });
    await writer.write(content.subarray(writer.size, 6 * chunkBytes));
    await vi.waitFor(() => expect(scene.stub.names.length).toBe(3));
    await first.stop();
    await expect(writer.write(content.subarray(6 * chunkBytes))).rejects.toBeInstanceOf(StorageUnavailableError);
    await expect(writer.close()).rejects.toBeInstanceOf(StorageUnavailableError);
    await expect(driver.getContent('/x')).rejects.toBeInstanceOf(StorageUnavailableError);
    await expect(all(driver.list('/'))).rejects.toBeInstanceOf(StorageUnavailableError);
    const second = await GcsStub.start({ state, port });
    onTestFinished(() => second.stop());
    expect(await all(driver.list('/'))).toEqual([]);
    await using next = await (await scene.open()).writer('/upload', { append: true });
    expect(next.size).toBe(3 * chunkBytes + 1);
    await next.write(content.subarray(next.size));
    await next.commit();
    expect((await driver.getContent('/upload')).equals(content)).toBe(true);
    expect(second.names).toEqual(['upload']);
  });

  it('goes on with a download that breaks, of the same generation, and ends it in an error else', async () => {
    const { proxy, open } = await makeGcsScene();
    const driver = await open();
    const content = randomBytes(3_000_000);
    await driver.putContent('/a', content);
    proxy.failNext(2, { kind: 'truncate', bytes: 1_000_000 }, isDownload);
    expect((await buffer(await driver.reader('/a', { offset: 10 }))).equals(content.subarray(10))).toBe(true);
    proxy.failNext(1, { kind: 'truncate', bytes: 1_000_000 }, isDownload);
    const changed = await driver.reader('/a', { offset: 0 });
    await driver.putContent('/a', randomBytes(3_000_000));
    await expect(buffer(changed)).rejects.toMatchObject({ driverName: 'gcs', path: '/a' });
    proxy.failNext(100, { kind: 'truncate', bytes: 1000 }, isDownload);
    await expect(buffer(await driver.reader('/a', { offset: 0 }))).rejects.toBeInstanceOf(StorageUnavailableError);
  });

  it('shows nothing of bytes that the service has otherwise than they were sent', async () => {
    const { stub, open } = await makeGcsScene();
    const driver = await open();
    stub.wrongChecksum = () => true;
    await expect(driver.putContent('/a', Buffer.from('x'))).rejects.toMatchObject({ code: 'STORAGE_INTERNAL' });
    stub.wrongChecksum = undefined;
    await expect(driver.stat('/a')).rejects.toBeInstanceOf(PathNotFoundError);
    await driver.putContent('/a', Buffer.from('old'));
    const writer = await driver.writer('/a', { append: false });
    await writer.write(randomBytes(3 * chunkBytes));
    // The pieces are right, and what is made of them is not.
    stub.wrongChecksum = (name) => /^~a\/~[^~]+$/.test(name);
    await expect(writer.commit()).rejects.toMatchObject({ code: 'STORAGE_INTERNAL', message: /CRC32C/ });
    stub.wrongChecksum = undefined;
    await writer.cancel();
    expect((await driver.getContent('/a')).toString()).toBe('old');
    expect(stub.names).toEqual(['a']);
  });

  it('answers an abort at once, in a request and in a download', async () => {
    const { proxy, stub, open } = await makeGcsScene();
    const driver = await open();
    await driver.putContent('/a', randomBytes(3_000_000));
    const reason = new Error('the client has gone');
    const calls = [
      (signal: AbortSignal) => driver.stat('/a', { signal }),
      (signal: AbortSignal) => driver.putContent('/b', Buffer.from('b'), { signal }),
      (signal: AbortSignal) => driver.move('/a', '/b', { signal }),
      (signal: AbortSignal) => driver.delete('/a', { signal }),
      (signal: AbortSignal) => driver.writer('/b', { append: true }, { signal }),
      (signal: AbortSignal) => all(driver.list('/', {}, { signal })),
      (signal: AbortSignal) => all(driver.walk('/', {}, { signal })),
    ];
    for (const call of calls) {
      const controller = new AbortController();
      proxy.rule = () => {
        setImmediate(() => controller.abort(reason));
        return { kind: 'stall', bytes: 0 };
      };
      await expect(call(controller.signal)).rejects.toBe(reason);
    }
    proxy.rule = () => ({ kind: 'stall', bytes: 1000 });
    const controller = new AbortController();
    const stream = await driver.reader('/a', { offset: 0 }, { signal: controller.signal });
    stream.once('data', () => controller.abort(reason));
    await expect(buffer(stream)).rejects.toBe(reason);
    proxy.rule = () => undefined;
    expect(stub.names).toContain('a');
  });

  it('gives up opening within ten seconds when nobody gives tokens', async () => {
    const { stub, proxy, open } = await makeGcsScene();
    const credentials = { ...stub.parameters.credentials, token_uri: `${proxy.url}/token` };
    proxy.rule = ({ url }) => (url === '/token' ? { kind: 'stall', bytes: 0 } : undefined);
    const before = performance.now();
    await expect(open({ credentials })).rejects.toBeInstanceOf(StorageUnavailableError);
    expect(performance.now() - before).toBeLessThan(10_000);
  });

  it('puts nothing over what somebody else puts between the look and the put', async () => {
    const { proxy, stub, open } = await makeGcsScene();
    const driver = await open();
    proxy.rule = (request) => {
      if (isPut(request) && !stub.names.includes('a')) stub.put('a', 'theirs');
      return undefined;
    };
    const put = driver.putContentIf('/a', Buffer.from('mine'), { ifAbsent: true });
    await expect(put).rejects.toBeInstanceOf(PreconditionFailedError);
    expect((await driver.getContent('/a')).toString()).toBe('theirs');
  });
});
