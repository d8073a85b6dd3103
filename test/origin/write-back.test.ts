import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffMs } from '../../src/origin/write-back.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import {
  backendPath,
  freePorts,
  makeBlob,
  metricOf,
  openBackend,
  queueLength,
  readBlob,
  startOrigin,
  type TestBlob,
  until,
} from './fixture.ts';
import { type FlakyControls, makeFlaky } from './flaky-driver.ts';
import { type OriginOptions, type TestOrigin, urlOf } from './origin-parts.ts';

async function setUp(writeBack: OriginOptions['writeBack'] = {}) {
  const directory = await makeTempDir();
  const root = join(directory, 'backend');
  const { driver, controls } = makeFlaky(await openBackend(root));
  const [port] = (await freePorts(1)) as [number];
  const start = () => startOrigin({ directory, backend: driver, port, writeBack });
  return { directory, root, driver, controls, port, start, origin: await start() };
}

/** Two origins on one backend folder, each with a way there of its own that can be cut. */
async function setUpTwo(writeBack: NonNullable<OriginOptions['writeBack']>) {
  const directory = await makeTempDir();
  const root = join(directory, 'backend');
  const memberPorts = await freePorts(2);
  const start = async (index: number) => {
    const { driver, controls } = makeFlaky(await openBackend(root));
    const port = memberPorts[index]!;
    const own = join(directory, `origin-${index}`);
    return { origin: await startOrigin({ directory: own, backend: driver, port, memberPorts, writeBack }), controls };
  };
  const [first, second] = [await start(0), await start(1)];
  return { directory, root, first: first.origin, second: second.origin, ways: [first.controls, second.controls] };
}

function setDown(ways: readonly FlakyControls[], down: boolean): void {
  for (const way of ways) way.down = down;
}

function writesOf(ways: readonly FlakyControls[]): number {
  return ways.flatMap(({ calls }) => calls).filter((call) => call.startsWith('writer')).length;
}

async function expectWrittenBack(origin: TestOrigin, root: string, blob: TestBlob): Promise<void> {
  await until('the queue is empty', async () => (await queueLength(origin)) === 0);
  expect((await readFile(backendPath(root, blob.digest))).equals(blob.bytes)).toBe(true);
  expect(await readdir(dirname(backendPath(root, blob.digest)))).toEqual(['data', 'metainfo']);
  await until('it is not pinned', async () => (await origin.castore.blobs.pins(blob.digest)).length === 0);
}

