import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { hasPrograms } from '../helpers/command.ts';
import { DOCKER_REGISTRY, folderStorage, startDockerRegistry } from '../helpers/docker-registry.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { bytesOf, TestClient } from './client.ts';
import { writeOciLayout } from './oci-layout.ts';
import { folderDriver, serveRegistry } from './running-registry.ts';

const run = promisify(execFile);
const skopeo = '/usr/bin/skopeo';

// Skipped only where the program is missing; never in CI.
describe.skipIf(!hasPrograms(skopeo, DOCKER_REGISTRY))('a registry on a folder and its neighbours', () => {
  it('takes an image from skopeo, and gives it back unchanged', async () => {
    const layout = await makeTempDir();
    const digest = await writeOciLayout(layout);
    const { url, client } = await serveRegistry(await folderDriver());
    await copy(`oci:${layout}:v1`, `docker://${hostOf(url)}/team/app:v1`);
    expect((await client.call('HEAD', '/v2/team/app/manifests/v1')).headers.get('docker-content-digest')).toBe(digest);

    const pulled = await makeTempDir();
    await copy(`docker://${hostOf(url)}/team/app:v1`, `oci:${pulled}:v1`);
    expect(await blobsOf(pulled)).toEqual(await blobsOf(layout));
    const { stdout } = await run(skopeo, ['list-tags', '--tls-verify=false', `docker://${hostOf(url)}/team/app`]);
    expect(JSON.parse(stdout)).toMatchObject({ Tags: ['v1'] });
  });

  it('copies an image between repositories with skopeo, mounting its layers', async () => {
    const layout = await makeTempDir();
    await writeOciLayout(layout);
    const { url, client } = await serveRegistry(await folderDriver());
    await copy(`oci:${layout}:v1`, `docker://${hostOf(url)}/team/app:v1`);
    await copy(`docker://${hostOf(url)}/team/app:v1`, `docker://${hostOf(url)}/other/app:v2`);
    expect((await client.call('HEAD', '/v2/other/app/manifests/v2')).status).toBe(200);
  });

  it('writes a folder that distribution serves', async () => {
    const folder = await makeTempDir();
    const layout = await makeTempDir();
    const digest = await writeOciLayout(layout);
    const driver = await folderDriver(folder);
    const ours = await serveRegistry(driver);
    await copy(`oci:${layout}:v1`, `docker://${hostOf(ours.url)}/team/app:v1`);
    const image = await ours.client.putImage('team/app', ['v2'], 'second');
    // Files of our own lie beside: distribution must not mind them.
    const referrer = await ours.client.imageOf('team/app', 'referrer', {
      subject: { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: 1 },
    });
    expect((await ours.client.putManifest('team/app', 'signature', referrer)).status).toBe(201);

    const theirs = await startOn(folder);
    const pulled = await makeTempDir();
    await copy(`docker://${hostOf(theirs.url)}/team/app:v1`, `oci:${pulled}:v1`);
    expect(await blobsOf(pulled)).toEqual(await blobsOf(layout));
    const headers = { accept: 'application/vnd.oci.image.manifest.v1+json' };
    const manifest = await theirs.call('GET', `/v2/team/app/manifests/${image.digest}`, { headers });
    expect(manifest.body.equals(image.bytes)).toBe(true);
    const tags = await theirs.call('GET', '/v2/team/app/tags/list');
    expect(JSON.parse(tags.body.toString()).tags.sort()).toEqual(['signature', 'v1', 'v2']);
  });

  it('serves a folder that distribution has written, and goes on writing it', async () => {
    const folder = await makeTempDir();
    const layout = await makeTempDir();
    const digest = await writeOciLayout(layout);
    const theirs = await startOn(folder);
    await copy(`oci:${layout}:v1`, `docker://${hostOf(theirs.url)}/team/app:v1`);
    const sha512 = await theirs.putBlob('team/app', bytesOf('by sha512', 1000), 'sha512');

    const ours = await serveRegistry(await folderDriver(folder));
    const pulled = await makeTempDir();
    await copy(`docker://${hostOf(ours.url)}/team/app:v1`, `oci:${pulled}:v1`);
    expect(await blobsOf(pulled)).toEqual(await blobsOf(layout));
    expect((await ours.client.call('GET', '/v2/_catalog')).body.toString()).toBe('{"repositories":["team/app"]}');
    const blob = await ours.client.call('GET', `/v2/team/app/blobs/${sha512}`);
    expect([blob.status, blob.body.equals(bytesOf('by sha512', 1000))]).toEqual([200, true]);
    expect(blob.headers.get('docker-content-digest')).toBe(sha512);

    await ours.client.putImage('team/app', ['v2'], 'ours');
    expect((await ours.client.call('DELETE', `/v2/team/app/manifests/${digest}`)).status).toBe(202);
    const tags = await theirs.call('GET', '/v2/team/app/tags/list');
    expect(JSON.parse(tags.body.toString()).tags).toEqual(['v2']);
  });
});

async function copy(source: string, destination: string): Promise<void> {
  const plain = ['--src-tls-verify=false', '--dest-tls-verify=false'];
  await run(skopeo, ['--insecure-policy', 'copy', '--preserve-digests', ...plain, source, destination]);
}

async function blobsOf(layout: string): Promise<string[]> {
  return (await readdir(join(layout, 'blobs', 'sha256'))).sort();
}

function hostOf(url: string): string {
  return new URL(url).host;
}

/** Debian's distribution on a folder; it ends with the test. */
async function startOn(folder: string): Promise<TestClient> {
  const { url, stop } = await startDockerRegistry(folderStorage(folder));
  onTestFinished(stop);
  return new TestClient(url);
}
