import { rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { CaStore } from '../../src/castore/index.ts';
import { hashBytes, NoSpaceError } from '../../src/core/index.ts';
import { fileError, filesWith } from './faulty-files.ts';
import { collect, openTestStore, putSample, readAll, type Sample, sampleOf, upload } from './fixtures.ts';

const samples = ['a', 'b', 'c', 'd', 'e', 'f'].map((seed) => sampleOf(100, seed));
const [a, b, c, d, e, f] = samples as [Sample, Sample, Sample, Sample, Sample, Sample];

/** Which of the samples the store has, by letter. */
async function present(store: CaStore): Promise<string> {
  const digests = (await collect(store.blobs.list())).map((info) => info.digest);
  return samples.map(({ digest }, i) => (digests.includes(digest) ? 'abcdef'.charAt(i) : '')).join('');
}

describe('eviction', () => {
  it('takes the least recently used first, and only as much as it has to', async () => {
    const test = await openTestStore({ capacityBytes: 350 });
    for (const sample of [a, b, c]) await putSample(test, sample);
    await readAll(await test.store.blobs.open(a.digest));
    await (await test.store.blobs.openFile(b.digest)).close();
    await test.store.blobs.find(c.digest);
    await putSample(test, d);
    expect(await present(test.store)).toBe('abd');
    await putSample(test, e);
    expect(await present(test.store)).toBe('bde');
    expect(test.store.usage()).toEqual({ blobBytes: 300, unfinishedBytes: 0, capacityBytes: 350 });
  });

  it('counts a put of a blob that is there as use', async () => {
    const test = await openTestStore({ capacityBytes: 400 });
    for (const sample of [a, b, c, a]) await putSample(test, sample);
    await putSample(test, d);
    await putSample(test, e);
    expect(await present(test.store)).toBe('acde');
  });

  it('remembers the order of use over a restart', async () => {
    const test = await openTestStore({ capacityBytes: 400 });
    for (const sample of [a, b, c, d]) await putSample(test, sample);
    for (const { digest } of [c, a]) {
      test.clock.advance(10);
      await readAll(await test.store.blobs.open(digest));
    }
    await test.reopen();
    await putSample(test, e);
    expect(await present(test.store)).toBe('acde');
    await putSample(test, f);
    expect(await present(test.store)).toBe('acef');
  });

  it('never takes what is pinned, and takes it once it is not', async () => {
    const test = await openTestStore({ capacityBytes: 300 });
    await putSample(test, a, 'write-back');
    await putSample(test, b, 'write-back');
    await putSample(test, c);
    await putSample(test, d);
    expect(await present(test.store)).toBe('abd');
    await test.store.blobs.pin(d.digest, 'held');
    await expect(test.store.blobs.put(e.digest, e.bytes)).rejects.toThrow(NoSpaceError);
    expect(await present(test.store)).toBe('abd');
    await test.reopen();
    await expect(test.store.blobs.put(e.digest, e.bytes)).rejects.toThrow(NoSpaceError);
    await test.store.blobs.unpin(b.digest, 'write-back');
    await putSample(test, e);
    expect(await present(test.store)).toBe('ade');
  });

  it('does not empty the cache for something that cannot fit anyhow', async () => {
    const test = await openTestStore({ capacityBytes: 350 });
    for (const sample of [a, b, c]) await putSample(test, sample);
    await expect(test.store.downloads.open(sampleOf(351).metainfo)).rejects.toThrow(NoSpaceError);
    expect(await present(test.store)).toBe('abc');
    expect(test.store.usage().unfinishedBytes).toBe(0);
  });

  it('counts uploads and downloads, and gives their room back', async () => {
    const test = await openTestStore({ capacityBytes: 300 });
    for (const sample of [a, b]) await putSample(test, sample);
    await upload(test.store, 'u1', Buffer.alloc(150));
    expect(await present(test.store)).toBe('b');
    await using writer = await test.store.uploads.resume('u1');
    await expect(writer.write(Buffer.alloc(151))).rejects.toThrow(NoSpaceError);
    expect(writer.sizeBytes).toBe(150);
    await writer.write(Buffer.alloc(50));
    expect(await present(test.store)).toBe('b');
    await writer.close();
    const download = await test.store.downloads.open(d.metainfo);
    expect(await present(test.store)).toBe('');
    await expect(test.store.blobs.put(e.digest, e.bytes)).rejects.toThrow(NoSpaceError);
    await test.store.uploads.cancel('u1');
    await download.writePiece(0, d.bytes);
    await download.commit();
    await putSample(test, e);
    expect(await present(test.store)).toBe('de');
  });

  it('takes downloads that nobody has open, in their turn', async () => {
    const test = await openTestStore({ capacityBytes: 300 });
    await putSample(test, a);
    test.clock.advance(1);
    const left = await test.store.downloads.open(b.metainfo);
    await left.writePiece(0, b.bytes);
    await left.close();
    const open = await test.store.downloads.open(c.metainfo);
    await putSample(test, d);
    expect(await present(test.store)).toBe('d');
    expect((await collect(test.store.downloads.list())).sort()).toEqual([b.digest, c.digest].sort());
    await putSample(test, e);
    expect(await collect(test.store.downloads.list())).toEqual([c.digest]);
    expect(await present(test.store)).toBe('de');
    await open.close();
  });

  it('shrinks to a smaller capacity at the start, and starts when pins forbid it', async () => {
    const test = await openTestStore({ capacityBytes: 400 });
    await putSample(test, a, 'p');
    await putSample(test, b, 'p');
    await putSample(test, c);
    await putSample(test, d);
    await test.reopen({ capacityBytes: 300 });
    expect(await present(test.store)).toBe('abd');
    await test.reopen({ capacityBytes: 50 });
    expect(await present(test.store)).toBe('ab');
    await expect(test.store.blobs.put(e.digest, e.bytes)).rejects.toThrow(NoSpaceError);
  });

  it('holds the capacity however many come at the same time', async () => {
    const test = await openTestStore({ capacityBytes: 1000 });
    const many = Array.from({ length: 40 }, (_, i) => sampleOf(100, `many ${i}`));
    const results = await Promise.allSettled(many.map(({ digest, bytes }) => test.store.blobs.put(digest, bytes)));
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(NoSpaceError);
    }
    const usage = test.store.usage();
    expect(usage.unfinishedBytes).toBe(0);
    expect(usage.blobBytes).toBeLessThanOrEqual(1000);
    expect(usage.blobBytes).toBe(100 * (await collect(test.store.blobs.list())).length);
    expect(usage.blobBytes).toBeGreaterThanOrEqual(500);
  });
});

