import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ConflictError,
  PathNotFoundError,
  type StorageDriver,
  StorageUnavailableError,
} from '../../src/driver/index.ts';
import { type Azurite, hasAzurite, startAzurite } from '../helpers/azurite.ts';
import { blobNames, makeScene } from './azure-scene.ts';

const small = { chunksize: 64 * 1024 };

// Skipped only where the program is missing; never in CI.
describe.skipIf(!hasAzurite())('the azure driver', () => {
  let azurite: Azurite;
  beforeAll(async () => {
    azurite = await startAzurite();
  });
  afterAll(() => azurite?.stop());

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

  it('lists, walks and deletes one directory by pages of three', async () => {
    const { container, open } = await makeScene(azurite, '');
    const driver = await open({}, { pageSize: 3 });
    const paths = Array.from({ length: 40 }, (_, index) => `/many/${String(index).padStart(5, '0')}`);
    for (const path of paths) await container.getBlockBlobClient(path.slice(1)).upload('x', 1);
    expect(await all(driver.list('/many'))).toEqual(paths);
    expect(await all(driver.list('/many', { after: paths[7] ?? '', limit: 11 }))).toEqual(paths.slice(8, 19));
    expect((await all(driver.walk('/many'))).map(({ path }) => path)).toEqual(paths);
    const rest = await all(driver.walk('/many', { startAfter: paths[20] ?? '' }));
    expect(rest.map(({ path }) => path)).toEqual(paths.slice(21));
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
});
