import { describe, expect, it } from 'vitest';
import { ReadOnlyError } from '../../src/core/index.ts';
import { createP2pDriver, newReadOnlyStorageDriver } from '../../src/driver/p2p/index.ts';
import { ReadOnlyTransferer } from '../../src/transfer/index.ts';
import { testLogger } from '../helpers/logger.ts';
import { ScriptedSwarm } from '../transfer/scripted-swarm.ts';
import { addLayer, seededBytes, startCluster } from '../transfer/stand-in-cluster.ts';
import { app, forApp, layer, layerBytes, paths, readAll } from './p2p-scene.ts';

describe('p2p driver: read-only', () => {
  it('reads blobs, links and tags', async () => {
    const { cluster, driver } = await scene();
    const bytes = seededBytes(200_000);
    const digest = addLayer(cluster, app, bytes);
    cluster.index.tag(app, 'v1', digest);
    expect((await driver.getContent(paths.tagLink(), forApp)).toString()).toBe(digest);
    expect((await driver.getContent(paths.layerLink(digest), forApp)).toString()).toBe(digest);
    expect(await readAll(driver, paths.blob(digest))).toBe(bytes.toString());
    expect(driver.capabilities).toEqual({ write: false, anyPath: false, verifiesBlobs: true, redirect: false });
  });

  it('answers a HEAD of a cold blob by one request, and no byte of it', async () => {
    const { cluster, driver } = await scene();
    const digest = addLayer(cluster, app, seededBytes(200_000));
    await driver.getContent(paths.layerLink(digest), forApp);
    expect((await driver.stat(paths.blob(digest), forApp)).size).toBe(200_000);
    expect(cluster.requests()).toEqual(['GET /v1/blob']);
  });

  it('refuses all that writes, and names the proxy', async () => {
    const { cluster, driver } = await scene();
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

  it('is what the constructor "ro" makes, and "rw" makes one that writes', async () => {
    const { deps } = await scene();
    expect(createP2pDriver({ ...deps, constructor: 'ro' }).capabilities.write).toBe(false);
    expect(createP2pDriver({ ...deps, constructor: 'rw' }).capabilities.write).toBe(true);
    expect(createP2pDriver({ ...deps, constructor: 'rw' }).name).toBe('p2p');
  });
});

async function scene() {
  const cluster = await startCluster();
  const swarm = new ScriptedSwarm(cluster.castore, (digest) => cluster.origin.blobs.get(digest)!);
  const proxyHint = 'http://proxy.example:15000';
  const transferer = new ReadOnlyTransferer({ ...cluster, swarm, logger: testLogger() }, { proxyHint });
  const deps = { transferer, castore: cluster.castore, proxyHint };
  return { cluster, deps, driver: newReadOnlyStorageDriver(deps) };
}
