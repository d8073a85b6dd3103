import { buffer } from 'node:stream/consumers';
import { type Digest, hashBytes, parseDigest, parseRepository, parseTag } from '../../src/core/index.ts';
import type { StorageDriver } from '../../src/driver/index.ts';
import { newReadOnlyStorageDriver, newReadWriteStorageDriver } from '../../src/driver/p2p/index.ts';
import { formatPath } from '../../src/pathparser/index.ts';
import { ReadOnlyTransferer, ReadWriteTransferer } from '../../src/transfer/index.ts';
import { testLogger } from '../helpers/logger.ts';
import { ScriptedSwarm } from '../transfer/scripted-swarm.ts';
import { type StandInCluster, startCluster } from '../transfer/stand-in-cluster.ts';

export const app = parseRepository('team/app');
export const v1 = parseTag('v1');
export const forApp = { repository: app };
export const layerBytes = Buffer.from('the bytes of a layer');
export const layer = hashBytes(layerBytes);
export const manifestBytes = Buffer.from('{"a":"manifest"}');
export const manifest = hashBytes(manifestBytes);
export const absent = parseDigest(`sha256:${'0'.repeat(64)}`);

export const paths = {
  layerLink: (digest: Digest = layer) => formatPath({ kind: 'layer-link', repository: app, digest }),
  layer: (digest: Digest = layer) => formatPath({ kind: 'layer', repository: app, digest }),
  revisionLink: (digest: Digest = manifest) => formatPath({ kind: 'revision-link', repository: app, digest }),
  revision: (digest: Digest = manifest) => formatPath({ kind: 'revision', repository: app, digest }),
  blob: (digest: Digest = layer) => formatPath({ kind: 'blob-data', digest }),
  tags: formatPath({ kind: 'tags', repository: app }),
  tag: (tag = v1) => formatPath({ kind: 'tag', repository: app, tag }),
  tagLink: (tag = v1) => formatPath({ kind: 'tag-current-link', repository: app, tag }),
  upload: (uploadId: string, repository = app) => formatPath({ kind: 'upload', repository, uploadId }),
  uploadData: (uploadId: string, repository = app) => formatPath({ kind: 'upload-data', repository, uploadId }),
  startedAt: (uploadId: string, repository = app) => formatPath({ kind: 'upload-started-at', repository, uploadId }),
};

/** A read-write driver over a cluster of stand-ins. */
export async function p2pScene(): Promise<{ cluster: StandInCluster; driver: StorageDriver }> {
  const cluster = await startCluster();
  const transferer = await ReadWriteTransferer.open({ ...cluster, logger: testLogger() });
  return { cluster, driver: newReadWriteStorageDriver({ transferer, castore: cluster.castore }) };
}

/** A read-only driver over a cluster of stand-ins, and what it was made of. */
export async function readOnlyScene() {
  const cluster = await startCluster();
  const swarm = new ScriptedSwarm(cluster.castore, (digest) => cluster.origin.blobs.get(digest)!);
  const proxyHint = 'http://proxy.example:15000';
  const transferer = new ReadOnlyTransferer({ ...cluster, swarm, logger: testLogger() }, { proxyHint });
  const deps = { transferer, castore: cluster.castore, proxyHint };
  return { cluster, deps, driver: newReadOnlyStorageDriver(deps) };
}

/** The read-write scene, with one layer, one manifest, one tag, one referrer and one upload of each state in it. */
export async function filledScene() {
  const scene = await p2pScene();
  const { index, origin, castore } = scene.cluster;
  index.link(app, 'layer', origin.add(layerBytes));
  index.link(app, 'revision', origin.add(manifestBytes));
  index.tag(app, 'v1', manifest);
  index.referrers.set(`${app}@${manifest}`, new Set([layer]));
  await scene.driver.putContent(paths.startedAt('begun'), Buffer.from('2026-01-01T00:00:00Z'));
  const hashState = formatPath({
    kind: 'upload-hash-state',
    repository: app,
    uploadId: 'begun',
    algorithm: 'sha256',
    offset: 5,
  });
  await scene.driver.putContent(hashState, Buffer.from('state'));
  await writeUpload(scene.driver, 'begun', layerBytes);
  return { ...scene, castore, hashState };
}

/** Writes an upload and leaves it unfinished. */
export async function writeUpload(driver: StorageDriver, uploadId: string, bytes: Buffer): Promise<void> {
  const writer = await driver.writer(paths.uploadData(uploadId), { append: false });
  await writer.write(bytes);
  await writer.close();
}

/** All bytes of an object. */
export async function readAll(
  driver: StorageDriver,
  path: string,
  range: { offset: number; length?: number } = { offset: 0 },
): Promise<string> {
  return (await buffer(await driver.reader(path, range, forApp))).toString();
}
