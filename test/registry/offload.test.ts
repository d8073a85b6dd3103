import { type ChildProcess, spawn } from 'node:child_process';
import { unlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import Fastify from 'fastify';
import { describe, expect, it, onTestFinished } from 'vitest';
import { EXAMPLE_PREFIX, nginxConfig } from '../../bench/registry/nginx-config.ts';
import { ConfigError, type Digest, hashBytes } from '../../src/core/index.ts';
import { InvalidPathError } from '../../src/driver/index.ts';
import type { RegistryEvent } from '../../src/registry/index.ts';
import { type OffloadOptions, openDelivery } from '../../src/registry/offload.ts';
import { registerRegistry } from '../../src/registry/registry.ts';
import { hasPrograms } from '../helpers/command.ts';
import { testLogger } from '../helpers/logger.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { bytesOf, TestClient } from './client.ts';
import { folderDriver, memoryDriver, serveRegistry } from './running-registry.ts';

const offload: OffloadOptions = { kind: 'x-accel', prefix: EXAMPLE_PREFIX };
const blob = bytesOf('offload', 300_000);
const digest = hashBytes(blob);
const path = `/v2/team/app/blobs/${digest}`;

describe('a registry that hands blobs to a web server', () => {
  it('names the file in a header, and sends no byte of it', async () => {
    const { client } = await withBlob();
    const answer = await client.call('GET', path);
    expect([answer.status, answer.body.length]).toEqual([200, 0]);
    expect(answer.headers.get('x-accel-redirect')).toBe(locationOf(digest));
    expect(answer.headers.get('content-type')).toBe('application/octet-stream');
    expect(answer.headers.get('docker-content-digest')).toBe(digest);
    expect(answer.headers.get('etag')).toBe(`"${digest}"`);
    expect(answer.headers.get('cache-control')).toBe('max-age=31536000');
    expect(answer.headers.get('accept-ranges')).toBe(null);
  });

  it('answers HEAD, 304, 416 and what is not in the repository as ever', async () => {
    const { client } = await withBlob();
    const head = await client.call('HEAD', path);
    expect([head.status, head.headers.get('content-length')]).toEqual([200, String(blob.length)]);
    const unchanged = await client.call('GET', path, { headers: { 'if-none-match': `"${digest}"` } });
    const outside = await client.call('GET', path, { headers: { range: 'bytes=999999-' } });
    const elsewhere = await client.call('GET', `/v2/other/blobs/${digest}`);
    expect([unchanged.status, outside.status, elsewhere.status]).toEqual([304, 416, 404]);
    expect(outside.headers.get('content-range')).toBe(`bytes */${blob.length}`);
    for (const answer of [head, unchanged, outside, elsewhere]) {
      expect(answer.headers.get('x-accel-redirect')).toBe(null);
    }
  });

  it('takes nothing of the header from the client', async () => {
    const { client, url } = await withBlob();
    const headers = { 'x-accel-redirect': '/_shoal/etc/passwd', 'x-sendfile-type': 'X-Accel-Redirect' };
    expect((await client.call('GET', path, { headers })).headers.get('x-accel-redirect')).toBe(locationOf(digest));
    for (const wrong of ['sha256:../../../etc/passwd', `${digest}%0d%0aX-Accel-Redirect:%20%2fetc`, `${digest}/..`]) {
      const answer = await asWritten(url, `/v2/team/app/blobs/${wrong}`);
      expect([wrong, answer.status >= 400, answer.accel]).toEqual([wrong, true, undefined]);
    }
  });

  it('follows the links of distribution from sha512 to the bytes', async () => {
    const folder = await makeTempDir();
    const { client } = await withBlob(folder);
    const sha512 = hashBytes(blob, 'sha512');
    const link = `/docker/registry/v2/repositories/team/app/_layers/sha512/${hexOf(sha512)}/link`;
    await (await folderDriver(folder)).putContent(link, Buffer.from(digest));
    const answer = await client.call('GET', `/v2/team/app/blobs/${sha512}`);
    expect(answer.headers.get('x-accel-redirect')).toBe(locationOf(digest));
    expect(answer.headers.get('docker-content-digest')).toBe(sha512);
  });

  it('tells of the pull', async () => {
    const events: RegistryEvent[] = [];
    const { client } = await withBlob(undefined, { publish: (event) => void events.push(event) });
    events.length = 0;
    await client.call('HEAD', path);
    await client.call('GET', path);
    expect(events).toMatchObject([{ action: 'pull', kind: 'blob', digest, sizeBytes: blob.length }]);
  });

  it('leaves manifests alone', async () => {
    const { client } = await withBlob();
    const image = await client.putImage('team/app', ['v1']);
    const answer = await client.call('GET', '/v2/team/app/manifests/v1');
    expect(answer.body.equals(image.bytes)).toBe(true);
    expect(answer.headers.get('x-accel-redirect')).toBe(null);
  });

  it('does not start on a driver without files', async () => {
    const register = async () =>
      registerRegistry(Fastify(), { driver: await memoryDriver(), logger: testLogger(), offload });
    await expect(register()).rejects.toThrow(ConfigError);
    await expect(register()).rejects.toThrow(/filesystem.*driver inmemory: leave registry\.offload out/);
  });

  it.each(['', '/', 'shoal', '/shoal/', '/a b', '/a\r\nb', '/a/../b', '/v2', '/v2/blobs', '/%2e'])(
    'does not start with the prefix %j',
    async (prefix) => {
      const driver = await folderDriver();
      expect(() => openDelivery({ driver, offload: { kind: 'x-accel', prefix } })).toThrow(ConfigError);
    },
  );

  it.each(['/a/../b', '/a\nb', 'a', '/a?b', '/a%2fb'])('never puts the path %j into a header', async (wrong) => {
    const delivery = openDelivery({ driver: await folderDriver(), offload });
    expect(() => delivery.offload?.(wrong)).toThrow(InvalidPathError);
  });
});

// Skipped only where the program is missing; never in CI.
describe.skipIf(!hasPrograms('nginx'))('nginx in front of a registry, with the example of deploy/nginx', () => {
  it('takes pushes, and sends whole blobs with the headers of the registry', async () => {
    const { front } = await withNginx();
    const pushed = bytesOf('through nginx', 2_000_000);
    const other = await front.putBlob('team/app', pushed);
    const answer = await front.call('GET', `/v2/team/app/blobs/${other}`);
    expect([answer.status, answer.body.equals(pushed)]).toEqual([200, true]);
    // Each once: two of a kind would be joined by a comma.
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'accept-ranges': 'bytes',
      'cache-control': 'max-age=31536000',
      'content-length': String(pushed.length),
      'content-type': 'application/octet-stream',
      'docker-content-digest': other,
      'docker-distribution-api-version': 'registry/2.0',
      etag: `"${other}"`,
    });
    expect(answer.headers.get('x-request-id')).toMatch(/./);
    for (const absent of ['x-accel-redirect', 'last-modified']) expect(answer.headers.get(absent)).toBe(null);
  });

  it('sends the bytes from the file, which the registry does not read', async () => {
    const { front, folder } = await withNginx();
    await writeFile(fileOf(folder, digest), bytesOf('written over', blob.length));
    expect((await front.call('GET', path)).body.equals(bytesOf('written over', blob.length))).toBe(true);
    await unlink(fileOf(folder, digest));
    expect((await front.call('GET', path)).status).toBe(404);
  });

  it.each([
    ['bytes=10-19', 10, 20],
    ['bytes=299990-', 299_990, 300_000],
    ['bytes=-5', 299_995, 300_000],
    ['bytes=299990-999999', 299_990, 300_000],
  ])('sends the range %s', async (range, from, to) => {
    const { front } = await withNginx();
    const answer = await front.call('GET', path, { headers: { range } });
    expect([answer.status, answer.body.equals(blob.subarray(from, to))]).toEqual([206, true]);
    expect(answer.headers.get('content-range')).toBe(`bytes ${from}-${to - 1}/${blob.length}`);
    expect(answer.headers.get('docker-content-digest')).toBe(digest);
  });

  it('sends several ranges in parts', async () => {
    const { front } = await withNginx();
    const answer = await front.call('GET', path, { headers: { range: 'bytes=0-9,100-119' } });
    expect(answer.status).toBe(206);
    expect(answer.headers.get('content-type')).toMatch(/^multipart\/byteranges; boundary=/);
    const text = answer.body.toString('latin1');
    expect(text).toContain(blob.subarray(0, 10).toString('latin1'));
    expect(text).toContain(blob.subarray(100, 120).toString('latin1'));
    expect(text.match(/content-range: bytes (0-9|100-119)\/300000/gi)).toHaveLength(2);
  });

  it('minds If-Range by the digest', async () => {
    const { front } = await withNginx();
    const call = (condition: string) =>
      front.call('GET', path, { headers: { range: 'bytes=0-9', 'if-range': condition } });
    expect((await call(`"${digest}"`)).status).toBe(206);
    expect((await call(`"${hashBytes(Buffer.from('other'))}"`)).status).toBe(200);
  });

  it('hands on what the registry answers by itself: 304, 416, HEAD', async () => {
    const { front } = await withNginx();
    const unchanged = await front.call('GET', path, { headers: { 'if-none-match': `W/"${digest}"` } });
    expect([unchanged.status, unchanged.headers.get('etag')]).toEqual([304, `"${digest}"`]);
    const changed = await front.call('GET', path, {
      headers: { 'if-none-match': '"other"', 'if-modified-since': new Date(2100, 0).toUTCString() },
    });
    expect([changed.status, changed.body.equals(blob)]).toEqual([200, true]);
    const outside = await front.call('GET', path, { headers: { range: 'bytes=300000-' } });
    expect([outside.status, ...outside.codes]).toEqual([416, 'RANGE_INVALID']);
    const head = await front.call('HEAD', path);
    expect([head.status, head.headers.get('content-length')]).toEqual([200, String(blob.length)]);
    expect(head.headers.get('docker-content-digest')).toBe(digest);
  });

  it('gives nobody a blob of another repository, or a file that was not asked for through the registry', async () => {
    const { front, frontUrl } = await withNginx();
    const elsewhere = await front.call('GET', `/v2/other/blobs/${digest}`);
    expect([elsewhere.status, ...elsewhere.codes]).toEqual([404, 'BLOB_UNKNOWN']);
    for (const direct of [
      locationOf(digest),
      `/v2/..${locationOf(digest)}`,
      `/v2/%2e%2e${locationOf(digest)}`,
      '/_shoal/docker/registry/v2/repositories/team/app/_layers/',
    ]) {
      expect([direct, (await asWritten(frontUrl, direct)).status]).toEqual([direct, 404]);
    }
  });

  it('sends an empty blob', async () => {
    const { front } = await withNginx();
    const empty = await front.putBlob('team/app', Buffer.alloc(0));
    const answer = await front.call('GET', `/v2/team/app/blobs/${empty}`);
    expect([answer.status, answer.headers.get('content-length')]).toEqual([200, '0']);
  });
});

