import { describe, expect, it } from 'vitest';
import { ReadOnlyError } from '../../src/core/index.ts';
import { defaultDriverFactory } from '../../src/driver/index.ts';
import { registerP2pDriver } from '../../src/driver/p2p/index.ts';
import { addLayer, seededBytes } from '../transfer/stand-in-cluster.ts';
import { app, forApp, layer, layerBytes, paths, readAll, readOnlyScene } from './p2p-scene.ts';

describe('p2p driver: read-only', () => {
  it('reads blobs, links and tags', async () => {
    const { cluster, driver } = await readOnlyScene();
    const bytes = seededBytes(200_000);
    const digest = addLayer(cluster, app, bytes);
    cluster.index.tag(app, 'v1', digest);
    expect((await driver.getContent(paths.tagLink(), forApp)).toString()).toBe(digest);
    expect((await driver.getContent(paths.layerLink(digest), forApp)).toString()).toBe(digest);
    expect(await readAll(driver, paths.blob(digest))).toBe(bytes.toString());
    expect(driver.capabilities).toEqual({
      write: false,
      anyPath: false,
      verifiesBlobs: true,
      redirect: false,
      conditionalPut: false,
    });
  });

  it('answers a HEAD of a cold blob by one request, and no byte of it', async () => {
    const { cluster, driver } = await readOnlyScene();
    const digest = addLayer(cluster, app, seededBytes(200_000));
    await driver.getContent(paths.layerLink(digest), forApp);
    expect((await driver.stat(paths.blob(digest), forApp)).size).toBe(200_000);
    expect(cluster.requests()).toEqual(['GET /v1/blob']);
  });

  it('refuses all that writes, and names the proxy', async () => {
    const { cluster, driver } = await readOnlyScene();
    addLayer(cluster, app, layerBytes);
    const writes = [
      driver.putContent(paths.layerLink(), Buffer.from(layer), forApp),
      driver.putContent(paths.blob(), layerBytes, forApp),
      driver.putContent(paths.startedAt('u1'), Buffer.from('now'), forApp),
      driver.writer(paths.uploadData('u1'), { append: false }, forApp),
      driver.move(paths.uploadData('u1'), paths.blob(), forApp),
      driver.delete(paths.layer(), forApp),
    ];
    for (const write of writes) {
      const error = await write.then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(ReadOnlyError);
      expect((error as Error).message).toContain('http://proxy.example:15000');
    }
    expect(cluster.requests()).toEqual([]);
    expect(await Array.fromAsync(cluster.castore.uploads.list())).toEqual([]);
  });

  it('is what the factory makes of the constructor "ro"; "rw" makes one that writes, anything else is refused', async () => {
    const { deps } = await readOnlyScene();
    const factory = defaultDriverFactory();
    registerP2pDriver(factory, deps);
    expect(factory.names()).toContain('p2p');
    const readOnly = await factory.create('p2p', { constructor: 'ro' });
    expect(readOnly.capabilities.write).toBe(false);
    await expect(readOnly.putContent(paths.blob(), layerBytes, forApp)).rejects.toThrow('http://proxy.example:15000');
    const readWrite = await factory.create('p2p', { constructor: 'rw' });
    expect([readWrite.name, readWrite.capabilities.write]).toEqual(['p2p', true]);
    await expect(factory.create('p2p', { constructor: 'wo' })).rejects.toThrow('constructor');
    await expect(factory.create('p2p', {})).rejects.toThrow('constructor');
  });
});
