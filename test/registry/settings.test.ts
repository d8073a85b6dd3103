import { describe, expect, it } from 'vitest';
import { mediaTypes } from '../../src/core/index.ts';
import { registryOptionsOf } from '../../src/registry/index.ts';
import { bytesOf, descriptorOf } from './client.ts';
import { memoryDriver, serveRegistry } from './running-registry.ts';

const missing = descriptorOf(mediaTypes.ociManifest, bytesOf('never pushed', 100));

function indexOf(manifests: readonly object[]): object {
  return { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
}

describe('the settings of a registry', () => {
  it('let in an index of which only some platforms were pushed, when it is lenient, and no image without its layers', async () => {
    const options = registryOptionsOf({ indexes: 'lenient', readOnly: false });
    const { client } = await serveRegistry(await memoryDriver(), options);
    expect((await client.putManifest('a', 'v1', indexOf([missing]))).status).toBe(201);
    expect((await client.call('GET', '/v2/a/manifests/v1')).status).toBe(200);
    const image = await client.imageOf('a', 'image', { layers: [missing] });
    expect((await client.putManifest('a', 'v2', image)).codes).toEqual(['MANIFEST_BLOB_UNKNOWN']);
  });

  it('refuse every write while it is read-only, and say so', async () => {
    const driver = await memoryDriver();
    const { client: before } = await serveRegistry(driver);
    const { digest } = await before.putImage('a', ['v1']);
    const { client } = await serveRegistry(driver, registryOptionsOf({ indexes: 'strict', readOnly: true }));
    const writes = [
      ['POST', '/v2/a/blobs/uploads/'],
      ['PUT', '/v2/a/manifests/v2'],
      ['DELETE', `/v2/a/manifests/${digest}`],
      ['DELETE', `/v2/a/blobs/${digest}`],
    ] as const;
    for (const [method, path] of writes) {
      const answer = await client.call(method, path);
      expect([method, answer.status, ...answer.codes]).toEqual([method, 405, 'UNSUPPORTED']);
      expect(answer.body.toString()).toContain('registry.readOnly');
    }
    expect((await client.call('GET', '/v2/a/manifests/v1')).status).toBe(200);
  });
});
