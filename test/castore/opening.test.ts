import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCaStore } from '../../src/castore/index.ts';
import { BlobNotFoundError, ConfigError, encodeMetainfo, UnavailableError } from '../../src/core/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { startChild } from './child.ts';
import {
  blobPath,
  bytesOf,
  collect,
  downloadPath,
  filesBelow,
  openTestStore,
  PIECE,
  pieceOf,
  putSample,
  readAll,
  sampleOf,
  upload,
} from './fixtures.ts';

describe('opening a store', () => {
  it('makes the folder, with all above it, for its user only', async () => {
    const directory = join(await makeTempDir(), 'a/b/c');
    const store = await openCaStore({ directory, capacityBytes: 1000 });
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    expect(await readFile(join(directory, 'format'), 'utf8')).toBe('shoal-castore/1\n');
    await store.close();
    expect(await filesBelow(directory)).toEqual(['format']);
  });

  it.each(['shoal-castore/2\n', 'something', ''])('refuses the format %j', async (format) => {
    const directory = await makeTempDir();
    await writeFile(join(directory, 'format'), format);
    await expect(openCaStore({ directory, capacityBytes: 1000 })).rejects.toThrow(ConfigError);
    expect(await filesBelow(directory)).toEqual(['format']);
  });

  it('refuses a folder that holds something else, and leaves it as it is', async () => {
    const directory = await makeTempDir();
    await mkdir(join(directory, 'blobs/sha256/ab'), { recursive: true });
    await writeFile(join(directory, 'blobs/sha256/ab/file'), 'mine');
    await expect(openCaStore({ directory, capacityBytes: 1000 })).rejects.toThrow(/"blobs"/);
    expect(await filesBelow(directory)).toEqual(['blobs/sha256/ab/file']);
  });

  it('takes the top of a fresh disk', async () => {
    const directory = await makeTempDir();
    await mkdir(join(directory, 'lost+found'));
    await (await openCaStore({ directory, capacityBytes: 1000 })).close();
  });

  it.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY])('refuses a capacity of %d', async (capacityBytes) => {
    const directory = join(await makeTempDir(), 'store');
    await expect(openCaStore({ directory, capacityBytes })).rejects.toThrow(ConfigError);
  });

  it('reads a folder laid out by hand as version 1 has it', async () => {
    const directory = await makeTempDir();
    const blob = sampleOf(100, 'blob');
    const half = sampleOf(2 * PIECE, 'half');
    const files: [string, string | Buffer][] = [
      ['format', 'shoal-castore/1\n'],
      [blobPath('', blob.digest, 'data'), blob.bytes],
      [blobPath('', blob.digest, 'metainfo'), encodeMetainfo(blob.metainfo)],
      [blobPath('', blob.digest, 'pins/write-back'), ''],
      [downloadPath('', half.digest, 'metainfo'), encodeMetainfo(half.metainfo)],
      [downloadPath('', half.digest, 'bitfield'), Buffer.from([0x80])],
      [downloadPath('', half.digest, 'data'), pieceOf(half.bytes, 0)],
      ['uploads/u-1_A/data', 'abc'],
      ['uploads/u-1_A/sidecars/hashstates%2Fsha256%2F3', 'state'],
    ];
    for (const [path, content] of files) {
      await mkdir(join(directory, path, '..'), { recursive: true });
      await writeFile(join(directory, path), content);
    }
    await using store = await openCaStore({ directory, capacityBytes: 1_000_000 });
    expect(store.usage()).toMatchObject({ blobBytes: 100, unfinishedBytes: 2 * PIECE + 3 });
    expect(await readAll(await store.blobs.open(blob.digest))).toEqual(blob.bytes);
    expect(await store.blobs.findMetainfo(blob.digest)).toEqual(encodeMetainfo(blob.metainfo));
    expect(await store.blobs.pins(blob.digest)).toEqual(['write-back']);
    expect(await readAll(await store.uploads.open('u-1_A'))).toEqual(Buffer.from('abc'));
    expect(await store.uploads.listSidecars('u-1_A')).toEqual(['hashstates/sha256/3']);
    await using download = await store.downloads.open(half.metainfo);
    expect(download.prefixBytes).toBe(PIECE);
  });

  it('cleans up what a crash can leave, and nothing else', async () => {
    const test = await openTestStore();
    const blob = sampleOf(100, 'blob');
    const torn = sampleOf(100, 'torn');
    await putSample(test, blob);
    await upload(test.store, 'good', Buffer.from('abc'));
    await test.store.close();
    const left = [
      blobPath('', torn.digest, 'pins/write-back'),
      blobPath('', torn.digest, 'metainfo'),
      downloadPath('', torn.digest, 'data'),
      'uploads/torn/sidecars/startedat',
      'temp/x-1',
      'temp/folder/file',
    ];
    const foreign = ['blobs/sha256/zz/README', 'uploads/what is this', 'notes.txt'];
    for (const path of [...left, ...foreign]) {
      await mkdir(join(test.directory, path, '..'), { recursive: true });
      await writeFile(join(test.directory, path), 'x');
    }
    const store = await test.reopen();
    expect(await collect(store.uploads.list())).toHaveLength(1);
    expect(await collect(store.blobs.list())).toHaveLength(1);
    expect(await collect(store.downloads.list())).toEqual([]);
    const files = await filesBelow(test.directory);
    expect(files.filter((path) => left.includes(path.startsWith('/') ? path : `${path}`))).toEqual([]);
    for (const path of foreign) expect(files).toContain(path);
    expect(files.filter((path) => path.includes(torn.digest.slice(7)))).toEqual([]);
    await putSample(test, torn);
    expect(await store.blobs.pins(torn.digest)).toEqual([]);
  });
});