describe('write-back', () => {
  it('waits for a backend that is down, and goes on when it is up', async () => {
    const { origin, root, controls } = await setUp();
    controls.down = true;
    const blobs = [makeBlob(1000), makeBlob(200_000), makeBlob(0)];
    for (const blob of blobs) await origin.client.upload(blob.digest, blob.source, {});
    await until('it has failed some times', async () => {
      return (await metricOf(origin.metrics, 'shoal_origin_write_back_total', { result: 'failed' })) > 5;
    });
    expect(await queueLength(origin)).toBe(3);
    expect(await metricOf(origin.metrics, 'shoal_origin_write_back_oldest_seconds')).toBeGreaterThan(0);
    controls.down = false;
    for (const blob of blobs) await expectWrittenBack(origin, root, blob);
    expect(await metricOf(origin.metrics, 'shoal_origin_write_back_total', { result: 'written' })).toBe(3);
    expect(await metricOf(origin.metrics, 'shoal_origin_write_back_oldest_seconds')).toBe(0);
  });

  it('goes on with the queue after a restart', async () => {
    const { origin, root, controls, start } = await setUp();
    controls.down = true;
    const blob = makeBlob(200_000);
    await origin.client.upload(blob.digest, blob.source, {});
    await origin.stop();
    const still = await start();
    expect(await queueLength(still)).toBe(1);
    expect(await still.castore.blobs.pins(blob.digest)).toEqual(['write-back']);
    await still.stop();
    controls.down = false;
    await expectWrittenBack(await start(), root, blob);
  });

  it('makes the queue again from the pins when its file is lost', async () => {
    const { origin, root, controls, start, directory } = await setUp();
    controls.down = true;
    const blob = makeBlob(200_000);
    await origin.client.upload(blob.digest, blob.source, {});
    await origin.stop();
    await rm(join(directory, 'castore-queue'), { recursive: true });
    const again = await start();
    await until('the job is there', async () => (await queueLength(again)) === 1);
    controls.down = false;
    await expectWrittenBack(again, root, blob);
  });

  it('starts again after a write that broke off in the middle', async () => {
    const { origin, root, controls } = await setUp();
    let broken = 0;
    controls.before = (method, path) => {
      if (method !== 'move' || broken === 2) return;
      broken += 1;
      throw new Error(`move of ${path} breaks off`);
    };
    const blob = makeBlob(300_000);
    await origin.client.upload(blob.digest, blob.source, {});
    await expectWrittenBack(origin, root, blob);
    expect(broken).toBe(2);
  });

  it('leaves no bytes of its own when the blob has come to the backend meanwhile', async () => {
    const { origin, root, controls, port } = await setUp();
    const blob = makeBlob(1000);
    controls.down = true;
    const data = backendPath(root, blob.digest);
    const writerId = createHash('sha256').update(urlOf(port)).digest('hex').slice(0, 16);
    await mkdir(dirname(data), { recursive: true });
    await writeFile(data, blob.bytes);
    await writeFile(join(dirname(data), `incoming-${writerId}`), 'left by a crash');
    await origin.client.upload(blob.digest, blob.source, {});
    controls.down = false;
    await expectWrittenBack(origin, root, blob);
    expect(await metricOf(origin.metrics, 'shoal_origin_write_back_total', { result: 'present' })).toBe(1);
  });

  it('replaces a blob in the backend that has another length', async () => {
    const { origin, root } = await setUp();
    const blob = makeBlob(1000);
    const data = backendPath(root, blob.digest);
    await mkdir(dirname(data), { recursive: true });
    await writeFile(data, blob.bytes.subarray(0, 500));
    await origin.client.upload(blob.digest, blob.source, {});
    await expectWrittenBack(origin, root, blob);
  });

  it('copies no more blobs at once than it is told', async () => {
    const { origin, controls } = await setUp({ concurrency: 2 });
    let now = 0;
    let most = 0;
    controls.before = async (method) => {
      if (method !== 'writer') return;
      now += 1;
      most = Math.max(most, now);
      await new Promise((resolve) => setTimeout(resolve, 20));
      now -= 1;
    };
    const blobs = Array.from({ length: 10 }, () => makeBlob(100));
    await Promise.all(blobs.map((blob) => origin.client.upload(blob.digest, blob.source, {})));
    await until('the queue is empty', async () => (await queueLength(origin)) === 0);
    expect(most).toBe(2);
  });

  it('runs again for a blob that is uploaded while its write-back runs', async () => {
    const { origin, root, controls } = await setUp();
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    controls.before = async (method) => {
      if (method !== 'move') return;
      reached.resolve();
      await gate.promise;
    };
    const blob = makeBlob(1000);
    await origin.client.upload(blob.digest, blob.source, {});
    await reached.promise;
    await origin.client.upload(blob.digest, blob.source, {});
    gate.resolve();
    await expectWrittenBack(origin, root, blob);
    expect(await metricOf(origin.metrics, 'shoal_origin_write_back_total', { result: 'written' })).toBe(1);
    expect(await metricOf(origin.metrics, 'shoal_origin_write_back_total', { result: 'present' })).toBe(1);
  });

  it('stops in mid-copy, leaves nothing visible, and does it at the next start', async () => {
    const { origin, root, controls, start } = await setUp();
    const reached = Promise.withResolvers<void>();
    controls.before = (method) => {
      if (method === 'writer') reached.resolve();
    };
    const blob = makeBlob(5_000_000);
    await origin.client.upload(blob.digest, blob.source, {});
    await reached.promise;
    await origin.stop();
    await expectWrittenBack(await start(), root, blob);
  });
});

