import { readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { hashBytes } from '../../src/core/index.ts';
import { formatPath } from '../../src/pathparser/index.ts';
import { freePorts, TestProgram } from '../cluster/test-cluster.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { bytesOf, TestClient } from './client.ts';
import { folderDriver, serveRegistry } from './running-registry.ts';

/** Other tests may have the machine busy. */
const soon = { timeout: 10_000 };

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
    await expect.poll(async () => (await openFiles()) <= before, soon).toBe(true);
  });
});

describe('`shoal registry` on a folder, killed as by a loss of power', () => {
  it('goes on with an upload after every request, and in the middle of each', async () => {
    const { program, client } = await startProgram(await makeTempDir());
    const revive = async () => {
      await program.kill();
      await program.start();
    };
    const location = await client.begin('a/b');
    await revive();
    expect((await client.call('GET', location)).headers.get('range')).toBe('0-0');
    // The first chunk breaks off with the process, and so does the one behind it, which goes on with synced bytes.
    for (const [from, to] of [[0, 30_000] as const, [30_000, 50_000] as const]) {
      await cutOff(client, location, from, to, () => program.kill());
      await program.start();
      const range = (await client.call('GET', location)).headers.get('range');
      expect(range).toBe(`0-${to - 1}`);
    }
    const chunk = { body: blob.subarray(50_000, 80_000), headers: { 'content-range': '50000-79999' } };
    expect((await client.call('PATCH', location, chunk)).status).toBe(202);
    await revive();
    const put = client.open('PUT', `${location}?digest=${digest}`, { 'content-range': '80000-99999' });
    put.on('error', () => undefined).write(blob.subarray(80_000, 90_000));
    await expect.poll(async () => (await client.call('GET', location)).headers.get('range'), soon).toBe('0-89999');
    await revive();
    expect((await client.call('HEAD', `/v2/a/b/blobs/${digest}`)).status).toBe(404);
    const rest = { body: blob.subarray(90_000), headers: { 'content-range': '90000-99999' } };
    expect((await client.call('PUT', `${location}?digest=${digest}`, rest)).status).toBe(201);
    await revive();
    expect((await client.call('GET', `/v2/a/b/blobs/${digest}`)).body.equals(blob)).toBe(true);
  });

  it('takes an upload over from a second one on the same folder that was killed while it wrote to it', async () => {
    const folder = await makeTempDir();
    const [one, two] = await Promise.all([startProgram(folder), startProgram(folder)]);
    const location = await one.client.begin('a/b');
    await one.client.call('PATCH', location, { body: blob.subarray(0, 20_000) });
    await cutOff(two.client, location, 20_000, 60_000, () => two.program.kill());
    expect((await one.client.call('GET', location)).headers.get('range')).toBe('0-59999');
    const rest = { body: blob.subarray(60_000), headers: { 'content-range': '60000-99999' } };
    expect((await one.client.call('PUT', `${location}?digest=${digest}`, rest)).status).toBe(201);
    await two.program.start();
    expect((await two.client.call('GET', `/v2/a/b/blobs/${digest}`)).body.equals(blob)).toBe(true);
  });
});

/** A process of its own on a folder, ended with the test. */
async function startProgram(folder: string): Promise<{ program: TestProgram; client: TestClient }> {
  const [port] = await freePorts(1);
  const program = new TestProgram({
    name: 'registry',
    role: 'registry',
    port: port!,
    directory: await makeTempDir(),
    config: {
      listen: { host: '127.0.0.1', port },
      driver: 'filesystem',
      parameters: { rootdirectory: join(folder, 'root') },
    },
  });
  onTestFinished(() => program.kill());
  await program.start();
  return { program, client: new TestClient(program.url) };
}

/** Sends a part of a chunk, and kills the registry when it has that. */
async function cutOff(client: TestClient, location: string, from: number, to: number, kill: () => Promise<void>) {
  const request = client.open('PATCH', location, { 'transfer-encoding': 'chunked' });
  request.on('error', () => undefined).write(blob.subarray(from, to));
  await expect.poll(async () => (await client.call('GET', location)).headers.get('range'), soon).toBe(`0-${to - 1}`);
  await kill();
}

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