/** A registry that offloads, with one blob. */
async function withBlob(folder?: string, events?: { publish(event: RegistryEvent): void }) {
  const served = await serveRegistry(await folderDriver(folder), { offload, ...(events ? { events } : {}) });
  await served.client.putBlob('team/app', blob);
  return served;
}

/** The same behind nginx. */
async function withNginx(): Promise<{
  readonly front: TestClient;
  readonly frontUrl: string;
  readonly folder: string;
}> {
  const folder = await makeTempDir();
  const { url } = await withBlob(folder);
  const directory = await makeTempDir();
  const port = await freePort();
  const config = join(directory, 'nginx.conf');
  const place = { directory, port, registryPort: Number(new URL(url).port), rootdirectory: folder };
  await writeFile(config, await nginxConfig(place));
  const child = spawn('nginx', ['-p', directory, '-e', 'stderr', '-c', config], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  onTestFinished(() => ended(child));
  const frontUrl = `http://127.0.0.1:${port}`;
  const front = new TestClient(frontUrl);
  const status = () =>
    front.call('GET', '/v2/').then(
      (answer) => answer.status,
      () => errors,
    );
  await expect.poll(status, { timeout: 10_000 }).toBe(200);
  return { front, frontUrl, folder };
}

/** A GET of a path as it is written: `fetch` would resolve the dots in it. */
function asWritten(url: string, path: string): Promise<{ readonly status: number; readonly accel: unknown }> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    request({ hostname, port, path, agent: false }, (response) => {
      response.resume();
      resolve({ status: response.statusCode ?? 0, accel: response.headers['x-accel-redirect'] });
    })
      .once('error', reject)
      .end();
  });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await exited;
}

function hexOf(of: Digest): string {
  const [algorithm = '', hex = ''] = of.split(':');
  return algorithm === 'sha256' ? `${hex.slice(0, 2)}/${hex}` : hex;
}

function fileOf(folder: string, of: Digest): string {
  return join(folder, 'docker/registry/v2/blobs/sha256', hexOf(of), 'data');
}

function locationOf(of: Digest): string {
  return `/_shoal/docker/registry/v2/blobs/sha256/${hexOf(of)}/data`;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
