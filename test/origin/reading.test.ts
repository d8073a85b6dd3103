import { existsSync } from 'node:fs';
import { mkdir, readdir, readlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BlobNotFoundError, InvalidRangeError, UnavailableError } from '../../src/core/index.ts';
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
  startOrigins,
  type TestBlob,
  until,
} from './fixture.ts';
import { makeFlaky } from './flaky-driver.ts';
import { type TestOrigin, TOKEN } from './origin-parts.ts';

async function setUp(options: { readonly capacityBytes?: number } = {}) {
  const directory = await makeTempDir();
  const root = join(directory, 'backend');
  const { driver, controls } = makeFlaky(await openBackend(root));
  const origin = await startOrigin({ directory, backend: driver, ...options });
  return { origin, root, controls };
}

/** Puts a blob into the backend's folder as `distribution` leaves it: no metainfo, nothing else. */
async function putInBackend(root: string, { digest, bytes }: Pick<TestBlob, 'digest' | 'bytes'>): Promise<void> {
  const path = backendPath(root, digest);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, bytes);
}

function get(origin: TestOrigin, digest: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${origin.url}/v1/blobs/${digest}`, { headers: { authorization: `Bearer ${TOKEN}`, ...headers } });
}

describe('reading from an origin', () => {
  it('serves a blob of a folder in distribution’s layout, and brings it to its disk', async () => {
    const { origin, root } = await setUp();
    const blob = makeBlob(3_000_000);
    await putInBackend(root, blob);
    expect(await origin.client.stat(blob.digest)).toBe(3_000_000);
    expect(await origin.castore.blobs.find(blob.digest)).toBeUndefined();
    const body = await readBlob(origin, blob.digest);
    expect(body.equals(blob.bytes)).toBe(true);
    await until('it is on disk', async () => (await origin.castore.blobs.find(blob.digest)) !== undefined);
    expect(await origin.castore.blobs.pins(blob.digest)).toEqual([]);
    await until('it is seeded', () => origin.swarm.offers.has(blob.digest));
  });

  it('serves what is on its disk while the backend is down', async () => {
    const { origin, controls } = await setUp();
    const blob = makeBlob(500_000);
    await origin.client.upload(blob.digest, blob.source, {});
    controls.down = true;
    expect(await origin.client.stat(blob.digest)).toBe(500_000);
    expect((await readBlob(origin, blob.digest)).equals(blob.bytes)).toBe(true);
    expect(await metricOf(origin.metrics, 'shoal_origin_sent_bytes_total', { via: 'http' })).toBe(500_000);
  });

  describe.each(['cold', 'warm'])('a range of a %s blob', (temperature) => {
    const bytes = Buffer.from('0123456789');
    const setUpBlob = async () => {
      const { origin, root } = await setUp();
      const blob = blobOf(bytes);
      if (temperature === 'cold') await putInBackend(root, blob);
      else await origin.client.upload(blob.digest, blob.source, {});
      return { origin, blob };
    };

    it.each([
      ['bytes=0-0', '0', '0-0'],
      ['bytes=2-5', '2345', '2-5'],
      ['bytes=7-', '789', '7-9'],
      ['bytes=7-100', '789', '7-9'],
      ['bytes=-3', '789', '7-9'],
      ['bytes=-100', '0123456789', '0-9'],
    ])('%s gives 206 with %s', async (range, expected, place) => {
      const { origin, blob } = await setUpBlob();
      const response = await get(origin, blob.digest, { range });
      expect([response.status, await response.text()]).toEqual([206, expected]);
      expect(response.headers.get('content-range')).toBe(`bytes ${place}/10`);
      expect(response.headers.get('content-length')).toBe(String(expected.length));
    });

    it.each(['', 'bytes=', 'bytes=-', 'lines=1-2', 'bytes=1-2,4-5', 'bytes=5-2', 'bytes=a-b'])(
      '"%s" is none: the whole comes',
      async (range) => {
        const { origin, blob } = await setUpBlob();
        const response = await get(origin, blob.digest, { range });
        expect([response.status, await response.text()]).toEqual([200, '0123456789']);
      },
    );

    it.each(['bytes=10-', 'bytes=10-12', 'bytes=-0'])('%s is answered with 416', async (range) => {
      const { origin, blob } = await setUpBlob();
      const response = await get(origin, blob.digest, { range });
      expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([416, 'RANGE_INVALID']);
    });
  });

  it('reads ranges through its client', async () => {
    const { origin } = await setUp();
    const blob = makeBlob(100_000);
    await origin.client.upload(blob.digest, blob.source, {});
    const part = await origin.client.open(blob.digest, { offset: 70_000, length: 10_000 });
    expect(Buffer.concat(await part.toArray())).toEqual(blob.bytes.subarray(70_000, 80_000));
    const outside = origin.client.open(blob.digest, { offset: 100_000, length: 1 });
    await expect(outside).rejects.toBeInstanceOf(InvalidRangeError);
  });

  it('breaks a response off, and keeps nothing, when the backend has other bytes under the digest', async () => {
    const { origin, root } = await setUp();
    const blob = makeBlob(400_000);
    await putInBackend(root, { digest: blob.digest, bytes: makeBlob(400_000).bytes });
    const response = await get(origin, blob.digest);
    expect(response.status).toBe(200);
    await expect(response.arrayBuffer()).rejects.toThrow();
    await until('the fill has failed', async () => {
      return (await metricOf(origin.metrics, 'shoal_origin_fills_total', { result: 'failed' })) === 1;
    });
    expect(await origin.castore.blobs.find(blob.digest)).toBeUndefined();
    expect(origin.castore.usage()).toMatchObject({ blobBytes: 0, unfinishedBytes: 0 });
    expect(origin.swarm.offers.size).toBe(0);
  });

  it('reads a blob that does not fit on its disk through', async () => {
    const { origin, root } = await setUp({ capacityBytes: 1024 * 1024 });
    const blob = makeBlob(2_000_000);
    await putInBackend(root, blob);
    expect((await readBlob(origin, blob.digest)).equals(blob.bytes)).toBe(true);
    expect(await metricOf(origin.metrics, 'shoal_origin_fills_total')).toBe(0);
  });

  it('reads a cold blob once from the backend however many ask for its metainfo', async () => {
    const { origin, root, controls } = await setUp();
    const blob = makeBlob(1_000_000);
    await putInBackend(root, blob);
    await Promise.all(Array.from({ length: 8 }, () => origin.client.metainfo(blob.digest)));
    expect(controls.calls.filter((call) => call === `reader ${backendPath('/', blob.digest)}`)).toHaveLength(1);
  });

  it('answers 404 for a blob that is nowhere', async () => {
    const { origin } = await setUp();
    const { digest } = makeBlob(10);
    await expect(origin.client.stat(digest)).rejects.toBeInstanceOf(BlobNotFoundError);
    await expect(origin.client.open(digest, undefined)).rejects.toBeInstanceOf(BlobNotFoundError);
    await expect(origin.client.metainfo(digest)).rejects.toBeInstanceOf(BlobNotFoundError);
    await expect(origin.client.inline(digest)).rejects.toBeInstanceOf(BlobNotFoundError);
  });

  it('does not say "not found" of a cold blob while the backend is down', async () => {
    const { origin, controls } = await setUp();
    controls.down = true;
    const { digest } = makeBlob(10);
    await expect(origin.client.stat(digest)).rejects.toBeInstanceOf(UnavailableError);
    await expect(origin.client.open(digest, undefined)).rejects.toBeInstanceOf(UnavailableError);
    await expect(origin.client.metainfo(digest)).rejects.toBeInstanceOf(UnavailableError);
  });

  it('looks on its own disk only when it is asked to', async () => {
    const { origin, root } = await setUp();
    const blob = makeBlob(10);
    await putInBackend(root, blob);
    const local = origin.client.stat(blob.digest, undefined, { local: true });
    await expect(local).rejects.toBeInstanceOf(BlobNotFoundError);
    const bytes = origin.client.open(blob.digest, undefined, undefined, { local: true });
    await expect(bytes).rejects.toBeInstanceOf(BlobNotFoundError);
  });

  it('closes what it has open when a client goes away in mid-body', async () => {
    const { origin } = await setUp();
    const blob = makeBlob(20_000_000);
    await origin.client.upload(blob.digest, blob.source, {});
    await until('the queue is empty', async () => (await queueLength(origin)) === 0);
    await until('it is seeded', () => origin.swarm.offers.has(blob.digest));
    await until('nothing is open', async () => (await openFilesOf(blob)).length === 0);
    const stream = await origin.client.open(blob.digest, undefined);
    stream.on('error', () => undefined);
    await until('bytes have come', () => stream.readableLength > 0 || stream.read() !== null);
    expect(await openFilesOf(blob)).toHaveLength(1);
    stream.destroy();
    await until('nothing is open', async () => (await openFilesOf(blob)).length === 0);
  });
});

describe('origins that help each other', () => {
  async function setUpTwo() {
    const directory = await makeTempDir();
    const root = join(directory, 'backend');
    const { driver, controls } = makeFlaky(await openBackend(root));
    controls.down = true;
    const { origins } = await startOrigins(2, { directory, backend: driver });
    const [first, second] = origins as [TestOrigin, TestOrigin];
    return { first, second, controls, root };
  }

  it('serve what only the other one holds, bring it back, and queue its write-back', async () => {
    const { first, second, controls } = await setUpTwo();
    const blob = makeBlob(700_000);
    await first.client.upload(blob.digest, blob.source, { replica: true });
    expect(await second.client.stat(blob.digest)).toBe(700_000);
    expect((await readBlob(second, blob.digest)).equals(blob.bytes)).toBe(true);
    await second.client.metainfo(blob.digest);
    expect(await second.castore.blobs.pins(blob.digest)).toEqual(['write-back']);
    controls.down = false;
    expect(await second.client.stat(blob.digest, undefined, { local: true })).toBe(700_000);
  });

  it('do not ask in circles for a blob that is nowhere', async () => {
    const { first, controls } = await setUpTwo();
    controls.down = false;
    await expect(first.client.stat(makeBlob(10).digest)).rejects.toBeInstanceOf(BlobNotFoundError);
  });

  it('do not say "not found" while the other one is down', async () => {
    const { first, second, controls } = await setUpTwo();
    controls.down = false;
    await second.stop();
    await expect(first.client.stat(makeBlob(10).digest)).rejects.toBeInstanceOf(UnavailableError);
  });

  it('take a blob from the other one when the backend has other bytes', async () => {
    const { first, second, controls, root } = await setUpTwo();
    const blob = makeBlob(300_000);
    await first.client.upload(blob.digest, blob.source, { replica: true });
    await putInBackend(root, { digest: blob.digest, bytes: makeBlob(300_000).bytes });
    controls.down = false;
    await second.client.metainfo(blob.digest);
    expect((await readBlob(second, blob.digest)).equals(blob.bytes)).toBe(true);
    expect(existsSync(backendPath(root, blob.digest))).toBe(true);
  });
});

/** Files that this process has open of one blob. */
async function openFilesOf({ digest }: TestBlob): Promise<string[]> {
  const links = await readdir('/proc/self/fd');
  const targets = await Promise.all(links.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
  return targets.filter((target) => target.includes(digest.slice('sha256:'.length)));
}
