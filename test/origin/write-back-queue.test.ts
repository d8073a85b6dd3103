import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openCaStore } from '../../src/castore/index.ts';
import { systemClock, UnavailableError } from '../../src/core/index.ts';
import { SqliteJobStore } from '../../src/origin/job-store.ts';
import { WriteBackQueue } from '../../src/origin/write-back-queue.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { makeBlob } from './fixture.ts';

async function setUp() {
  const directory = await makeTempDir();
  const castore = await openCaStore({ directory: join(directory, 'castore'), capacityBytes: 1024 ** 3 });
  const jobs = await SqliteJobStore.open(join(directory, 'jobs.sqlite'));
  onTestFinished(async () => {
    jobs.close();
    await castore.close();
  });
  const blob = makeBlob(100);
  await castore.blobs.put(blob.digest, blob.bytes);
  return { castore, jobs, blob, queue: new WriteBackQueue({ castore, jobs, clock: systemClock }) };
}

const atOnce = { repository: undefined, delayMs: 0 };

describe('the write-back queue', () => {
  it('pins a blob as long as it has a job', async () => {
    const { castore, jobs, blob, queue } = await setUp();
    await queue.add(blob.digest, atOnce);
    expect(await castore.blobs.pins(blob.digest)).toEqual(['write-back']);
    expect(await queue.finish(jobs.due(Date.now(), 1)[0]!)).toBe(true);
    expect(await castore.blobs.pins(blob.digest)).toEqual([]);
    expect(jobs.has(blob.digest)).toBe(false);
  });

  it('keeps job and pin when the blob was added again since the job was read', async () => {
    const { castore, jobs, blob, queue } = await setUp();
    await queue.add(blob.digest, atOnce);
    const read = jobs.due(Date.now(), 1)[0]!;
    await queue.add(blob.digest, atOnce);
    expect(await queue.finish(read)).toBe(false);
    expect(await castore.blobs.pins(blob.digest)).toEqual(['write-back']);
    expect(jobs.has(blob.digest)).toBe(true);
  });

  it('never has a job without its pin, however adds and ends meet', async () => {
    const { castore, jobs, blob, queue } = await setUp();
    for (let round = 0; round < 30; round++) {
      await queue.add(blob.digest, atOnce);
      const read = jobs.due(Date.now(), 1)[0]!;
      await Promise.all([queue.finish(read), queue.add(blob.digest, atOnce)]);
      expect(jobs.has(blob.digest)).toBe(true);
      expect(await castore.blobs.pins(blob.digest)).toEqual(['write-back']);
    }
  });

  it('refuses a blob that is not on disk', async () => {
    const { jobs, queue } = await setUp();
    const { digest } = makeBlob(100);
    await expect(queue.add(digest, atOnce)).rejects.toBeInstanceOf(UnavailableError);
    expect(jobs.has(digest)).toBe(false);
  });

  it('finds blobs again that are pinned without a job, and no others', async () => {
    const { castore, jobs, blob, queue } = await setUp();
    await castore.blobs.pin(blob.digest, queue.pin);
    const other = makeBlob(100);
    await castore.blobs.put(other.digest, other.bytes, { pin: 'another reason' });
    expect(await queue.recover(new AbortController().signal)).toBe(1);
    expect(jobs.due(Date.now(), 10).map(({ digest }) => digest)).toEqual([blob.digest]);
    expect(await queue.recover(new AbortController().signal)).toBe(0);
  });
});
