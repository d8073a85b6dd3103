import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { registryOptionsOf } from '../../src/registry/config.ts';
import { formatWarnings } from '../../src/registry/warning.ts';
import { descriptorOf } from './client.ts';
import { registryConfig } from './registry-config.ts';
import { folderDriver, memoryDriver, serveRegistry } from './running-registry.ts';

/** OCI distribution specification, "Warnings". */
describe('warnings', () => {
  it('of the operator go with every answer on a manifest, and with no other', async () => {
    const { client } = await serveRegistry(await memoryDriver(), { warning: 'moves to "new.example" on \\ Monday' });
    const { digest } = await client.putImage('a/b', ['v1']);
    const expected = '299 - "moves to \\"new.example\\" on \\\\ Monday"';
    for (const [method, reference] of [
      ['GET', 'v1'],
      ['HEAD', digest],
      ['DELETE', 'v1'],
    ] as const) {
      const answer = await client.call(method, `/v2/a/b/manifests/${reference}`);
      expect(answer.headers.get('warning')).toBe(expected);
    }
    expect((await client.call('GET', '/v2/a/b/tags/list')).headers.get('warning')).toBeNull();
  });

  it('tell what an index lacks that was taken all the same', async () => {
    const { indexes } = registryOptionsOf(registryConfig({ indexes: 'lenient' }));
    const { client } = await serveRegistry(await folderDriver(), { indexes });
    const { bytes } = await client.putImage('a/b', []);
    const type = 'application/vnd.oci.image.manifest.v1+json';
    const missing = descriptorOf(type, Buffer.from('of another platform')) as { digest: string };
    const index = {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [descriptorOf(type, bytes), missing],
    };
    const put = await client.putManifest('a/b', 'v1', index);
    expect([put.status, put.headers.get('warning')]).toEqual([
      201,
      `299 - "the index names what is not in the repository a/b: ${missing.digest}"`,
    ]);
    const whole = await client.putManifest('a/b', 'v2', { ...index, manifests: [descriptorOf(type, bytes)] });
    expect(whole.headers.get('warning')).toBeNull();
  });

  it('are quoted strings of 4096 bytes together at most, whatever their texts', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 5000 }), { maxLength: 5 }), (texts) => {
        const values = formatWarnings(texts);
        expect(values.join('').length).toBeLessThanOrEqual(4096);
        for (const value of values) expect(value).toMatch(/^299 - "(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"$/);
      }),
    );
  });
});
