import { describe, expect, it } from 'vitest';
import { DigestMismatchError, hashBytes, parseRepository, UnavailableError } from '../../src/core/index.ts';
import { InvalidOffsetError, InvalidPathError, PathNotFoundError, UnsupportedError } from '../../src/driver/index.ts';
import { PUSH_PIN } from '../../src/transfer/index.ts';
import { absent, app, filledScene, forApp, layer, layerBytes, p2pScene, paths, readAll } from './p2p-scene.ts';

describe('p2p driver: blobs', () => {
  it('answers the link and the length of a cold blob by one request, and no byte of it', async () => {
    const { cluster, driver } = await filledScene();
    expect((await driver.getContent(paths.layerLink(), forApp)).toString()).toBe(layer);
    expect(await driver.stat(paths.blob(), forApp)).toMatchObject({ size: layerBytes.length, isDirectory: false });
    expect(cluster.requests()).toEqual(['GET /v1/blob']);
  });

  it('reads bytes from an offset, so many at most, and nothing behind the end', async () => {
    const { driver } = await filledScene();
    expect(await readAll(driver, paths.blob())).toBe('the bytes of a layer');
    expect(await readAll(driver, paths.blob(), { offset: 4, length: 5 })).toBe('bytes');
    expect(await readAll(driver, paths.blob(), { offset: 15, length: 500 })).toBe('layer');
    expect(await readAll(driver, paths.blob(), { offset: 20 })).toBe('');
    expect(await readAll(driver, paths.blob(), { offset: 21 })).toBe('');
    expect(await readAll(driver, paths.blob(), { offset: 3, length: 0 })).toBe('');
    expect((await driver.getContent(paths.blob(), forApp)).toString()).toBe('the bytes of a layer');
    await expect(driver.reader(paths.blob(), { offset: -1 }, forApp)).rejects.toThrow(InvalidOffsetError);
  });

  it('reads a blob of no bytes', async () => {
    const { cluster, driver } = await p2pScene();
    const empty = cluster.origin.add(Buffer.alloc(0));
    cluster.index.link(app, 'layer', empty);
    expect((await driver.stat(paths.blob(empty), forApp)).size).toBe(0);
    expect(await readAll(driver, paths.blob(empty))).toBe('');
    expect(await readAll(driver, paths.blob(empty), { offset: 7 })).toBe('');
  });

  it('asks for a repository, because the path of a blob names none', async () => {
    const { driver } = await filledScene();
    for (const call of [
      () => driver.getContent(paths.blob()),
      () => driver.reader(paths.blob(), { offset: 0 }),
      () => driver.putContent(paths.blob(), layerBytes),
    ]) {
      const error = await call().catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(InvalidPathError);
      expect((error as Error).message).toContain('context.repository');
    }
  });

  it('tells without a repository only that it holds a blob, for a mount from anywhere', async () => {
    const { driver } = await filledScene();
    expect(await driver.stat(paths.blob())).toMatchObject({ size: layerBytes.length, isDirectory: false });
    await expect(driver.stat(paths.blob(absent))).rejects.toThrow(PathNotFoundError);
  });

  it('does not find a blob that is not linked in the repository of the call', async () => {
    const { driver } = await filledScene();
    const elsewhere = { repository: parseRepository('team/other') };
    await expect(driver.stat(paths.blob(), elsewhere)).rejects.toThrow(PathNotFoundError);
    await expect(driver.reader(paths.blob(), { offset: 0 }, elsewhere)).rejects.toThrow(PathNotFoundError);
    const error = await driver.getContent(paths.blob(absent), forApp).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(PathNotFoundError);
    expect((error as Error).cause).toMatchObject({ code: 'BLOB_NOT_FOUND' });
  });

  it('takes content under its own digest only, and hands it to the origins', async () => {
    const { cluster, driver } = await p2pScene();
    const content = Buffer.from('{"schemaVersion":2}');
    const digest = hashBytes(content, 'sha512');
    await driver.putContent(paths.blob(hashBytes(content)), content, forApp);
    expect(cluster.origin.uploads).toEqual([`${hashBytes(content)} ${app}`]);
    expect(await cluster.castore.blobs.pins(hashBytes(content))).toEqual([]);
    await expect(driver.putContent(paths.blob(absent), content, forApp)).rejects.toThrow(DigestMismatchError);
    expect(await cluster.castore.blobs.find(absent)).toBeUndefined();
    expect(await cluster.castore.blobs.find(digest)).toBeUndefined();
  });

  it('says so when the origins do not take content, and takes it when it comes again', async () => {
    const { cluster, driver } = await p2pScene();
    const content = Buffer.from('{"schemaVersion":2}');
    const path = paths.blob(hashBytes(content));
    cluster.origin.refuseUploads = new UnavailableError('too few origins hold it');
    await expect(driver.putContent(path, content, forApp)).rejects.toThrow(UnavailableError);
    expect(await cluster.castore.blobs.pins(hashBytes(content))).not.toContain(PUSH_PIN);
    cluster.origin.refuseUploads = undefined;
    await driver.putContent(path, content, forApp);
    expect(cluster.origin.uploads).toHaveLength(1);
  });

  it('takes no blob of any size into memory', async () => {
    const { cluster, driver } = await p2pScene();
    const large = cluster.origin.add(Buffer.alloc(17 * 1024 * 1024));
    cluster.index.link(app, 'layer', large);
    await expect(driver.getContent(paths.blob(large), forApp)).rejects.toThrow(UnsupportedError);
    expect(cluster.origin.ranges).toEqual([]);
  });

  it('passes the absence of the cluster on as it is', async () => {
    const { cluster, driver } = await filledScene();
    cluster.index.service.down = true;
    await expect(driver.stat(paths.blob(), forApp)).rejects.toThrow(UnavailableError);
    await expect(driver.getContent(paths.layerLink(), forApp)).rejects.toThrow(UnavailableError);
  });

  it('throws the reason of a signal', async () => {
    const { driver } = await filledScene();
    const reason = new Error('the client hung up');
    const context = { ...forApp, signal: AbortSignal.abort(reason) };
    await expect(driver.stat(paths.blob(), context)).rejects.toBe(reason);
  });

  it.each([
    '/docker/registry/v2/blobs/md5/ab/abcd/data',
    `/docker/registry/v2/blobs/sha256/ff/${'0'.repeat(64)}/data`,
    '/docker/registry/v2/repositories/team/app/_layers/sha256/abc/link',
    '/docker/registry/v2/repositories/UPPER/_manifests/tags',
    '/scheduler-state.json',
  ])('names a path that is none of the layout: %s', async (path) => {
    const { driver } = await p2pScene();
    const error = await driver.getContent(path, forApp).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InvalidPathError);
    expect((error as Error).message).toContain(path);
  });
});