describe('write-back of replicas', () => {
  it('is left to the origin that took the upload', async () => {
    const { first, second, root, ways } = await setUpTwo({ replicaDelayMs: 60_000 });
    const blob = makeBlob(100_000);
    await first.client.upload(blob.digest, blob.source, {});
    await expectWrittenBack(first, root, blob);
    expect(await queueLength(second)).toBe(1);
    expect(writesOf(ways)).toBe(1);
  });

  it('finds the blob there, when the other one has done it', async () => {
    const { first, second, root, ways } = await setUpTwo({ replicaDelayMs: 0 });
    ways[1]!.down = true;
    const blob = makeBlob(100_000);
    await first.client.upload(blob.digest, blob.source, {});
    await expectWrittenBack(first, root, blob);
    setDown(ways, false);
    await expectWrittenBack(second, root, blob);
    expect(writesOf(ways)).toBe(1);
    expect(await metricOf(second.metrics, 'shoal_origin_write_back_total', { result: 'present' })).toBe(1);
  });

  it('does it when the other one is gone', async () => {
    const { first, second, root, ways } = await setUpTwo({ replicaDelayMs: 200 });
    setDown(ways, true);
    const blob = makeBlob(100_000);
    await first.client.upload(blob.digest, blob.source, {});
    await first.stop();
    setDown(ways, false);
    await expectWrittenBack(second, root, blob);
  });

  it('ends well when both copy at the same time', async () => {
    const { first, second, root } = await setUpTwo({ replicaDelayMs: 0 });
    const blobs = Array.from({ length: 5 }, () => makeBlob(300_000));
    await Promise.all(blobs.map((blob) => first.client.upload(blob.digest, blob.source, {})));
    for (const blob of blobs) {
      await expectWrittenBack(first, root, blob);
      await expectWrittenBack(second, root, blob);
    }
  });

  it('takes the place of a copy that the disk has damaged with that of another origin', async () => {
    const { first, second, root, ways, directory } = await setUpTwo({ replicaDelayMs: 60_000 });
    setDown(ways, true);
    const blob = makeBlob(100_000);
    await first.client.upload(blob.digest, blob.source, {});
    const [, hex] = blob.digest.split(':') as [string, string];
    const path = join(directory, 'origin-0/castore/blobs/sha256', hex.slice(0, 2), hex, 'data');
    const damaged = Buffer.from(blob.bytes);
    damaged[50_000]! ^= 1;
    await writeFile(path, damaged);
    setDown(ways, false);
    await expectWrittenBack(first, root, blob);
    expect((await readBlob(first, blob.digest)).equals(blob.bytes)).toBe(true);
    expect(await second.client.stat(blob.digest)).toBe(100_000);
  });

  it('keeps a job whose blob is nowhere, in the hope that an origin comes back with it', async () => {
    const { first, second, root, ways } = await setUpTwo({ replicaDelayMs: 60_000 });
    setDown(ways, true);
    const blob = makeBlob(100_000);
    await first.client.upload(blob.digest, blob.source, {});
    await second.stop();
    await first.castore.blobs.delete(blob.digest);
    setDown(ways, false);
    await until('it has failed', async () => {
      return (await metricOf(first.metrics, 'shoal_origin_fills_total', { result: 'failed' })) > 0;
    });
    expect(await queueLength(first)).toBe(1);
    expect(existsSync(backendPath(root, blob.digest))).toBe(false);
  });
});

describe('the wait between two tries', () => {
  it('doubles up to the cap, and is spread over half of itself', () => {
    const options = { initialBackoffMs: 1_000, maxBackoffMs: 60_000 };
    const longest = Array.from({ length: 8 }, (_, attempts) => backoffMs(attempts, options, 1));
    expect(longest).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    expect(backoffMs(0, options, 0)).toBe(500);
  });

  it('is always within its bounds', () => {
    const bounds = fc.record({ initialBackoffMs: fc.nat(1e6), maxBackoffMs: fc.nat(1e9) });
    fc.assert(
      fc.property(fc.nat(), bounds, fc.double({ min: 0, max: 1, noNaN: true }), (attempts, options, random) => {
        const waitMs = backoffMs(attempts, options, random);
        expect(waitMs).toBeGreaterThanOrEqual(0);
        expect(waitMs).toBeLessThanOrEqual(options.maxBackoffMs);
      }),
    );
  });
});
