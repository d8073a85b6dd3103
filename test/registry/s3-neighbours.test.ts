import { describe, expect, it, onTestFinished } from 'vitest';
import { defaultDriverFactory } from '../../src/driver/index.ts';
import { hasPrograms } from '../helpers/command.ts';
import { DOCKER_REGISTRY, startDockerRegistry } from '../helpers/docker-registry.ts';
import { type BucketParameters, hasSwift, SwiftServer } from '../helpers/swift-s3/swift.ts';
import { bytesOf, TestClient } from './client.ts';
import { serveRegistry } from './running-registry.ts';

/** More than two parts of an upload in parts, for both. */
const large = bytesOf('large', 12 * 1024 * 1024 + 5);
const accept = 'application/vnd.oci.image.manifest.v1+json';

// Skipped only where a program is missing; never in CI.
describe.skipIf(!hasSwift() || !hasPrograms(DOCKER_REGISTRY))('a bucket of ours and of distribution', () => {
  const swift = SwiftServer.forThisFile();

  it.each(['/registry', ''])(
    'is served by each as the other wrote it, below "%s"',
    { timeout: 120_000 },
    async (root) => {
      const bucket = { ...(await swift.makeBucket()), rootdirectory: root };
      const theirs = await startTheirs(bucket);
      const ours = await startOurs(bucket);

      const their = await theirs.putImage('team/app', ['theirs'], 'theirs');
      const theirLarge = await theirs.putBlob('team/app', large);
      const our = await ours.putImage('team/app', ['ours'], 'ours');
      const ourLarge = await ours.putBlob('team/other', bytesOf('another', large.length), 'sha512');

      for (const registry of [theirs, ours]) {
        const tags = await registry.call('GET', '/v2/team/app/tags/list');
        expect((JSON.parse(tags.body.toString()) as { tags: string[] }).tags.sort()).toEqual(['ours', 'theirs']);
        for (const [tag, image] of [['theirs', their] as const, ['ours', our] as const]) {
          const manifest = await registry.call('GET', `/v2/team/app/manifests/${tag}`, { headers: { accept } });
          expect(manifest.body.equals(image.bytes)).toBe(true);
        }
        const blob = await registry.call('GET', `/v2/team/app/blobs/${theirLarge}`);
        expect([blob.status, blob.body.equals(large)]).toEqual([200, true]);
      }
      const blob = await ours.call('GET', `/v2/team/other/blobs/${ourLarge}`);
      expect(blob.body.equals(bytesOf('another', large.length))).toBe(true);
      const catalog = await ours.call('GET', '/v2/_catalog');
      expect(JSON.parse(catalog.body.toString())).toEqual({ repositories: ['team/app', 'team/other'] });

      expect((await ours.call('DELETE', `/v2/team/app/manifests/${their.digest}`)).status).toBe(202);
      expect((await theirs.call('GET', '/v2/team/app/manifests/theirs', { headers: { accept } })).status).toBe(404);
    },
  );

  it("has uploads of theirs that are not at their end, which are in nobody's way", { timeout: 60_000 }, async () => {
    const bucket = await swift.makeBucket();
    const theirs = await startTheirs(bucket);
    const ours = await startOurs(bucket);
    const location = await theirs.begin('team/app');
    const patched = await theirs.call('PATCH', location, { body: large.subarray(0, 6 * 1024 * 1024) });
    expect(patched.status).toBe(202);
    const image = await ours.putImage('team/app', ['v1']);
    expect((await ours.call('GET', '/v2/team/app/tags/list')).body.toString()).toContain('["v1"]');
    const manifest = await theirs.call('GET', '/v2/team/app/manifests/v1', { headers: { accept } });
    expect(manifest.body.equals(image.bytes)).toBe(true);
  });

  async function startOurs(bucket: BucketParameters): Promise<TestClient> {
    const driver = await defaultDriverFactory().create('s3', { ...bucket, redirect: false });
    onTestFinished(() => driver.close());
    return (await serveRegistry(driver)).client;
  }

  async function startTheirs(bucket: BucketParameters): Promise<TestClient> {
    const s3 = { ...bucket, secure: false, v4auth: true, chunksize: 5 * 1024 * 1024 };
    const { url, stop } = await startDockerRegistry({ s3, redirect: { disable: true } });
    onTestFinished(stop);
    return new TestClient(url);
  }
});
