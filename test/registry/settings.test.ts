import { describe, expect, it } from 'vitest';
import { mediaTypes } from '../../src/core/index.ts';
import { registryOptionsOf } from '../../src/registry/index.ts';
import { bytesOf, descriptorOf } from './client.ts';
import { registryConfig } from './registry-config.ts';
import { memoryDriver, serveRegistry } from './running-registry.ts';
import { wrapDriver } from './wrapped-driver.ts';

const missing = descriptorOf(mediaTypes.ociManifest, bytesOf('never pushed', 100));

function indexOf(manifests: readonly object[]): object {
  return { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
}

describe('the settings of a registry', () => {
  it('remember links for a second, and nothing where it is switched off', async () => {
    const registry = async (settings: Parameters<typeof registryConfig>[0]) => {
      const inner = await memoryDriver();
      let reads = 0;
      const driver = wrapDriver(inner, {
        getContent(path) {
          reads += 1;
          return inner.getContent(path);
        },
      });
      const { client } = await serveRegistry(driver, registryOptionsOf(registryConfig(settings)));
      const digest = await client.putBlob('a', bytesOf('small', 100));
      reads = 0;
      for (let round = 0; round < 5; round += 1) {
        expect((await client.call('GET', `/v2/a/blobs/${digest}`)).body).toEqual(bytesOf('small', 100));
      }
      return reads;
    };
    expect(await registry({})).toBe(2);
    expect(await registry({ cache: { maxBytes: 0, maxAgeMs: 1000 } })).toBe(10);
  });

  it('sees a deletion at once, whatever it remembers', async () => {
    const { client } = await serveRegistry(await memoryDriver(), registryOptionsOf(registryConfig()));
    const digest = await client.putBlob('a', bytesOf('small', 100));
    const image = await client.putImage('a', ['v1']);
    const paths = [`/v2/a/blobs/${digest}`, `/v2/a/manifests/${image.digest}`];
    for (const path of paths) {
      for (const status of [200, 200]) expect((await client.call('GET', path)).status).toBe(status);
      expect((await client.call('DELETE', path)).status).toBe(202);
      for (const method of ['GET', 'HEAD']) expect((await client.call(method, path)).status).toBe(404);
    }
    const other = await client.putBlob('a', bytesOf('other', 100));
    expect((await client.call('GET', `/v2/a/blobs/${other}`)).status).toBe(200);
    expect((await client.call('DELETE', '/v2/a/_shoal/repository')).status).toBe(202);
    expect((await client.call('GET', `/v2/a/blobs/${other}`)).status).toBe(404);
  });

  it('let in an index of which only some platforms were pushed, when it is lenient, and no image without its layers', async () => {
    const options = registryOptionsOf(registryConfig({ indexes: 'lenient' }));
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
    const { client } = await serveRegistry(driver, registryOptionsOf(registryConfig({ readOnly: true })));
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
