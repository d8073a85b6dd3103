import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openCaStore } from '../../src/castore/index.ts';
import {
  BlobNotFoundError,
  DigestMismatchError,
  hashBytes,
  NoSpaceError,
  parseRepository,
  ReadOnlyError,
  UnauthorizedError,
} from '../../src/core/index.ts';
import { OriginClient } from '../../src/origin/client.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import {
  backendPath,
  blobOf,
  makeBlob,
  metricOf,
  openBackend,
  queueLength,
  readBlob,
  startOrigin,
  type TestBlob,
  until,
} from './fixture.ts';
import { makeFlaky } from './flaky-driver.ts';
import { TOKEN } from './origin-parts.ts';

async function setUp(options: { readonly capacityBytes?: number } = {}) {
  const directory = await makeTempDir();
  const root = join(directory, 'backend');
  const { driver, controls } = makeFlaky(await openBackend(root));
  const origin = await startOrigin({ directory, backend: driver, ...options });
  return { origin, root, controls, directory, driver };
}

describe('uploads to an origin', () => {
  it('keeps a blob, seeds it, and brings blob and metainfo to the backend in its layout', async () => {
    const { origin, root } = await setUp();
    const blob = makeBlob(300_000);
    await origin.client.upload(blob.digest, blob.source, { repository: parseRepository('team/app') });
    expect(await origin.castore.blobs.find(blob.digest)).toMatchObject({ sizeBytes: 300_000 });
    await until('the queue is empty', async () => (await queueLength(origin)) === 0);
    expect(await readFile(backendPath(root, blob.digest))).toEqual(blob.bytes);
    expect(await readFile(backendPath(root, blob.digest, 'metainfo'))).toEqual(
      await origin.castore.blobs.findMetainfo(blob.digest),
    );
    await until('it is not pinned', async () => (await origin.castore.blobs.pins(blob.digest)).length === 0);
    await until('it is seeded', () => origin.swarm.offers.has(blob.digest));
    expect(origin.swarm.offers.get(blob.digest)?.source).toBeUndefined();
    expect(await metricOf(origin.metrics, 'shoal_origin_uploads_total', { result: 'acknowledged' })).toBe(1);
  });

  const shapes: readonly (readonly [string, TestBlob])[] = [
    ['of no bytes', blobOf(Buffer.alloc(0))],
    ['of one byte', makeBlob(1)],
    ['longer than any limit on JSON', makeBlob(9 * 1024 * 1024)],
    ['under sha512', { ...makeBlob(5_000), digest: hashBytes(Buffer.from('x'), 'sha512') }],
  ];
  it.each(shapes)('takes a blob %s', async (_name, made) => {
    const { origin } = await setUp();
    const blob = made.digest.startsWith('sha512') ? { ...made, digest: hashBytes(made.bytes, 'sha512') } : made;
    await origin.client.upload(blob.digest, blob.source, {});
    expect(await readBlob(origin, blob.digest)).toEqual(blob.bytes);
    await until('the queue is empty', async () => (await queueLength(origin)) === 0);
  });

  it('takes a body that calls itself JSON as bytes', async () => {
    const { origin } = await setUp();
    const blob = blobOf(Buffer.from('{"not": json'));
    const response = await fetch(`${origin.url}/v1/blobs/${blob.digest}`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
      body: new Uint8Array(blob.bytes),
    });
    expect(response.status).toBe(201);
    expect(await readBlob(origin, blob.digest)).toEqual(blob.bytes);
  });

  it('refuses bytes of another digest and keeps nothing of them', async () => {
    const { origin, root } = await setUp();
    const blob = makeBlob(100_000);
    const other = makeBlob(100_000);
    await expect(origin.client.upload(blob.digest, other.source, {})).rejects.toBeInstanceOf(DigestMismatchError);
    await expect(origin.client.stat(blob.digest)).rejects.toBeInstanceOf(BlobNotFoundError);
    expect(await queueLength(origin)).toBe(0);
    expect(origin.castore.usage()).toMatchObject({ blobBytes: 0, unfinishedBytes: 0 });
    expect(existsSync(backendPath(root, blob.digest))).toBe(false);
    expect(await metricOf(origin.metrics, 'shoal_origin_uploads_total', { result: 'mismatch' })).toBe(1);
  });

  it('refuses bytes of another digest with status 400 and its code', async () => {
    const { origin } = await setUp();
    const response = await fetch(`${origin.url}/v1/blobs/${makeBlob(10).digest}`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${TOKEN}` },
      body: 'other bytes',
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: 'DIGEST_MISMATCH' });
  });

  it('keeps nothing of an upload whose client hangs up in mid-body', async () => {
    const { origin } = await setUp();
    const blob = makeBlob(200_000);
    const socket = connect(origin.server.port, '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    socket.on('error', () => undefined);
    socket.write(
      `PUT /v1/blobs/${blob.digest} HTTP/1.1\r\nHost: origin\r\nAuthorization: Bearer ${TOKEN}\r\n` +
        `Content-Length: ${blob.bytes.length}\r\n\r\n`,
    );
    socket.write(blob.bytes.subarray(0, 150_000));
    await until('bytes have come', () => origin.castore.usage().unfinishedBytes > 0);
    socket.destroy();
    await until('they are gone', () => origin.castore.usage().unfinishedBytes === 0);
    expect(await origin.castore.blobs.find(blob.digest)).toBeUndefined();
    expect(await queueLength(origin)).toBe(0);
    await until('it is counted', async () => {
      return (await metricOf(origin.metrics, 'shoal_origin_uploads_total', { result: 'failed' })) === 1;
    });
  });

  it('ends all of several uploads of one blob at the same time well', async () => {
    const { origin, root } = await setUp();
    const blob = makeBlob(2_000_000);
    const uploads = Array.from({ length: 5 }, () => origin.client.upload(blob.digest, blob.source, {}));
    await Promise.all(uploads);
    expect(await readBlob(origin, blob.digest)).toEqual(blob.bytes);
    await until('the queue is empty', async () => (await queueLength(origin)) === 0);
    expect(await readFile(backendPath(root, blob.digest))).toEqual(blob.bytes);
    expect(origin.castore.usage()).toMatchObject({ blobBytes: 2_000_000, unfinishedBytes: 0 });
  });

  it('takes a blob again that it holds, and queues it again', async () => {
    const { origin, controls } = await setUp();
    const blob = makeBlob(3_000_000);
    await origin.client.upload(blob.digest, blob.source, {});
    await until('the queue is empty', async () => (await queueLength(origin)) === 0);
    controls.down = true;
    await origin.client.upload(blob.digest, blob.source, {});
    expect(await queueLength(origin)).toBe(1);
    expect(await origin.castore.blobs.pins(blob.digest)).toEqual(['write-back']);
    controls.down = false;
    await until('the queue is empty again', async () => (await queueLength(origin)) === 0);
  });

  it('refuses a blob that does not fit, whole or in part, and goes on', async () => {
    const { origin, controls } = await setUp({ capacityBytes: 4 * 1024 * 1024 });
    controls.down = true;
    const large = makeBlob(5 * 1024 * 1024);
    await expect(origin.client.upload(large.digest, large.source, {})).rejects.toBeInstanceOf(NoSpaceError);
    const small = makeBlob(3 * 1024 * 1024);
    await origin.client.upload(small.digest, small.source, {});
    // What the backend lacks is never evicted to make room.
    const next = makeBlob(3 * 1024 * 1024);
    await expect(origin.client.upload(next.digest, next.source, {})).rejects.toBeInstanceOf(NoSpaceError);
    expect(await readBlob(origin, small.digest)).toEqual(small.bytes);
  });

  it('refuses uploads when its backend is read-only', async () => {
    const directory = await makeTempDir();
    const backend = await openBackend(join(directory, 'backend'));
    const readOnly = new Proxy(backend, {
      get: (target, name) =>
        name === 'capabilities' ? { ...target.capabilities, write: false } : Reflect.get(target, name, target),
    });
    const origin = await startOrigin({ directory, backend: readOnly });
    const blob = makeBlob(10);
    await expect(origin.client.upload(blob.digest, blob.source, {})).rejects.toBeInstanceOf(ReadOnlyError);
  });

  it('answers 401 to every route without the cluster token', async () => {
    const { origin } = await setUp();
    const blob = makeBlob(10);
    const stranger = new OriginClient({ baseUrl: origin.url, clusterToken: 'another' });
    onTestFinished(() => stranger.close());
    await expect(stranger.upload(blob.digest, blob.source, {})).rejects.toBeInstanceOf(UnauthorizedError);
    expect(await origin.castore.blobs.find(blob.digest)).toBeUndefined();
    for (const route of ['', '/stat', '/metainfo', '/inline']) {
      const response = await fetch(`${origin.url}/v1/blobs/${blob.digest}${route}`);
      expect([route, response.status]).toEqual([route, 401]);
    }
  });

  it.each([
    ['/v1/blobs/sha256:abc', 'DIGEST_INVALID'],
    ['/v1/blobs/md5:0123', 'DIGEST_INVALID'],
    [`/v1/blobs/${makeBlob(1).digest}?repository=Not%20One`, 'NAME_INVALID'],
    [`/v1/blobs/${makeBlob(1).digest}?replica=perhaps`, 'BAD_REQUEST'],
  ])('refuses PUT %s with %s', async (path, code) => {
    const { origin } = await setUp();
    const response = await fetch(origin.url + path, {
      method: 'PUT',
      headers: { authorization: `Bearer ${TOKEN}` },
      body: 'bytes',
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code });
  });

  it('lets go of all that belongs to it when it stops', async () => {
    const { origin, directory } = await setUp();
    const blob = makeBlob(1000);
    await origin.client.upload(blob.digest, blob.source, {});
    await origin.stop();
    const castore = await openCaStore({ directory: join(directory, 'castore'), capacityBytes: 1024 ** 3 });
    onTestFinished(() => castore.close());
    expect(await castore.blobs.find(blob.digest)).toBeDefined();
    await expect(fetch(`${origin.url}/healthz`)).rejects.toThrow();
  });
});
