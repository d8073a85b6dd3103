import { readdir, readlink } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { hashBytes } from '../../src/core/index.ts';
import { formatPath } from '../../src/pathparser/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { bytesOf } from './client.ts';
import { folderDriver, serveRegistry } from './running-registry.ts';

const blob = bytesOf('restart', 100_000);
const digest = hashBytes(blob);

describe('a registry on a folder that is started again', () => {
  it('goes on with an upload, and verifies the bytes of before too', async () => {
    const folder = await makeTempDir();
    const first = await start(folder);
    const location = await first.client.begin('a/b');
    const spoilt = await first.client.begin('a/b');
    await first.client.call('PATCH', location, { body: blob.subarray(0, 60_000) });
    await first.client.call('PATCH', spoilt, { body: blob.subarray(1, 60_001) });
    await first.stop();

    const { client } = await start(folder);
    const status = await client.call('GET', location);
    expect([status.status, status.headers.get('range')]).toEqual([204, '0-59999']);
    const rest = { body: blob.subarray(60_000), headers: { 'content-range': '60000-99999' } };
    const refused = await client.call('PUT', `${spoilt}?digest=${digest}`, rest);
    expect([refused.status, ...refused.codes]).toEqual([400, 'DIGEST_INVALID']);
    expect((await client.call('HEAD', `/v2/a/b/blobs/${digest}`)).status).toBe(404);
    expect((await client.call('PUT', `${location}?digest=${digest}`, rest)).status).toBe(201);
    expect((await client.call('GET', `/v2/a/b/blobs/${digest}`)).body.equals(blob)).toBe(true);
  });

  it('finishes an upload that stopped between closing its bytes and making them a blob', async () => {
    const folder = await makeTempDir();
    const first = await start(folder);
    const location = await first.client.begin('a/b');
    const uploadId = location.split('/').at(-1)!;
    await first.client.call('PATCH', location, { body: blob });
    const path = formatPath({ kind: 'upload-data', repository: 'a/b' as never, uploadId });
    const writer = await first.driver.writer(path, { append: true });
    await writer.commit();
    await writer.close();
    await first.stop();

    const { client } = await start(folder);
    expect((await client.call('GET', location)).headers.get('range')).toBe('0-99999');
    expect((await client.call('PUT', `${location}?digest=${digest}`)).status).toBe(201);
    expect((await client.call('GET', `/v2/a/b/blobs/${digest}`)).body.equals(blob)).toBe(true);
  });

  it('has everything that it acknowledged', async () => {
    const folder = await makeTempDir();
    const first = await start(folder);
    const image = await first.client.putImage('a/b', ['v1', 'v2']);
    await first.stop();
    const { client } = await start(folder);
    expect((await client.call('GET', '/v2/a/b/manifests/v2')).body.equals(image.bytes)).toBe(true);
    expect(JSON.parse((await client.call('GET', '/v2/_catalog')).body.toString())).toEqual({ repositories: ['a/b'] });
  });

  it('has no file open for clients that hung up', async () => {
    const { client } = await start(await makeTempDir());
    await client.putBlob('a', blob);
    const before = await openFiles();
    for (let round = 0; round < 10; round += 1) {
      const request = client.open('PATCH', await client.begin('a'), { 'content-length': '1000000' });
      const closed = new Promise((resolve) => request.on('error', () => undefined).once('close', resolve));
      request.write(blob.subarray(0, 5000), () => setImmediate(() => request.destroy()));
      await closed;
    }
    await expect.poll(async () => (await openFiles()) <= before).toBe(true);
  });
});

async function start(folder: string) {
  const driver = await folderDriver(folder);
  const { app, client } = await serveRegistry(driver);
  const stop = async () => {
    await app.close();
    await driver.close();
  };
  return { driver, client, stop };
}

/** Files of the folders of tests that this process has open. */
async function openFiles(): Promise<number> {
  const names = await readdir('/proc/self/fd');
  const targets = await Promise.all(names.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => '')));
  return targets.filter((target) => target.includes('shoal-test-')).length;
}
