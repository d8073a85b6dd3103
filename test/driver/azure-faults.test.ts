import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { PathNotFoundError, type StorageDriver, StorageUnavailableError } from '../../src/driver/index.ts';
import { type Azurite, hasAzurite, startAzurite } from '../helpers/azurite.ts';
import { putBlocksFromUrls } from '../helpers/azurite-copies.ts';
import { FaultProxy, type Interception } from '../helpers/fault-proxy.ts';
import { makeScene } from './azure-scene.ts';

const small = { chunksize: 64 * 1024 };

// Skipped only where the program is missing; never in CI.
describe.skipIf(!hasAzurite())('the azure driver with faults', () => {
  let azurite: Azurite;
  let copies: Interception;
  beforeAll(async () => {
    azurite = await startAzurite();
    copies = putBlocksFromUrls(azurite.serviceUrl);
  });
  afterAll(() => azurite?.stop());

  /** A container behind a proxy that copies blocks as the service does. */
  async function behindProxy() {
    const proxy = await FaultProxy.before(azurite.serviceUrl);
    proxy.intercept = copies;
    const serviceUrl = `${proxy.url}${new URL(azurite.serviceUrl).pathname}`;
    return { proxy, ...(await makeScene({ serviceUrl }, '')) };
  }

  async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
    const found: T[] = [];
    for await (const item of items) found.push(item);
    return found;
  }

  async function leave(driver: StorageDriver, path: string, content: Uint8Array): Promise<void> {
    await using writer = await driver.writer(path, { append: false });
    await writer.write(content);
  }

  it('deletes an append blob that the service does not let be replaced, and nothing else', async () => {
    const { proxy, container, open } = await behindProxy();
    const driver = await open();
    // Azurite replaces any blob by any other; the service does not.
    const refuse: Interception = async (request, response) => {
      if (request.method !== 'PUT' || !request.url?.includes('/layer')) return false;
      const found = await container
        .getBlobClient('layer')
        .getProperties()
        .catch(() => undefined);
      if (found?.blobType !== 'AppendBlob') return false;
      request.resume();
      response.writeHead(409, { 'x-ms-error-code': 'InvalidBlobType' }).end();
      return true;
    };
    const writeInBlocks = async () => {
      await using writer = await driver.writer('/layer', { append: false });
      await writer.write(randomBytes(5_000_000));
      await writer.commit();
    };
    const ways = [
      () => driver.putContent('/layer', Buffer.from('put')),
      () => driver.putContent('/source', Buffer.from('moved')).then(() => driver.move('/source', '/layer')),
      writeInBlocks,
    ];
    for (const way of ways) {
      proxy.intercept = undefined;
      await container.getBlobClient('layer').deleteIfExists();
      await container.getAppendBlobClient('layer').create();
      proxy.intercept = refuse;
      await way();
      expect((await container.getBlobClient('layer').getProperties()).blobType).toBe('BlockBlob');
    }
  });

  it('copies by blocks what is too large for one copy, and only what it was asked to copy', async () => {
    const { proxy, container, open } = await behindProxy();
    const driver = await open(small, { maxSingleCopyBytes: 100_000 });
    const content = randomBytes(1_050_000);
    await driver.putContent('/source', content);
    await driver.putContent('/target', Buffer.from('old'));
    const before = (await driver.stat('/target')).modTime.getTime();
    let copied = 0;
    proxy.intercept = async (request, response) => {
      if (request.headers['x-ms-copy-source'] === undefined) return false;
      copied++;
      // Somebody replaces the source in the middle of the first try.
      if (copied === 5) await container.getBlockBlobClient('source').upload(content.subarray(1), content.length - 1);
      return copies(request, response);
    };
    await driver.move('/source', '/target');
    expect(copied).toBeGreaterThan(20);
    expect((await driver.getContent('/target')).equals(content.subarray(1))).toBe(true);
    expect((await driver.stat('/target')).modTime.getTime()).toBeGreaterThan(before);
    await expect(driver.stat('/source')).rejects.toBeInstanceOf(PathNotFoundError);

    await driver.putContent('/source', content);
    const controller = new AbortController();
    const reason = new Error('the client has gone');
    proxy.intercept = () => {
      controller.abort(reason);
      return false;
    };
    await expect(driver.move('/source', '/target', { signal: controller.signal })).rejects.toBe(reason);
    proxy.intercept = undefined;
    expect((await driver.getContent('/target')).equals(content.subarray(1))).toBe(true);
  });

  it('goes on with a download that breaks, and ends it in an error when the bytes have changed', async () => {
    const { proxy, open } = await behindProxy();
    const driver = await open();
    const content = randomBytes(3_000_000);
    await driver.putContent('/object', content);
    proxy.rule = ({ method }) => (method === 'GET' ? { kind: 'truncate', bytes: 1_000_000 } : undefined);
    const resumed = await driver.reader('/object', { offset: 10 });
    expect((await buffer(resumed)).equals(content.subarray(10))).toBe(true);
    const changed = await driver.reader('/object', { offset: 0 });
    await driver.putContent('/object', randomBytes(3_000_000));
    await expect(buffer(changed)).rejects.toMatchObject({ driverName: 'azure', path: '/object' });
    proxy.rule = ({ method }) => (method === 'GET' ? { kind: 'truncate', bytes: 1000 } : undefined);
    const hopeless = await driver.reader('/object', { offset: 0 });
    await expect(buffer(hopeless)).rejects.toBeInstanceOf(StorageUnavailableError);
  });

  it('knows its own write again when the answer was lost', async () => {
    const { proxy, open } = await behindProxy();
    const driver = await open({ max_retries: 2 });
    let lost = 0;
    proxy.intercept = async (request, response) => {
      const isPut = request.method === 'PUT' && (request.headers['if-none-match'] ?? request.headers['if-match']);
      if (isPut === undefined || isPut === false || lost > 0) return false;
      lost++;
      // Passed on, but nobody hears of it.
      const body = await buffer(request);
      const { host: _, connection: __, ...headers } = request.headers;
      const url = new URL(request.url ?? '', azurite.serviceUrl);
      await fetch(url, { method: 'PUT', headers: headers as Record<string, string>, body });
      response.destroy();
      return true;
    };
    await driver.putContentIf('/object', Buffer.from('once'), { ifAbsent: true });
    expect(lost).toBe(1);
    expect((await driver.getContent('/object')).toString()).toBe('once');
    lost = 0;
    await leave(driver, '/upload', Buffer.from('kept'));
    expect(lost).toBe(1);
    await using writer = await driver.writer('/upload', { append: true });
    expect(writer.size).toBe(4);
  });

  it('throws away nothing and says so when the service dies in the middle of an upload', async () => {
    const own = await startAzurite();
    onTestFinished(() => own.stop());
    const { open } = await makeScene(own, '');
    const driver = await open(small);
    await driver.putContent('/object', Buffer.alloc(5_000_000));
    const reading = buffer(await driver.reader('/object', { offset: 0 }));
    reading.catch(() => undefined);
    const writer = await driver.writer('/upload', { append: false });
    await writer.write(randomBytes(200_000));
    own.process.kill('SIGKILL');
    const write = async () => {
      for (let block = 0; block < 100; block++) await writer.write(randomBytes(64 * 1024));
    };
    const error = await write().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StorageUnavailableError);
    expect(error).toMatchObject({ path: '/upload', retryable: true });
    await expect(writer.commit()).rejects.toMatchObject({ code: 'WRITER_CLOSED' });
    await expect(writer.close()).rejects.toBeInstanceOf(StorageUnavailableError);
    await expect(driver.getContent('/object')).rejects.toBeInstanceOf(StorageUnavailableError);
    await expect(driver.putContent('/other', Buffer.from('x'))).rejects.toBeInstanceOf(StorageUnavailableError);
    await expect(all(driver.list('/'))).rejects.toBeInstanceOf(StorageUnavailableError);
  });

  it('keeps the blocks in front of one that could not be sent', async () => {
    const { proxy, open } = await behindProxy();
    const driver = await open({ ...small, max_retries: 0 });
    const content = randomBytes(8 * 64 * 1024);
    const writer = await driver.writer('/upload', { append: false });
    let blocks = 0;
    proxy.intercept = (request, response) => {
      if (!request.url?.includes('comp=block&') || ++blocks !== 3) return false;
      response.destroy();
      return true;
    };
    const written = await writer.write(content).catch((error: unknown) => error);
    expect(written).toBeInstanceOf(StorageUnavailableError);
    await writer.close();
    expect(writer.size).toBe(2 * 64 * 1024);
    await using next = await driver.writer('/upload', { append: true });
    expect(next.size).toBe(2 * 64 * 1024);
    await next.write(content.subarray(next.size));
    await next.commit();
    expect((await driver.getContent('/upload')).equals(content)).toBe(true);
  });

  it('keeps what it has moved when the answer to the deletion of the source is lost', async () => {
    const { proxy, open } = await behindProxy();
    const driver = await open();
    await driver.putContent('/source', Buffer.from('content'));
    proxy.failNext(1, { kind: 'lose-answer' }, ({ method }) => method === 'DELETE');
    await driver.move('/source', '/target');
    expect((await driver.getContent('/target')).toString()).toBe('content');
    proxy.failNext(1, { kind: 'lose-answer' }, ({ method }) => method === 'DELETE');
    await driver.delete('/target');
    await expect(driver.stat('/target')).rejects.toBeInstanceOf(PathNotFoundError);
  });

  it('moves what is there when the source is replaced behind the copy', async () => {
    const { proxy, container, open } = await behindProxy();
    const driver = await open();
    await driver.putContent('/source', Buffer.from('first'));
    let deletions = 0;
    proxy.intercept = async (request) => {
      if (request.method === 'DELETE' && ++deletions === 1)
        await container.getBlockBlobClient('source').upload('second', 6);
      return false;
    };
    await driver.move('/source', '/target');
    expect((await driver.getContent('/target')).toString()).toBe('second');
    await expect(driver.stat('/source')).rejects.toBeInstanceOf(PathNotFoundError);
  });

  it('puts conditionally over an append blob, which has to be deleted first', async () => {
    const { proxy, container, open } = await behindProxy();
    const driver = await open();
    await container.getAppendBlobClient('layer').create();
    const { revision = '' } = await driver.stat('/layer');
    // Azurite replaces any blob by any other; the service does not.
    proxy.failNext(
      1,
      { kind: 'answer', status: 409, headers: { 'x-ms-error-code': 'InvalidBlobType' } },
      ({ method }) => method === 'PUT',
    );
    await driver.putContentIf('/layer', Buffer.from('new'), { ifMatch: revision });
    expect((await driver.getContent('/layer')).toString()).toBe('new');
  });

  it('survives the refusal of a blob whose copy is not finished, and shows none', async () => {
    const { proxy, open } = await behindProxy();
    const driver = await open();
    await driver.putContent('/object', randomBytes(3_000_000));
    proxy.rule = () => ({ kind: 'headers', headers: { 'x-ms-copy-id': 'a', 'x-ms-copy-status': 'pending' } });
    // What a stream throws with nobody listening would end the process, and the test with it.
    for (let count = 0; count < 5; count++) {
      await expect(driver.reader('/object', { offset: 0 })).rejects.toBeInstanceOf(PathNotFoundError);
    }
    await expect(driver.stat('/object')).rejects.toBeInstanceOf(PathNotFoundError);
    proxy.rule = () => undefined;
    proxy.requests.length = 0;
    await all(driver.list('/'));
    await all(driver.walk('/'));
    const listings = proxy.requests.filter((request) => request.includes('comp=list'));
    expect(listings.length).toBeGreaterThan(1);
    // The service tells the state of copies only when it is asked for; Azurite always does.
    for (const request of listings) expect(decodeURIComponent(request)).toMatch(/include=[^&]*copy/);
  });

  it('ends a reader in an error when the body stands still, and in the reason of its signal', async () => {
    const { proxy, open } = await behindProxy();
    const driver = await open({}, { stallMs: 200 });
    const content = randomBytes(3_000_000);
    await driver.putContent('/object', content);
    const stall = { kind: 'stall', bytes: 1_000_000 } as const;
    proxy.failNext(1, stall, ({ method }) => method === 'GET');
    expect((await buffer(await driver.reader('/object', { offset: 0 }))).equals(content)).toBe(true);
    proxy.rule = ({ url }) => (url?.endsWith('/object') ? { kind: 'stall', bytes: 0 } : undefined);
    await expect(driver.getContent('/object')).rejects.toMatchObject({
      code: 'STORAGE_UNAVAILABLE',
      message: expect.stringContaining('no byte for 200 ms'),
    });
    const patient = await open();
    const controller = new AbortController();
    const reason = new Error('the client has gone');
    proxy.requests.length = 0;
    const reading = patient.getContent('/object', { signal: controller.signal });
    reading.catch(() => undefined);
    await expect.poll(() => proxy.requests.length).toBeGreaterThan(0);
    // The answer has begun when the next of the same kind has.
    await (await patient.reader('/object', { offset: 0 })).destroy();
    controller.abort(reason);
    await expect(reading).rejects.toBe(reason);
  });

  it('lets a reader be slow itself', async () => {
    const { open } = await behindProxy();
    const driver = await open({}, { stallMs: 100 });
    const content = randomBytes(3_000_000);
    await driver.putContent('/object', content);
    const stream = await driver.reader('/object', { offset: 0 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await buffer(stream)).equals(content)).toBe(true);
  });

  it('says how long it has waited for an answer', async () => {
    const { proxy, open } = await behindProxy();
    const driver = await open({}, { callTimeoutMs: 150 });
    proxy.rule = () => ({ kind: 'delay', ms: 1000 });
    for (const call of [
      () => driver.stat('/object'),
      () => driver.getContent('/object'),
      () => all(driver.list('/')),
    ]) {
      await expect(call()).rejects.toMatchObject({
        code: 'STORAGE_UNAVAILABLE',
        message: expect.stringContaining('no answer within 150 ms'),
      });
    }
  });

  it('sends no more requests at once than it may, those of writers among them', async () => {
    const { proxy, open } = await behindProxy();
    const driver = await open({ ...small, maxconcurrency: 2 });
    let [now, most] = [0, 0];
    proxy.intercept = async (_request, response) => {
      most = Math.max(most, ++now);
      response.once('close', () => now--);
      // Long enough for another one to come, were there any.
      await new Promise((resolve) => setTimeout(resolve, 5));
      return false;
    };
    const write = async (index: number) => {
      await using writer = await driver.writer(`/${index}`, { append: false });
      await writer.write(randomBytes(200_000));
      await writer.commit();
    };
    await Promise.all(Array.from({ length: 6 }, (_, index) => write(index)));
    expect(most).toBe(2);
  });

  it('deletes nothing any more when a deletion has failed', async () => {
    const { proxy, open } = await behindProxy();
    const driver = await open({ max_retries: 0 });
    for (let index = 0; index < 30; index++) await driver.putContent(`/d/${index}`, Buffer.from('x'));
    proxy.rule = ({ method, url }) =>
      method === 'DELETE' && url?.endsWith('/d/7') ? { kind: 'answer', status: 503 } : undefined;
    await expect(driver.delete('/d')).rejects.toBeInstanceOf(StorageUnavailableError);
    const left = (await all(driver.list('/d'))).length;
    expect(left).toBeGreaterThan(0);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await all(driver.list('/d'))).length).toBe(left);
  });

  it('refuses bytes beyond the last block of a blob, and keeps those in front', async () => {
    const { proxy, open } = await behindProxy();
    const driver = await open(small, { maxBlocks: 3 });
    const writer = await driver.writer('/upload', { append: false });
    await writer.write(randomBytes(3 * 64 * 1024));
    await expect(writer.write(Buffer.from('x'))).rejects.toMatchObject({
      code: 'STORAGE_INTERNAL',
      message: expect.stringMatching(/3 blocks.*"chunksize" of 65536/),
    });
    await writer.close();
    await using next = await driver.writer('/upload', { append: true });
    expect(next.size).toBe(3 * 64 * 1024);
    expect(proxy.requests.length).toBeGreaterThan(0);
  });

  it('copies by blocks again when other copies to the same place throw its blocks away', async () => {
    const { proxy, open } = await behindProxy();
    const driver = await open(small, { maxSingleCopyBytes: 100_000 });
    const content = randomBytes(450_000);
    await driver.putContent('/source', content);
    // Azurite keeps blocks that the service would have thrown away.
    const thrownAway = { kind: 'answer', status: 400, headers: { 'x-ms-error-code': 'InvalidBlockList' } } as const;
    proxy.failNext(5, thrownAway, ({ url }) => url?.includes('comp=blocklist') === true);
    await driver.move('/source', '/target');
    expect((await driver.getContent('/target')).equals(content)).toBe(true);
  });

  it('calls a lease of somebody else by its name', async () => {
    const { container, open } = await behindProxy();
    const driver = await open();
    await driver.putContent('/source', Buffer.from('content'));
    await driver.putContent('/target', Buffer.from('leased'));
    await container.getBlobClient('target').getBlobLeaseClient().acquireLease(-1);
    await expect(driver.move('/source', '/target')).rejects.toMatchObject({
      code: 'CONFLICT',
      message: expect.stringContaining('LeaseIdMissing'),
    });
    expect((await driver.getContent('/target')).toString()).toBe('leased');
    expect((await driver.getContent('/source')).toString()).toBe('content');
  });

  it('keeps a short last block that it could not write anew', async () => {
    const { proxy, open } = await behindProxy();
    const driver = await open({ ...small, max_retries: 0 }, { manyBlocks: 1 });
    await leave(driver, '/upload', Buffer.from('short'));
    const writer = await driver.writer('/upload', { append: true });
    await writer.write(Buffer.from(' and more'));
    proxy.rule = ({ url }) => (url?.includes('comp=block&') ? { kind: 'cut' } : undefined);
    await expect(writer.commit()).rejects.toBeInstanceOf(StorageUnavailableError);
    await writer.close();
    proxy.rule = () => undefined;
    await using next = await driver.writer('/upload', { append: true });
    expect(next.size).toBe('short'.length);
    await next.commit();
    expect((await driver.getContent('/upload')).toString()).toBe('short');
  });
});
