import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { hashBytes, mediaTypes } from '../../src/core/index.ts';
import { formatPath } from '../../src/pathparser/index.ts';
import { hasPrograms } from '../helpers/command.ts';
import { DOCKER_REGISTRY, folderStorage, startDockerRegistry } from '../helpers/docker-registry.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { bytesOf, TestClient } from '../registry/client.ts';
import { folderDriver } from '../registry/running-registry.ts';
import { Scene } from './scene.ts';

const run = promisify(execFile);

// Skipped only where the program is missing; never in CI.
describe.skipIf(!hasPrograms(DOCKER_REGISTRY))('a folder of distribution', () => {
  it('is served by it after a collection, with everything that was kept', { timeout: 60_000 }, async () => {
    const folder = await makeTempDir();
    const theirs = await startDockerRegistry(folderStorage(folder));
    onTestFinished(theirs.stop);
    const client = new TestClient(theirs.url);
    const kept = await client.putImage('team/app', ['v1'], 'kept');
    const moved = await client.putImage('team/app', ['v2'], 'first');
    const latest = await client.putImage('team/app', ['v2'], 'second');
    const unused = await client.putBlob('team/app', bytesOf('unused', 1000));
    // Distribution stores it under sha256, and links it from sha512.
    const sha512 = await client.putBlob('team/app', bytesOf('by sha512', 1000), 'sha512');
    const config = Buffer.from('{"by":"sha512"}');
    await client.putBlob('team/app', config);
    const document = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest: hashBytes(config), size: config.length },
      layers: [{ mediaType: mediaTypes.ociLayerTar, digest: sha512, size: 1000 }],
    };
    expect((await client.putManifest('team/app', 'by-sha512', document)).status).toBe(201);
    await theirs.stop();

    const scene = new Scene(await folderDriver(folder));
    const first = await scene.collectLater({ untagged: true });
    expect(first.problems).toEqual([]);
    expect(first.totals.quarantine.objects).toBeGreaterThan(0);
    await expectServed(folder, { kept: kept.digest, latest: latest.digest, sha512 });
    await scene.collectLater({ untagged: true });
    const last = await scene.collectLater({ untagged: true });
    expect(last.items.filter(({ action }) => action !== 'delete')).toEqual([]);
    for (const digest of [moved.digest, unused]) expect(await scene.hasBlob(digest)).toBe(false);
    await expectServed(folder, { kept: kept.digest, latest: latest.digest, sha512 });
  });

  it('can be collected by it too: it never looks into the quarantine', { timeout: 60_000 }, async () => {
    const folder = await makeTempDir();
    const scene = new Scene(await folderDriver(folder));
    const layer = await scene.layer('a', 'layer');
    const image = await scene.image('a', { layers: [layer], tags: ['v1'] });
    const lost = await scene.blob('lost');
    const unused = await scene.layer('a', 'unused');
    await scene.image('a');
    await scene.collectLater({ untagged: true });
    const before = [...(await scene.snapshot()).keys()];
    expect(before.filter((path) => path.includes('/quarantine/')).length).toBeGreaterThan(4);
    const config = join(await makeTempDir(), 'config.yml');
    await writeFile(
      config,
      `version: 0.1\nstorage: {filesystem: {rootdirectory: ${folder}}}\nhttp: {addr: 127.0.0.1:0}\n`,
    );
    const { stdout } = await run(DOCKER_REGISTRY, ['garbage-collect', '--delete-untagged', config]);
    expect(stdout).toContain('blobs marked');
    expect([...(await scene.snapshot()).keys()]).toEqual(before);
    for (const digest of [layer, image]) expect(await scene.hasBlob(digest)).toBe(true);
    for (const digest of [lost, unused]) expect(await scene.hasBlob(digest)).toBe(false);
    expect(await scene.has(formatPath({ kind: 'blob-data', digest: image }))).toBe(true);
  });
});

async function expectServed(
  folder: string,
  expected: { readonly kept: string; readonly latest: string; readonly sha512: string },
): Promise<void> {
  const theirs = await startDockerRegistry(folderStorage(folder));
  onTestFinished(theirs.stop);
  const client = new TestClient(theirs.url);
  const headers = { accept: mediaTypes.ociManifest };
  const tags = await client.call('GET', '/v2/team/app/tags/list');
  expect((JSON.parse(tags.body.toString()) as { tags: string[] }).tags.sort()).toEqual(['by-sha512', 'v1', 'v2']);
  for (const [tag, digest] of [
    ['v1', expected.kept],
    ['v2', expected.latest],
  ]) {
    const answer = await client.call('GET', `/v2/team/app/manifests/${tag}`, { headers });
    expect([answer.status, answer.headers.get('docker-content-digest')]).toEqual([200, digest]);
    const { config, layers } = JSON.parse(answer.body.toString()) as {
      config: { digest: string };
      layers: { digest: string }[];
    };
    for (const part of [config, ...layers]) {
      const blob = await client.call('GET', `/v2/team/app/blobs/${part.digest}`);
      expect([blob.status, hashBytes(blob.body)]).toEqual([200, part.digest]);
    }
  }
  const blob = await client.call('GET', `/v2/team/app/blobs/${expected.sha512}`);
  expect([blob.status, blob.body.equals(bytesOf('by sha512', 1000))]).toEqual([200, true]);
  await theirs.stop();
}