describe('a disk that is full', () => {
  /** A disk on which writes fail while `full` says so. */
  async function openOnDisk(full: (operation: string, path: string) => boolean) {
    const files = filesWith((operation, path) => {
      if (full(operation, path)) throw fileError('ENOSPC');
    });
    return openTestStore({ files });
  }

  it.each(['write', 'open to create', 'mkdir', 'rename'])('evicts and goes on when %s finds no room', async (where) => {
    let failures = 0;
    const test = await openOnDisk((operation) => operation === where && failures-- > 0);
    for (const sample of [a, b, c]) await putSample(test, sample);
    failures = 2;
    test.clock.advance(1);
    await test.store.blobs.put(d.digest, d.bytes, { pin: 'write-back' });
    expect(await present(test.store)).toBe('cd');
    expect(await readAll(await test.store.blobs.open(d.digest))).toEqual(d.bytes);
    expect(await test.store.blobs.pins(d.digest)).toEqual(['write-back']);
    expect(test.store.usage()).toMatchObject({ blobBytes: 200, unfinishedBytes: 0 });
  });

  it('says that there is no space once nothing is left to evict, and takes bytes again when there is', async () => {
    let full = false;
    const test = await openOnDisk((operation) => operation === 'write' && full);
    await putSample(test, a);
    await putSample(test, b, 'write-back');
    await using writer = await test.store.uploads.create('u1');
    await writer.write(Buffer.from('before '));
    full = true;
    await expect(writer.write(Buffer.from('during '))).rejects.toMatchObject({
      code: 'NO_SPACE',
      cause: { code: 'ENOSPC' },
    });
    await expect(test.store.blobs.put(c.digest, c.bytes)).rejects.toThrow(NoSpaceError);
    expect(await present(test.store)).toBe('b');
    expect(test.store.usage()).toMatchObject({ blobBytes: 100, unfinishedBytes: 7 });
    full = false;
    await writer.write(Buffer.from('after'));
    await writer.close();
    await test.store.uploads.commit('u1', hashBytes(Buffer.from('before after')));
  });

  it('cuts off what a failed write left behind the end of an upload', async () => {
    let tearing = false;
    const test = await openTestStore({
      files: tornWrites(() => tearing),
    });
    const writer = await test.store.uploads.create('u1');
    await writer.write(Buffer.from('before '));
    tearing = true;
    await expect(writer.write(Buffer.from('a long piece that tears'))).rejects.toThrow(NoSpaceError);
    tearing = false;
    await writer.close();
    expect((await test.store.uploads.find('u1'))?.sizeBytes).toBe(7);
    await test.store.uploads.commit('u1', hashBytes(Buffer.from('before ')));
  });

  it('keeps an upload that could not be committed for want of room', async () => {
    let full = false;
    const test = await openOnDisk((operation) => operation === 'mkdir' && full);
    await upload(test.store, 'u1', a.bytes);
    full = true;
    await expect(test.store.uploads.commit('u1', a.digest)).rejects.toThrow(NoSpaceError);
    expect(test.store.usage()).toMatchObject({ blobBytes: 0, unfinishedBytes: 100 });
    full = false;
    await test.store.uploads.commit('u1', a.digest);
    expect(await present(test.store)).toBe('a');
    expect(test.store.usage()).toMatchObject({ blobBytes: 100, unfinishedBytes: 0 });
  });

  it('keeps a download that could not be committed for want of room', async () => {
    let full = false;
    const test = await openOnDisk((operation) => operation === 'mkdir' && full);
    await using download = await test.store.downloads.open(a.metainfo);
    await download.writePiece(0, a.bytes);
    full = true;
    await expect(download.commit()).rejects.toThrow(NoSpaceError);
    full = false;
    await download.commit();
    expect(await present(test.store)).toBe('a');
  });

  it('keeps nothing of a piece that it could not write', async () => {
    let full = false;
    const test = await openOnDisk((operation) => operation === 'write' && full);
    await using download = await test.store.downloads.open(a.metainfo);
    full = true;
    const both = [download.writePiece(0, a.bytes), download.writePiece(0, a.bytes)];
    for (const result of await Promise.allSettled(both)) expect(result.status).toBe('rejected');
    expect(download.verifiedPieces).toBe(0);
    full = false;
    expect(await download.writePiece(0, a.bytes)).toBe(true);
  });
});

