import { describe, expect, it } from 'vitest';
import { DigestMismatchError, hashBytes, parseRepository, UnavailableError } from '../../src/core/index.ts';
import {
  ConflictError,
  InvalidPathError,
  PathNotFoundError,
  UnsupportedError,
  WriterClosedError,
} from '../../src/driver/index.ts';
import { formatPath } from '../../src/pathparser/index.ts';
import { absent, app, forApp, layer, layerBytes, p2pScene, paths, readAll, writeUpload } from './p2p-scene.ts';

const startedAt = Buffer.from('2026-01-01T00:00:00Z');

describe('p2p driver: uploads', () => {
  it('takes an upload from its begin to a blob that the origins hold', async () => {
    const { cluster, driver } = await p2pScene();
    await driver.putContent(paths.startedAt('u1'), startedAt, forApp);
    const writer = await driver.writer(paths.uploadData('u1'), { append: false }, forApp);
    await writer.write(layerBytes.subarray(0, 5));
    expect(writer.size).toBe(5);
    await writer.close();
    const second = await driver.writer(paths.uploadData('u1'), { append: true }, forApp);
    expect(second.size).toBe(5);
    await second.write(layerBytes.subarray(5));
    await second.commit();
    await second.close();
    await driver.move(paths.uploadData('u1'), paths.blob(), forApp);
    expect(cluster.origin.uploads).toEqual([`${layer} ${app}`]);
    expect(await cluster.castore.blobs.find(layer)).toMatchObject({ sizeBytes: layerBytes.length });
    expect(await cluster.castore.blobs.pins(layer)).toEqual([]);
    await driver.putContent(paths.layerLink(), Buffer.from(layer), forApp);
    expect(await readAll(driver, paths.blob())).toBe(layerBytes.toString());
  });

  it('does not need the memory of bytes that it has taken', async () => {
    const { driver } = await p2pScene();
    await driver.putContent(paths.startedAt('u1'), startedAt, forApp);
    await using writer = await driver.writer(paths.uploadData('u1'), { append: false }, forApp);
    for (const byte of layerBytes) {
      const part = Buffer.from([byte]);
      await writer.write(part);
      part.fill(0xff);
    }
    await writer.commit();
    await driver.move(paths.uploadData('u1'), paths.blob(), forApp);
    await driver.putContent(paths.layerLink(), Buffer.from(layer), forApp);
    expect(await readAll(driver, paths.blob())).toBe(layerBytes.toString());
  });

  it('has nothing left of an upload that became a blob', async () => {
    const { driver } = await p2pScene();
    await driver.putContent(paths.startedAt('u1'), startedAt);
    await writeUpload(driver, 'u1', layerBytes);
    await driver.move(paths.uploadData('u1'), paths.blob());
    await expect(driver.delete(paths.upload('u1'))).rejects.toThrow(PathNotFoundError);
    await expect(driver.stat(paths.uploadData('u1'))).rejects.toThrow(PathNotFoundError);
    await expect(driver.getContent(paths.startedAt('u1'))).rejects.toThrow(PathNotFoundError);
    await expect(driver.writer(paths.uploadData('u1'), { append: true })).rejects.toThrow(PathNotFoundError);
    await expect(driver.move(paths.uploadData('u1'), paths.blob())).rejects.toThrow(PathNotFoundError);
  });

  it('drops an upload whose bytes are not the blob that was asked for', async () => {
    const { cluster, driver } = await p2pScene();
    await writeUpload(driver, 'u1', layerBytes);
    await expect(driver.move(paths.uploadData('u1'), paths.blob(absent))).rejects.toThrow(DigestMismatchError);
    expect(await cluster.castore.blobs.find(absent)).toBeUndefined();
    expect(await cluster.castore.blobs.find(layer)).toBeUndefined();
    expect(cluster.origin.uploads).toEqual([]);
    await expect(driver.stat(paths.uploadData('u1'))).rejects.toThrow(PathNotFoundError);
  });

  it('keeps a complete upload when the origins do not acknowledge it, until the move is tried again', async () => {
    const { cluster, driver } = await p2pScene();
    await driver.putContent(paths.startedAt('u1'), startedAt);
    await writeUpload(driver, 'u1', layerBytes);
    cluster.origin.refuseUploads = new UnavailableError('too few origins hold it');
    const move = () => driver.move(paths.uploadData('u1'), paths.blob());
    await expect(move()).rejects.toThrow(UnavailableError);
    await expect(move()).rejects.toThrow(UnavailableError);
    expect((await driver.getContent(paths.startedAt('u1'))).toString()).toBe(startedAt.toString());
    expect((await driver.stat(paths.uploadData('u1'))).size).toBe(layerBytes.length);
    expect(await readAll(driver, paths.uploadData('u1'), { offset: 4, length: 5 })).toBe('bytes');
    await expect(driver.writer(paths.uploadData('u1'), { append: true })).rejects.toThrow(ConflictError);
    cluster.origin.refuseUploads = undefined;
    await move();
    expect(cluster.origin.uploads).toEqual([`${layer} ${app}`]);
    await expect(driver.stat(paths.uploadData('u1'))).rejects.toThrow(PathNotFoundError);
  });

  it('does not take the retry of a move for another blob, or for one that had to make room', async () => {
    const { cluster, driver } = await p2pScene();
    cluster.origin.refuseUploads = new UnavailableError('too few origins hold it');
    for (const id of ['u1', 'u2', 'u3']) {
      await writeUpload(driver, id, layerBytes);
      await expect(driver.move(paths.uploadData(id), paths.blob())).rejects.toThrow(UnavailableError);
    }
    cluster.origin.refuseUploads = undefined;
    await expect(driver.move(paths.uploadData('u1'), paths.blob(absent))).rejects.toThrow(DigestMismatchError);
    await driver.delete(paths.upload('u3'));
    await expect(driver.move(paths.uploadData('u3'), paths.blob())).rejects.toThrow(PathNotFoundError);
    await cluster.castore.blobs.delete(layer);
    await expect(driver.move(paths.uploadData('u2'), paths.blob())).rejects.toThrow(PathNotFoundError);
    expect(cluster.origin.uploads).toEqual([]);
  });

  it('shows the bytes so far, and never as a blob', async () => {
    const { cluster, driver } = await p2pScene();
    await writeUpload(driver, 'u1', layerBytes);
    const info = await driver.stat(paths.uploadData('u1'));
    expect(info).toMatchObject({ size: layerBytes.length, isDirectory: false });
    expect(Date.now() - info.modTime.getTime()).toBeLessThan(60_000);
    expect(await readAll(driver, paths.uploadData('u1'))).toBe(layerBytes.toString());
    expect(await readAll(driver, paths.uploadData('u1'), { offset: 4, length: 5 })).toBe('bytes');
    expect(await readAll(driver, paths.uploadData('u1'), { offset: 999 })).toBe('');
    expect(await Array.fromAsync(cluster.castore.blobs.list())).toEqual([]);
  });

  it('begins at nothing when it does not append', async () => {
    const { driver } = await p2pScene();
    await writeUpload(driver, 'u1', layerBytes);
    await writeUpload(driver, 'u1', Buffer.from('new'));
    expect(await readAll(driver, paths.uploadData('u1'))).toBe('new');
  });

  it('throws everything away on cancel, of a writer and of a directory', async () => {
    const { driver } = await p2pScene();
    const writer = await driver.writer(paths.uploadData('u1'), { append: false });
    await writer.write(layerBytes);
    await writer.cancel();
    await expect(writer.write(layerBytes)).rejects.toThrow(WriterClosedError);
    await writer.close();
    await expect(driver.stat(paths.uploadData('u1'))).rejects.toThrow(PathNotFoundError);
    await writeUpload(driver, 'u2', layerBytes);
    await driver.delete(paths.upload('u2'));
    await expect(driver.stat(paths.upload('u2'))).rejects.toThrow(PathNotFoundError);
    await expect(driver.delete(paths.upload('u2'))).rejects.toThrow(PathNotFoundError);
  });

  it('does not know an upload under another repository', async () => {
    const { driver } = await p2pScene();
    const other = parseRepository('team/other');
    await driver.putContent(paths.startedAt('u1'), startedAt);
    await writeUpload(driver, 'u1', layerBytes);
    await expect(driver.getContent(paths.startedAt('u1', other))).rejects.toThrow(PathNotFoundError);
    await expect(driver.writer(paths.uploadData('u1', other), { append: true })).rejects.toThrow(PathNotFoundError);
    await expect(driver.move(paths.uploadData('u1', other), paths.blob())).rejects.toThrow(PathNotFoundError);
    expect(await Array.fromAsync(driver.list(formatPath({ kind: 'uploads', repository: other })))).toEqual([]);
  });

  it('lists uploads, their files and their hash states', async () => {
    const { driver } = await p2pScene();
    for (const id of ['u2', 'u1']) await driver.putContent(paths.startedAt(id), startedAt);
    const state = { kind: 'upload-hash-state', repository: app, uploadId: 'u1', algorithm: 'sha256' } as const;
    for (const offset of [0, 20, 3]) await driver.putContent(formatPath({ ...state, offset }), Buffer.from('state'));
    const uploads = formatPath({ kind: 'uploads', repository: app });
    expect(await Array.fromAsync(driver.list(uploads))).toEqual([paths.upload('u1'), paths.upload('u2')]);
    expect(await Array.fromAsync(driver.list(uploads, { after: paths.upload('u1') }))).toEqual([paths.upload('u2')]);
    expect(await Array.fromAsync(driver.list(paths.upload('u1')))).toEqual([
      paths.uploadData('u1'),
      paths.startedAt('u1'),
    ]);
    const states = formatPath({ ...state, kind: 'upload-hash-states' });
    const names = (await Array.fromAsync(driver.list(states))).map((path) => path.slice(states.length + 1));
    expect(names).toEqual(['0', '20', '3']);
    const walked = await Array.fromAsync(driver.walk(uploads));
    expect(walked.map(({ path }) => path.slice(uploads.length))).toEqual([
      '/u1',
      '/u1/data',
      '/u1/startedat',
      '/u2',
      '/u2/data',
      '/u2/startedat',
    ]);
  });

  it('moves uploads to blobs only, and takes ids of 115 characters', async () => {
    const { driver } = await p2pScene();
    const long = 'i'.repeat(115);
    await writeUpload(driver, long, layerBytes);
    await expect(driver.move(paths.uploadData(long), paths.layerLink())).rejects.toThrow(UnsupportedError);
    await expect(driver.move(paths.uploadData(long), '/elsewhere')).rejects.toThrow(InvalidPathError);
    await driver.move(paths.uploadData(long), paths.blob());
    await expect(driver.stat(paths.uploadData(`${long}i`))).rejects.toThrow(InvalidPathError);
  });

  it('becomes one blob when two uploads of it end at once', async () => {
    const { cluster, driver } = await p2pScene();
    const bytes = Buffer.alloc(300_000, 'twice');
    const digest = hashBytes(bytes);
    await Promise.all(['u1', 'u2'].map((id) => writeUpload(driver, id, bytes)));
    await Promise.all(['u1', 'u2'].map((id) => driver.move(paths.uploadData(id), paths.blob(digest))));
    expect(cluster.origin.uploads).toHaveLength(2);
    expect(await cluster.castore.blobs.pins(digest)).toEqual([]);
    expect(await Array.fromAsync(cluster.castore.uploads.list())).toEqual([]);
  });
});
