import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodeMetainfo, encodeMetainfo, type Metainfo, parseDigest } from '../../src/core/index.ts';
import { generateMetainfo } from '../../src/swarm/index.ts';
import { decodeMetainfoAnswer } from '../../src/tracker/protocol.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import {
  backendPath,
  makeBlob,
  metricOf,
  openBackend,
  queueLength,
  startOrigin,
  startOrigins,
  type TestBlob,
  until,
} from './fixture.ts';
import { makeFlaky } from './flaky-driver.ts';
import type { TestOrigin } from './origin-parts.ts';

const KIB = 1024;

async function setUp(options: { readonly capacityBytes?: number } = {}) {
  const directory = await makeTempDir();
  const root = join(directory, 'backend');
  const { driver, controls } = makeFlaky(await openBackend(root));
  const start = () => startOrigin({ directory, backend: driver, ...options });
  return { origin: await start(), root, controls, start };
}

async function putFile(path: string, bytes: Buffer): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, bytes);
}

/** Metainfo with a piece length that the table does not give to a blob as small. */
function oddMetainfo(blob: TestBlob): Promise<Metainfo> {
  return generateMetainfo(blob.digest, blob.bytes.length, toChunks(blob.bytes), 256 * KIB);
}

async function* toChunks(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

async function metainfoOf(origin: TestOrigin, blob: TestBlob): Promise<Metainfo> {
  return decodeMetainfo(await origin.client.metainfo(blob.digest));
}

describe('metainfo of a blob', () => {
  it('is that of its bytes, the same each time', async () => {
    const { origin } = await setUp();
    const blob = makeBlob(200 * KIB + 1);
    await origin.client.upload(blob.digest, blob.source, {});
    const expected = await generateMetainfo(blob.digest, blob.bytes.length, toChunks(blob.bytes));
    expect(await metainfoOf(origin, blob)).toEqual(expected);
    expect(await metainfoOf(origin, blob)).toEqual(expected);
  });

  it('has the piece length that the backend has stored, when that is an odd one', async () => {
    const { origin, root } = await setUp();
    const blob = makeBlob(600 * KIB);
    const odd = encodeMetainfo(await oddMetainfo(blob));
    await putFile(backendPath(root, blob.digest, 'metainfo'), odd);
    await origin.client.upload(blob.digest, blob.source, {});
    expect(await origin.client.metainfo(blob.digest)).toEqual(odd);
    await until('the queue is empty', async () => (await queueLength(origin)) === 0);
    expect(await readFile(backendPath(root, blob.digest, 'metainfo'))).toEqual(odd);
    expect(await origin.castore.blobs.findMetainfo(blob.digest)).toEqual(odd);
    expect(origin.swarm.offers.get(blob.digest)?.metainfo.pieceLength).toBe(256 * KIB);
  });

  it('is the same on all origins', async () => {
    const directory = await makeTempDir();
    const { origins } = await startOrigins(2, { directory, backend: await openBackend(join(directory, 'backend')) });
    const blob = makeBlob(300 * KIB);
    await origins[0]!.client.upload(blob.digest, blob.source, {});
    const answers = await Promise.all(origins.map((origin) => origin.client.metainfo(blob.digest)));
    expect(answers[0]).toEqual(answers[1]);
  });

  it('is provisional while the backend is down, and gives way to what is stored there', async () => {
    const { origin, root, controls } = await setUp();
    const blob = makeBlob(600 * KIB);
    const odd = await oddMetainfo(blob);
    await putFile(backendPath(root, blob.digest, 'metainfo'), encodeMetainfo(odd));
    controls.down = true;
    await origin.client.upload(blob.digest, blob.source, {});
    expect(await metainfoOf(origin, blob)).toMatchObject({ pieceLength: 64 * KIB });
    expect(origin.swarm.offers.get(blob.digest)?.metainfo.pieceLength).toBe(64 * KIB);
    expect(await origin.castore.blobs.findMetainfo(blob.digest)).toBeUndefined();
    controls.down = false;
    await until('the queue is empty', async () => (await queueLength(origin)) === 0);
    expect(await metainfoOf(origin, blob)).toEqual(odd);
    expect(origin.swarm.unseeded).toEqual([blob.digest]);
    expect(origin.swarm.offers.get(blob.digest)?.metainfo.pieceLength).toBe(256 * KIB);
  });

  it.each([
    ['no metainfo', Buffer.from('garbage')],
    ['of another digest', otherMetainfo('sha256:'.padEnd(71, 'a'), 5)],
    ['of another length', undefined],
  ])('takes the place of a file in the backend that is %s', async (_name, stored) => {
    const { origin, root } = await setUp();
    const blob = makeBlob(100 * KIB);
    const path = backendPath(root, blob.digest, 'metainfo');
    await putFile(path, stored ?? otherMetainfo(blob.digest, 99 * KIB));
    await origin.client.upload(blob.digest, blob.source, {});
    const expected = encodeMetainfo(await generateMetainfo(blob.digest, 100 * KIB, toChunks(blob.bytes)));
    expect(await origin.client.metainfo(blob.digest)).toEqual(expected);
    await until('the queue is empty', async () => (await queueLength(origin)) === 0);
    expect(await readFile(path)).toEqual(expected);
  });

  it('of a cold blob is made, stored beside it, and makes it a seed', async () => {
    const { origin, root } = await setUp();
    const blob = makeBlob(300 * KIB);
    await putFile(backendPath(root, blob.digest), blob.bytes);
    const encoded = await origin.client.metainfo(blob.digest);
    expect(await readFile(backendPath(root, blob.digest, 'metainfo'))).toEqual(encoded);
    expect(await origin.castore.blobs.findMetainfo(blob.digest)).toEqual(encoded);
    expect(origin.swarm.offers.get(blob.digest)?.source).toBeUndefined();
  });

  it('of a cold blob that the backend has makes it a seed at once, piece by piece, until it is here', async () => {
    const { origin, root, controls } = await setUp();
    const blob = makeBlob(300 * KIB);
    await putFile(backendPath(root, blob.digest), blob.bytes);
    const stored = encodeMetainfo(await oddMetainfo(blob));
    await putFile(backendPath(root, blob.digest, 'metainfo'), stored);
    // The first read of the blob is that of the fill: it has to wait.
    const gate = Promise.withResolvers<void>();
    let reads = 0;
    controls.before = async (method, path) => {
      if (method === 'reader' && path.endsWith('/data') && reads++ === 0) await gate.promise;
    };
    expect(await origin.client.metainfo(blob.digest)).toEqual(stored);
    await until('the fill has begun', () => reads === 1);
    const { source } = origin.swarm.offers.get(blob.digest)!;
    expect(await source!.read(256 * KIB, 44 * KIB)).toEqual(blob.bytes.subarray(256 * KIB));
    expect(await source!.read(10, 20)).toEqual(blob.bytes.subarray(10, 30));
    expect(await origin.castore.blobs.find(blob.digest)).toBeUndefined();
    gate.resolve();
    await until('it is seeded from disk', () => origin.swarm.offers.get(blob.digest)?.source === undefined);
    const readsBefore = reads;
    expect(await source!.read(0, 64 * KIB)).toEqual(blob.bytes.subarray(0, 64 * KIB));
    expect(reads).toBe(readsBefore);
    await source!.close();
    await expect(source!.read(0, 1)).rejects.toThrow('seeded no longer');
  });

  it('of a blob that does not fit on this disk is made in passing', async () => {
    const { origin, root } = await setUp({ capacityBytes: KIB * KIB });
    const blob = makeBlob(2 * KIB * KIB);
    await putFile(backendPath(root, blob.digest), blob.bytes);
    const encoded = await origin.client.metainfo(blob.digest);
    expect(encoded).toEqual(
      encodeMetainfo(await generateMetainfo(blob.digest, blob.bytes.length, toChunks(blob.bytes))),
    );
    expect(await readFile(backendPath(root, blob.digest, 'metainfo'))).toEqual(encoded);
    const { source } = origin.swarm.offers.get(blob.digest)!;
    expect(await source!.read(1_000_000, 1_000)).toEqual(blob.bytes.subarray(1_000_000, 1_001_000));
    expect(await origin.castore.blobs.find(blob.digest)).toBeUndefined();
  });

  it('is never made of bytes that are not the digest’s', async () => {
    const { origin, root } = await setUp({ capacityBytes: KIB * KIB });
    for (const sizeBytes of [300 * KIB, 2 * KIB * KIB]) {
      const { digest } = makeBlob(sizeBytes);
      await putFile(backendPath(root, digest), makeBlob(sizeBytes).bytes);
      await expect(origin.client.metainfo(digest)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
      expect(existsSync(backendPath(root, digest, 'metainfo'))).toBe(false);
    }
    expect(origin.swarm.offers.size).toBe(0);
  });

  it('makes seeds of what is on disk at the next start', async () => {
    const { origin, start, controls } = await setUp();
    const blob = makeBlob(100 * KIB);
    await origin.client.upload(blob.digest, blob.source, {});
    await until('the queue is empty', async () => (await queueLength(origin)) === 0);
    await origin.stop();
    controls.down = true;
    const again = await start();
    await until('it is seeded', () => again.swarm.offers.has(blob.digest));
  });
});

describe('the inline answer', () => {
  it.each([
    [0, true],
    [1, true],
    [64 * KIB, true],
    [64 * KIB + 1, false],
  ])('for a blob of %i bytes carries it: %s', async (sizeBytes, inline) => {
    const { origin } = await setUp();
    const blob = makeBlob(sizeBytes);
    await origin.client.upload(blob.digest, blob.source, {});
    const answer = decodeMetainfoAnswer(await origin.client.inline(blob.digest));
    expect(decodeMetainfo(answer.metainfo)).toMatchObject({ digest: blob.digest, length: sizeBytes });
    expect(answer.blob).toEqual(inline ? blob.bytes : undefined);
  });

  it('carries a cold blob, too', async () => {
    const { origin, root } = await setUp();
    const blob = makeBlob(1000);
    await putFile(backendPath(root, blob.digest), blob.bytes);
    const answer = decodeMetainfoAnswer(await origin.client.inline(blob.digest));
    expect(answer.blob).toEqual(blob.bytes);
    expect(await metricOf(origin.metrics, 'shoal_origin_backend_reads_total', { kind: 'data' })).toBe(1);
  });
});

/** Metainfo that is well formed, of a blob that is not the one in question. */
function otherMetainfo(digest: string, length: number): Buffer {
  const pieces = Math.ceil(length / (64 * KIB));
  return encodeMetainfo({
    digest: parseDigest(digest),
    length,
    pieceLength: 64 * KIB,
    sha1: Buffer.alloc(20 * pieces),
    sha256: Buffer.alloc(32 * pieces),
  });
}