describe('a disk that fails', () => {
  it.each(['upload', 'put', 'download'])('acknowledges nothing of an %s whose sync failed', async (kind) => {
    let failing = false;
    const test = await openTestStore({
      files: filesWith((operation, path) => {
        if (failing && operation === 'sync' && path.endsWith('data')) throw fileError('EIO');
        if (failing && operation === 'sync' && path.includes('/temp/')) throw fileError('EIO');
      }),
    });
    const ways: Record<string, () => Promise<unknown>> = {
      upload: async () => {
        await upload(test.store, 'u1', a.bytes);
        failing = true;
        await test.store.uploads.commit('u1', a.digest);
      },
      put: () => {
        failing = true;
        return test.store.blobs.put(a.digest, a.bytes);
      },
      download: async () => {
        await using download = await test.store.downloads.open(a.metainfo);
        await download.writePiece(0, a.bytes);
        failing = true;
        await download.commit();
      },
    };
    await expect(ways[kind]?.()).rejects.toMatchObject({ code: 'EIO' });
    failing = false;
    // Linux says that all is well when it is asked again: so there must be nothing left to ask for.
    expect(await present(test.store)).toBe('');
    expect(test.store.usage()).toMatchObject({ blobBytes: 0, unfinishedBytes: 0 });
    expect(await test.store.uploads.find('u1')).toBeUndefined();
    expect(await collect(test.store.downloads.list())).toEqual([]);
    await putSample(test, a);
    expect(await present(test.store)).toBe('a');
  });

  it('takes a blob back when its name could not be synced', async () => {
    let failing = false;
    const test = await openTestStore({
      files: filesWith((operation, path) => {
        if (failing && operation === 'syncDirectory' && path.endsWith(a.digest.slice(7))) throw fileError('EIO');
      }),
    });
    await upload(test.store, 'u1', a.bytes);
    failing = true;
    await expect(test.store.uploads.commit('u1', a.digest)).rejects.toMatchObject({ code: 'EIO' });
    expect(await present(test.store)).toBe('');
    failing = false;
    await test.store.uploads.commit('u1', a.digest);
    expect(await readAll(await test.store.blobs.open(a.digest))).toEqual(a.bytes);
  });

  it('does not commit an empty file when the bytes of an upload have vanished', async () => {
    const test = await openTestStore();
    await upload(test.store, 'u1', a.bytes);
    rmSync(`${test.directory}/uploads/u1/data`);
    await expect(test.store.uploads.commit('u1', a.digest)).rejects.toMatchObject({ code: 'STORE_DAMAGED' });
    expect(await present(test.store)).toBe('');
  });
});

/** Writes of more than ten bytes put down half of them and then find the disk full. */
function tornWrites(tearing: () => boolean) {
  const whole = filesWith(() => undefined);
  return {
    ...whole,
    open: async (...args: Parameters<typeof whole.open>) => {
      const file = await whole.open(...args);
      return {
        ...file,
        write: async (bytes: Uint8Array, position: number) => {
          if (!tearing() || bytes.length <= 10) return file.write(bytes, position);
          await file.write(bytes.subarray(0, bytes.length >> 1), position);
          throw fileError('ENOSPC');
        },
      };
    },
  };
}