describe('the claim on a store', () => {
  it('keeps a second one of the same process out, and lets it in after the close', async () => {
    const test = await openTestStore();
    const open = () => openCaStore({ directory: test.directory, capacityBytes: 1000 });
    await expect(open()).rejects.toThrow(UnavailableError);
    await expect(open()).rejects.toThrow(`process ${process.pid}`);
    await test.store.close();
    await (await open()).close();
  });

  it('keeps another process out, names it, and passes on when that one is killed', async () => {
    const directory = join(await makeTempDir(), 'store');
    const child = await startChild(directory, 'hold');
    await child.line('open');
    const open = () => openCaStore({ directory, capacityBytes: 1_000_000 });
    await expect(open()).rejects.toThrow(`process ${child.pid}`);
    await child.kill();
    await (await open()).close();
    expect((await filesBelow(directory)).filter((path) => path.startsWith('claims'))).toEqual([]);
  });

  it('passes on when the process id belongs to another process by now', async () => {
    const test = await openTestStore();
    await test.store.close();
    const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).slice(0, 8);
    for (const name of [`${process.pid}.12345.${boot}.aa`, `1.1.otherrun.bb`, 'not a claim', '-1.0.x.y']) {
      await writeFile(join(test.directory, 'claims', name), '');
    }
    await test.reopen();
    expect((await filesBelow(test.directory)).filter((path) => path.startsWith('claims'))).toHaveLength(1);
  });

  it('lets one in at most when many open at the same time', async () => {
    const directory = join(await makeTempDir(), 'store');
    for (let round = 0; round < 10; round += 1) {
      const opened = await Promise.allSettled(
        Array.from({ length: 5 }, () => openCaStore({ directory, capacityBytes: 1000 })),
      );
      const stores = opened.filter((result) => result.status === 'fulfilled');
      expect(stores.length).toBeLessThanOrEqual(1);
      for (const { value } of stores) await value.close();
    }
  });
});

describe('closing a store', () => {
  it('closes what is open, keeps what was written, and may be asked twice', async () => {
    const test = await openTestStore();
    const sample = sampleOf(3_000_000);
    const half = sampleOf(2 * PIECE, 'half');
    await putSample(test, sample);
    const writer = await test.store.uploads.create('u1');
    await writer.write(Buffer.from('abc'));
    const download = await test.store.downloads.open(half.metainfo);
    await download.writePiece(1, pieceOf(half.bytes, 1));
    const file = await test.store.blobs.openFile(sample.digest);
    const stream = await test.store.blobs.open(sample.digest);
    const reading = readAll(stream);
    reading.catch(() => undefined);

    await Promise.all([test.store.close(), test.store.close()]);

    await expect(reading).rejects.toThrow(UnavailableError);
    await expect(file.read(0, 1)).rejects.toThrow();
    await expect(writer.write(Buffer.from('more'))).rejects.toThrow();
    await expect(download.writePiece(0, pieceOf(half.bytes, 0))).rejects.toThrow(UnavailableError);
    const store = await test.reopen();
    expect((await store.uploads.find('u1'))?.sizeBytes).toBe(3);
    await using again = await store.downloads.open(half.metainfo);
    expect(again.has(1)).toBe(true);
  });

  it('lets nothing touch the folder afterwards', async () => {
    const test = await openTestStore();
    const { digest, bytes } = sampleOf(100);
    await putSample(test, sampleOf(100, 'there'));
    const { store } = test;
    await store.close();
    const before = await filesBelow(test.directory);
    await expect(store.blobs.put(digest, bytes)).rejects.toThrow(UnavailableError);
    await expect(store.blobs.pin(sampleOf(100, 'there').digest, 'p')).rejects.toThrow(UnavailableError);
    await expect(store.uploads.create('u1')).rejects.toThrow(UnavailableError);
    await expect(store.downloads.open(sampleOf(100).metainfo)).rejects.toThrow(UnavailableError);
    await expect(store.blobs.open(sampleOf(100, 'there').digest)).rejects.toThrow(UnavailableError);
    await expect(store.blobs.open(digest)).rejects.toThrow(BlobNotFoundError);
    expect(await filesBelow(test.directory)).toEqual(before);
  });

  it('finishes commits that are under way', async () => {
    const test = await openTestStore();
    const bytes = bytesOf(100_000);
    const sample = sampleOf(100_000);
    await upload(test.store, 'u1', bytes);
    const commit = test.store.uploads.commit('u1', sample.digest);
    await test.store.close();
    await commit;
    expect(await (await test.reopen()).blobs.find(sample.digest)).toBeDefined();
  });
});
