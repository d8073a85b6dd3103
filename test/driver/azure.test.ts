import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import {
  ConflictError,
  PathNotFoundError,
  type StorageDriver,
  StorageUnavailableError,
} from '../../src/driver/index.ts';
import { type Azurite, hasAzurite, startAzurite } from '../helpers/azurite.ts';
import { type AzureProxy, type Interception, startAzureProxy } from './azure-proxy.ts';
import { blobNames, makeScene } from './azure-scene.ts';

const small = { chunksize: 64 * 1024 };

// Skipped only where the program is missing; never in CI.
describe.skipIf(!hasAzurite())('the azure driver', () => {
  let azurite: Azurite;
  beforeAll(async () => {
    azurite = await startAzurite();
  });
  afterAll(() => azurite?.stop());

  async function withProxy(): Promise<AzureProxy> {
    const proxy = await startAzureProxy(azurite.serviceUrl);
    onTestFinished(() => proxy.close());
    return proxy;
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

  it('reads what distribution has written, layers as append blobs among it, and replaces it', async () => {
    for (const rootdirectory of ['', '/registry/', 'registry']) {
      const { container, open } = await makeScene(azurite, rootdirectory);
      const prefix = rootdirectory === '' ? '' : 'registry/';
      const layer = container.getAppendBlobClient(`${prefix}docker/registry/v2/blobs/sha256/ab/abcd/data`);
      await layer.create();
      await layer.appendBlock('first ', 6);
      await layer.appendBlock('second', 6);
      const link = container.getBlockBlobClient(`${prefix}docker/registry/v2/repositories/a/_layers/sha256/abcd/link`);
      await link.upload('sha256:abcd', 11);
      const driver = await open();
      const path = '/docker/registry/v2/blobs/sha256/ab/abcd/data';
      expect((await driver.getContent(path)).toString()).toBe('first second');
      expect(await driver.stat(path)).toMatchObject({ size: 12, isDirectory: false });
      expect(await all(driver.list('/docker/registry/v2'))).toEqual([
        '/docker/registry/v2/blobs',
        '/docker/registry/v2/repositories',
      ]);
      expect((await all(driver.walk('/'))).filter(({ isDirectory }) => !isDirectory).length).toBe(2);
      await driver.putContent(path, Buffer.from('a block blob'));
      expect((await driver.getContent(path)).toString()).toBe('a block blob');
      await leave(driver, '/docker/upload', Buffer.from('x'));
      expect((await blobNames(container)).filter((name) => name.startsWith(`${prefix}~docker/upload/~`)).length).toBe(
        1,
      );
    }
  });

  it('deletes an append blob that the service does not let be replaced, and nothing else', async () => {
    const proxy = await withProxy();
    const { container, open } = await makeScene(proxy, '');
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

  it('says at its creation what is wrong with container, key, service or parameters', async () => {
    const { open } = await makeScene(azurite, '');
    await expect(open({ container: 'missing' })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('no container "missing"'),
    });
    const accountkey = Buffer.from('another key').toString('base64');
    const refused = await open({ accountkey }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('credentials') });
    expect((refused as Error).message).not.toContain(accountkey);
    await expect(open({ serviceurl: 'http://127.0.0.1:9/devstoreaccount1', max_retries: 0 })).rejects.toBeInstanceOf(
      StorageUnavailableError,
    );
    const faults = open({ credentials: { type: 'client_secret' }, accountkey: undefined });
    await expect(faults).rejects.toMatchObject({
      message: expect.stringMatching(/"clientid".*"tenantid".*"secret"/),
    });
    await expect(open({ retry_delay: 'soon' })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    await expect(open({ sastoken: 'sv=1' })).rejects.toMatchObject({ message: expect.stringContaining('got 2') });
  });

  it('signs in by a connection string or a shared access signature, and redirects with a key only', async () => {
    const { container, parameters, open } = await makeScene(azurite, '');
    const { accountname, accountkey, serviceurl } = parameters;
    const connectionstring = `AccountName=${accountname};AccountKey=${accountkey};BlobEndpoint=${serviceurl};DefaultEndpointsProtocol=http`;
    const byString = await open({
      connectionstring,
      accountkey: undefined,
      accountname: undefined,
      serviceurl: undefined,
    });
    expect(byString.capabilities.redirect).toBe(true);
    const permissions = (await import('@azure/storage-blob')).ContainerSASPermissions.parse('racwdl');
    const url = new URL(await container.generateSasUrl({ permissions, expiresOn: new Date(Date.now() + 3_600_000) }));
    const bySignature = await open({ sastoken: url.search, accountkey: undefined });
    expect(bySignature.capabilities.redirect).toBe(false);
    for (const driver of [byString, bySignature]) {
      await driver.putContent('/a/b', Buffer.from('content'));
      await driver.move('/a/b', '/a/c');
      expect((await driver.getContent('/a/c')).toString()).toBe('content');
    }
    expect(await bySignature.redirectURL('/a/c', { method: 'GET' })).toBeUndefined();
    expect(await byString.redirectURL('/a/c', { method: 'PUT' })).toBeUndefined();
    const signed = new URL((await byString.redirectURL('/a/c', { method: 'GET' })) ?? '');
    expect(signed.searchParams.get('sp')).toBe('r');
    expect(Date.parse(signed.searchParams.get('se') ?? '') - Date.now()).toBeLessThanOrEqual(20 * 60_000);
    expect((await fetch(signed, { method: 'PUT', body: 'x' })).ok).toBe(false);
  });

  it('lists, walks and deletes over many pages, in the order of paths, with names held back or not', async () => {
    const { container, open } = await makeScene(azurite, 'root');
    const driver = await open();
    const names = [
      'a',
      'a-1',
      'a.b',
      'a-b/c',
      'a.b-c/d',
      'a/x',
      'a/x-y',
      'a/x.y/z',
      'a/x/deep-er/one',
      'b',
      'b-',
      'b.',
      '-a',
    ];
    const paths = names.flatMap((name) => [`/d/${name}/q`, `/d/${name}/p-1`, `/d/${name}/p/r`]);
    await Promise.all(paths.map((path) => driver.putContent(path, Buffer.from('x'))));
    const whole = await all(driver.walk('/d'));
    for (const limits of [{ pageSize: 2 }, { pageSize: 3, maxHeld: 1 }, { pageSize: 7, maxHeld: 4 }]) {
      const paged = await open({}, limits);
      expect(await all(paged.walk('/d'))).toEqual(whole);
      const children = await all(paged.list('/d'));
      expect(children).toEqual(await all(driver.list('/d')));
      for (const [index, after] of children.entries()) {
        expect(await all(paged.list('/d', { after, limit: 2 }))).toEqual(children.slice(index + 1, index + 3));
      }
    }
    const paged = await open({}, { pageSize: 4 });
    await paged.delete('/d');
    expect(await blobNames(container)).toEqual([]);
  });

  it('lists and deletes many objects of one directory, by pages', async () => {
    const { container, open } = await makeScene(azurite, '');
    const driver = await open({}, { pageSize: 100 });
    const paths = Array.from({ length: 520 }, (_, index) => `/many/${String(index).padStart(5, '0')}`);
    const next = paths.values();
    const work = async () => {
      for (const path of next) await container.getBlockBlobClient(path.slice(1)).upload('x', 1);
    };
    await Promise.all(Array.from({ length: 8 }, work));
    expect(await all(driver.list('/many'))).toEqual(paths);
    expect((await all(driver.walk('/many'))).length).toBe(520);
    await driver.delete('/many');
    expect(await all(driver.list('/'))).toEqual([]);
  });

  it('lets one of two processes go on with the same unfinished bytes', async () => {
    const { open } = await makeScene(azurite, '');
    const [first, second] = [await open(small), await open(small)];
    await leave(first, '/upload', randomBytes(100_000));
    for (const end of ['close', 'commit'] as const) {
      const mine = await first.writer('/upload', { append: true });
      const theirs = await second.writer('/upload', { append: true });
      expect(mine.revision).toBe(theirs.revision);
      expect(typeof mine.revision).toBe('string');
      await mine.write(Buffer.from('mine'));
      await theirs.write(Buffer.from('theirs'));
      await theirs.close();
      expect(theirs.revision).not.toBe(mine.revision);
      await expect(mine[end]()).rejects.toBeInstanceOf(ConflictError);
      await mine.close().catch(() => undefined);
    }
    await using last = await second.writer('/upload', { append: true });
    expect(last.size).toBe(100_000 + 2 * 'theirs'.length);
    await last.commit();
    expect((await first.getContent('/upload')).length).toBe(100_000 + 2 * 'theirs'.length);
  });

  it('leaves nothing behind after commits and cancels', async () => {
    const { container, open } = await makeScene(azurite, '');
    const driver = await open(small);
    for (const [index, bytes] of [0, 10, 300_000].entries()) {
      for (const end of ['commit', 'cancel'] as const) {
        const path = `/${index}/${end}`;
        await leave(driver, path, randomBytes(bytes));
        await using writer = await driver.writer(path, { append: true });
        await writer.write(randomBytes(bytes));
        await writer[end]();
      }
    }
    expect(await blobNames(container)).toEqual(['0/commit', '1/commit', '2/commit']);
  });

  it('keeps what was closed apart from what is begun anew, and from paths below', async () => {
    const { open } = await makeScene(azurite, 'a-root');
    const driver = await open(small);
    const long = `/${'d'.repeat(250)}/${'e'.repeat(250)}/${'f'.repeat(250)}/${'g'.repeat(200)}`;
    const paths = ['/a', '/a/b', '/a/b/c', '/ab', `${long}/x`, `${long}/y/z`, `${long}-x`];
    for (const path of paths) await leave(driver, path, Buffer.from(path));
    const sizeAt = async (path: string) => {
      await using writer = await driver.writer(path, { append: true });
      return writer.size;
    };
    for (const path of paths) expect(await sizeAt(path)).toBe(path.length);
    await driver.delete('/a/b');
    await expect(sizeAt('/a/b/c')).rejects.toBeInstanceOf(PathNotFoundError);
    await driver.delete(long);
    await expect(sizeAt(`${long}/y/z`)).rejects.toBeInstanceOf(PathNotFoundError);
    await expect(sizeAt(`${long}/x`)).rejects.toBeInstanceOf(PathNotFoundError);
    for (const path of ['/a', '/ab', `${long}-x`]) expect(await sizeAt(path)).toBe(path.length);
    await expect(
      driver.putContent(`/${'h'.repeat(250)}${long}`.slice(0, 1023), Buffer.from('x')),
    ).rejects.toMatchObject({
      code: 'INVALID_PATH',
    });
  });

  it('joins short blocks of many appends', async () => {
    const { container, open } = await makeScene(azurite, '');
    const driver = await open(small, { manyBlocks: 3 });
    const content = randomBytes(100 * 50);
    await leave(driver, '/upload', content.subarray(0, 100));
    for (let offset = 100; offset < content.length; offset += 100) {
      await using writer = await driver.writer('/upload', { append: true });
      expect(writer.size).toBe(offset);
      await writer.write(content.subarray(offset, offset + 100));
    }
    const [name = ''] = await blobNames(container);
    const { committedBlocks } = await container.getBlockBlobClient(name).getBlockList('committed');
    expect(committedBlocks?.length).toBe(3);
    await using writer = await driver.writer('/upload', { append: true });
    await writer.commit();
    expect((await driver.getContent('/upload')).equals(content)).toBe(true);
  });

  it('copies by blocks what is too large for one copy, and only what it was asked to copy', async () => {
    const proxy = await withProxy();
    const { container, open } = await makeScene(proxy, '');
    const driver = await open(small, { maxSingleCopyBytes: 100_000 });
    const content = randomBytes(1_050_000);
    await driver.putContent('/source', content);
    await driver.putContent('/target', Buffer.from('old'));
    const before = (await driver.stat('/target')).modTime.getTime();
    let copied = 0;
    proxy.intercept = async (request) => {
      if (request.headers['x-ms-copy-source'] === undefined) return false;
      copied++;
      // Somebody replaces the source in the middle of the first try.
      if (copied === 5) await container.getBlockBlobClient('source').upload(content.subarray(1), content.length - 1);
      return false;
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
    const proxy = await withProxy();
    const { open } = await makeScene(proxy, '');
    const driver = await open();
    const content = randomBytes(3_000_000);
    await driver.putContent('/object', content);
    proxy.cutBodyAfter = 1_000_000;
    const resumed = await driver.reader('/object', { offset: 10 });
    expect((await buffer(resumed)).equals(content.subarray(10))).toBe(true);
    const changed = await driver.reader('/object', { offset: 0 });
    await driver.putContent('/object', randomBytes(3_000_000));
    await expect(buffer(changed)).rejects.toMatchObject({ driverName: 'azure', path: '/object' });
    proxy.cutBodyAfter = 1000;
    const hopeless = await driver.reader('/object', { offset: 0 });
    await expect(buffer(hopeless)).rejects.toBeInstanceOf(StorageUnavailableError);
  });

  it('knows its own write again when the answer was lost', async () => {
    const proxy = await withProxy();
    const { open } = await makeScene(proxy, '');
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
    const proxy = await withProxy();
    const { open } = await makeScene(proxy, '');
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
});
