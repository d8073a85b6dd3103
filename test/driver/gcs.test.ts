import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CRC32C } from '@google-cloud/storage';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { combineCrc32c, crc32c, formatCrc32c, parseCrc32c } from '../../src/driver/gcs/crc32c.ts';
import { ConflictError, PathNotFoundError } from '../../src/driver/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { all, chunkBytes, leave, makeGcsScene } from './gcs-scene.ts';

describe('the gcs driver', () => {
  it('serves a bucket that distribution has written, and shows none of its unfinished uploads', async () => {
    for (const rootdirectory of ['', '/registry/', 'registry']) {
      const { stub, open } = await makeGcsScene();
      const prefix = `${rootdirectory === '' ? '' : 'registry/'}docker/registry/v2/`;
      const session = 'application/x-docker-upload-session';
      stub.put(`${prefix}blobs/sha256/ab/abcd/data`, 'a layer');
      stub.put(`${prefix}repositories/a/_uploads/1/startedat`, 'now', 'text/plain');
      stub.put(`${prefix}repositories/a/_uploads/1/data`, 'tail', session);
      stub.put(`${prefix}repositories/b/_uploads/2/data`, 'tail', session);
      stub.put(`${prefix}repositories/c/`, '');
      const driver = await open({ rootdirectory });
      const v2 = '/docker/registry/v2';
      expect((await driver.getContent(`${v2}/blobs/sha256/ab/abcd/data`)).toString()).toBe('a layer');
      expect(await all(driver.list(`${v2}/repositories/a/_uploads/1`))).toEqual([
        `${v2}/repositories/a/_uploads/1/startedat`,
      ]);
      const objects = (await all(driver.walk('/'))).filter(({ isDirectory }) => !isDirectory);
      expect(objects.map(({ path }) => path)).toEqual([
        `${v2}/blobs/sha256/ab/abcd/data`,
        `${v2}/repositories/a/_uploads/1/startedat`,
      ]);
      const upload = `${v2}/repositories/a/_uploads/1/data`;
      await expect(driver.getContent(upload)).rejects.toBeInstanceOf(PathNotFoundError);
      await expect(driver.reader(upload, { offset: 2 })).rejects.toBeInstanceOf(PathNotFoundError);
      await expect(driver.stat(upload)).rejects.toBeInstanceOf(PathNotFoundError);
      await expect(driver.writer(upload, { append: true })).rejects.toBeInstanceOf(PathNotFoundError);
      await driver.putContentIf(upload, Buffer.from('over it'), { ifAbsent: true });
      expect((await driver.getContent(upload)).toString()).toBe('over it');
      await driver.delete(`${v2}/repositories/b/_uploads/2`);
      expect(stub.names.filter((name) => name.includes('/b/'))).toEqual([]);
    }
  });

  it('says at its creation what is wrong with bucket, key, rights, service or parameters', async () => {
    const { stub, proxy, open } = await makeGcsScene();
    const fault = (text: string) => ({ code: 'CONFIG_INVALID', message: expect.stringContaining(text) });
    await expect(open({ bucket: 'missing' })).rejects.toMatchObject(fault('no bucket "missing"'));
    const other = await makeGcsScene();
    const { private_key } = other.stub.parameters.credentials;
    const credentials = { ...stub.parameters.credentials, private_key };
    const refused = await open({ credentials }).catch((error: unknown) => error);
    expect(refused).toMatchObject(fault('the key in parameter "credentials" is refused (invalid_grant'));
    expect((refused as Error).message).not.toContain('PRIVATE');
    stub.state.identity.isForbidden = true;
    await expect(open()).rejects.toMatchObject(fault('access is denied (403'));
    stub.state.identity.isForbidden = false;
    await expect(open({ apiendpoint: 'ftp://x' })).rejects.toMatchObject(fault('"apiendpoint"'));
    await expect(open({ chunksize: 300_000 })).rejects.toMatchObject(fault('"chunksize" is no multiple'));
    await expect(open({ keyfile: '/x' })).rejects.toMatchObject(fault('"keyfile" and "credentials" are both given'));
    const keyfile = join(await makeTempDir(), 'key.json');
    const byFile = () => open({ credentials: undefined, keyfile });
    await expect(byFile()).rejects.toMatchObject(fault(`parameter "keyfile" (${keyfile}) cannot be read (ENOENT)`));
    await writeFile(keyfile, 'no JSON');
    await expect(byFile()).rejects.toMatchObject(fault('is no JSON'));
    await writeFile(keyfile, '{"type":"service_account","client_email":"x@y"}');
    await expect(byFile()).rejects.toMatchObject(fault('has no "private_key"'));
    await expect(open({ apiendpoint: 'http://127.0.0.1:9' })).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    proxy.failNext(1, { kind: 'answer', status: 503 });
    await expect(open()).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE', retryable: true });
  });

  it('gives URLs that read one object, with the key of a service account only', async () => {
    const { stub, open } = await makeGcsScene();
    const driver = await open({ apiendpoint: stub.url, rootdirectory: 'root' });
    await driver.putContent('/a/b.c-d', Buffer.from('content'));
    const url = new URL((await driver.redirectURL('/a/b.c-d', { method: 'GET' })) ?? '');
    expect(Number(url.searchParams.get('X-Goog-Expires'))).toBeLessThanOrEqual(20 * 60);
    expect(await (await fetch(url)).text()).toBe('content');
    url.pathname = url.pathname.replace('b.c', 'other');
    expect((await fetch(url)).status).toBe(403);
    for (const method of ['HEAD', 'PUT']) expect(await driver.redirectURL('/a/b.c-d', { method })).toBeUndefined();
  });

  it('lists, walks and deletes over many pages, in the order of paths, with names held back or not', async () => {
    const { stub, open } = await makeGcsScene({ pageSize: 1000 });
    const driver = await open({ rootdirectory: 'root' });
    const names = 'a a-1 a.b a-b/c a.b-c/d a/x a/x-y a/x.y/z a/x/deep-er/one b b- b. -a'.split(' ');
    const paths = names.flatMap((name) => [`/d/${name}/q`, `/d/${name}/p-1`, `/d/${name}/p/r`]);
    for (const path of paths) stub.put(`root${path}`, 'x');
    const whole = await all(driver.walk('/d'));
    const isObject = ({ isDirectory }: { isDirectory: boolean }) => !isDirectory;
    expect(whole.filter(isObject).length).toBe(paths.length);
    const children = await all(driver.list('/d'));
    for (const limits of [{ pageSize: 2 }, { pageSize: 3, maxHeld: 1 }, { pageSize: 7, maxHeld: 4 }]) {
      const paged = await open({ rootdirectory: 'root' }, limits);
      expect(await all(paged.walk('/d'))).toEqual(whole);
      expect(await all(paged.list('/d'))).toEqual(children);
      for (const [index, after] of children.entries()) {
        expect(await all(paged.list('/d', { after, limit: 2 }))).toEqual(children.slice(index + 1, index + 3));
      }
      for (const [index, { path }] of whole.entries()) {
        if (index % 5 === 0) expect(await all(paged.walk('/d', { startAfter: path }))).toEqual(whole.slice(index + 1));
      }
    }
    await (await open({ rootdirectory: 'root' }, { pageSize: 4 })).delete('/d');
    expect(stub.names).toEqual([]);
  });

  it('joins many pieces, over several writers, and leaves nothing behind', async () => {
    const { stub, open } = await makeGcsScene({ pageSize: 1000, rewriteBytes: 7 * chunkBytes });
    const driver = await open();
    const content = randomBytes(70 * chunkBytes + 12_345);
    await leave(driver, '/upload', content.subarray(0, 40 * chunkBytes + 7));
    expect(stub.names.length).toBe(1);
    await using writer = await (await open()).writer('/upload', { append: true });
    expect(writer.size).toBe(40 * chunkBytes + 7);
    await writer.write(content.subarray(writer.size));
    expect(writer.size).toBe(content.length);
    await writer.commit();
    expect(stub.names).toEqual(['upload']);
    expect((await driver.getContent('/upload')).equals(content)).toBe(true);
    const rewrites = stub.requests.filter((line) => line.includes('/rewriteTo/'));
    expect(rewrites.length).toBe(11);
    await leave(driver, '/other', content.subarray(0, 3 * chunkBytes));
    await using next = await driver.writer('/other', { append: true });
    await next.write(content.subarray(0, 3 * chunkBytes));
    await next.cancel();
    expect(stub.names).toEqual(['upload']);
  });

  it('lets one of two processes go on with the same unfinished bytes', async () => {
    const { open } = await makeGcsScene();
    const [first, second] = [await open(), await open()];
    await leave(first, '/upload', randomBytes(100_000));
    for (const end of ['close', 'commit'] as const) {
      const mine = await first.writer('/upload', { append: true });
      const theirs = await second.writer('/upload', { append: true });
      expect(mine.revision).toBe(theirs.revision);
      await mine.write(Buffer.from('mine'));
      await theirs.write(Buffer.from('theirs'));
      await theirs.close();
      expect(theirs.revision).not.toBe(mine.revision);
      await expect(mine[end]()).rejects.toBeInstanceOf(ConflictError);
      await mine.close().catch(() => undefined);
    }
    await expect(first.stat('/upload')).rejects.toBeInstanceOf(PathNotFoundError);
    await using last = await second.writer('/upload', { append: true });
    expect(last.size).toBe(100_000 + 2 * 'theirs'.length);
  });

  it('removes unfinished bytes and pieces of killed writers with their directory, and no others', async () => {
    const { stub, open } = await makeGcsScene();
    const driver = await open({ rootdirectory: 'root' });
    const long = `/${'d'.repeat(250)}/${'e'.repeat(250)}/${'f'.repeat(250)}/${'g'.repeat(200)}`;
    for (const path of ['/a', '/a/b', '/a/b/c', '/ab', `${long}/x`]) await leave(driver, path, Buffer.from(path));
    const killed = await driver.writer('/a/b/d', { append: false });
    await killed.write(randomBytes(3 * chunkBytes));
    await driver.delete('/a/b');
    await expect(killed.commit()).rejects.toBeInstanceOf(ConflictError);
    await expect(driver.stat('/a/b/d')).rejects.toBeInstanceOf(PathNotFoundError);
    await killed.close().catch(() => undefined);
    expect(stub.names.map((name) => name.replace(/~[^~]+$/, ''))).toEqual([
      expect.stringMatching(/^root\/~=/),
      'root/~a/',
      'root/~ab/',
    ]);
    await driver.delete(long);
    await driver.delete('/a');
    expect(stub.names.length).toBe(1);
  });
});

describe('the CRC32C of the gcs driver', () => {
  it('is that of the SDK, of any bytes in any parts', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 }), (left, right) => {
        const theirs = new CRC32C();
        theirs.update(Buffer.concat([left, right]));
        const whole = parseCrc32c(theirs.toString());
        expect(crc32c(right, crc32c(left))).toBe(whole);
        expect(combineCrc32c(crc32c(left), crc32c(right), right.length)).toBe(whole);
        expect(formatCrc32c(whole ?? 0)).toBe(theirs.toString());
      }),
    );
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
  });
});
