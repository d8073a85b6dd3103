import { describe, expect, it } from 'vitest';
import { type Digest, hashBytes, mediaTypes, parseRepository } from '../../src/core/index.ts';
import type { StorageDriver } from '../../src/driver/index.ts';
import { findQuarantineEntry, formatPath, QUARANTINE_PATH } from '../../src/pathparser/index.ts';
import { bytesOf, type TestClient } from '../registry/client.ts';
import { folderDriver, memoryDriver, serveRegistry } from '../registry/running-registry.ts';
import { watchedDriver } from './counting-driver.ts';
import { Scene } from './scene.ts';

const drivers: readonly (readonly [string, () => Promise<StorageDriver>])[] = [
  ['memory', memoryDriver],
  ['a folder', folderDriver],
];

/** A registry with one untagged image of one layer and a lone blob, all of which a collection has put in quarantine. */
async function putAside(driver: StorageDriver) {
  const scene = new Scene(driver);
  const { client } = await serveRegistry(driver);
  const layer = await client.putBlob('a', bytesOf('layer', 50_000));
  const config = Buffer.from('{}');
  await client.putBlob('a', config);
  const document = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: hashBytes(config), size: 2 },
    layers: [{ mediaType: mediaTypes.ociLayerTar, digest: layer, size: 50_000 }],
  };
  const bytes = Buffer.from(JSON.stringify(document));
  const manifest = hashBytes(bytes);
  expect((await client.putManifest('a', manifest, document)).status).toBe(201);
  await scene.collectLater({ untagged: true });
  for (const digest of [layer, manifest]) expect(await scene.hasBlob(digest)).toBe(false);
  expect(await scene.hasLink('a', 'revision', manifest)).toBe(false);
  return { scene, client, layer, manifest, bytes, document };
}

async function quarantined(scene: Scene): Promise<string[]> {
  const names = [...(await scene.snapshot()).keys()].filter((path) => path.startsWith(QUARANTINE_PATH));
  return names.filter((path) => findQuarantineEntry(path.split('/').at(-1)!)?.what !== 'restored');
}

describe.each(drivers)('what a collection has put aside on %s', (_name, open) => {
  it('is there for whoever asks for a blob, a part of it, or its head', async () => {
    for (const [method, headers, status] of [
      ['GET', {}, 200],
      ['GET', { range: 'bytes=10-19' }, 206],
      ['GET', { range: 'bytes=0-1,10-19' }, 206],
      ['HEAD', {}, 200],
    ] as const) {
      const { scene, client, layer } = await putAside(await open());
      const answer = await client.call(method, `/v2/a/blobs/${layer}`, { headers });
      expect([method, answer.status]).toEqual([method, status]);
      if (status === 200 && method === 'GET') expect(answer.body.equals(bytesOf('layer', 50_000))).toBe(true);
      expect([await scene.hasBlob(layer), await scene.hasLink('a', 'layer', layer)]).toEqual([true, true]);
    }
  });

  it('is there for whoever asks for a manifest', async () => {
    const { client, manifest, bytes, layer } = await putAside(await open());
    const answer = await client.call('GET', `/v2/a/manifests/${manifest}`);
    expect([answer.status, answer.body.equals(bytes)]).toEqual([200, true]);
    expect((await client.call('GET', `/v2/a/blobs/${layer}`)).body.equals(bytesOf('layer', 50_000))).toBe(true);
  });

  it('does not come back when the manifest was deleted, pushed anew before or not', async () => {
    for (const anew of [false, true]) {
      const { client, manifest, document } = await putAside(await open());
      if (anew) expect((await client.putManifest('a', 'v1', document)).status).toBe(201);
      expect((await client.call('DELETE', `/v2/a/manifests/${manifest}`)).status).toBe(202);
      expect((await client.call('HEAD', `/v2/a/manifests/${manifest}`)).status).toBe(404);
    }
  });

  it('does not come back when its repository was deleted', async () => {
    const { client, manifest, layer } = await putAside(await open());
    expect((await client.call('DELETE', '/v2/a/_shoal/repository')).status).toBe(202);
    expect((await client.call('HEAD', `/v2/a/manifests/${manifest}`)).status).toBe(404);
    expect((await client.call('HEAD', `/v2/a/blobs/${layer}`)).status).toBe(404);
  });

  it('is there for many who ask at once', async () => {
    const { client, layer, manifest } = await putAside(await open());
    const paths = Array.from({ length: 20 }, (_, index) =>
      index % 2 === 0 ? `/v2/a/blobs/${layer}` : `/v2/a/manifests/${manifest}`,
    );
    const answers = await Promise.all(paths.map((path) => client.call('GET', path)));
    expect(answers.map(({ status }) => status)).toEqual(paths.map(() => 200));
  });

  it('can be mounted, and put into manifests and indexes', async () => {
    const driver = await open();
    const { client, layer, manifest, document } = await putAside(driver);
    const mounted = await client.call('POST', `/v2/b/blobs/uploads/?mount=${layer}&from=a`);
    expect(mounted.status).toBe(201);
    const index = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [{ mediaType: mediaTypes.ociManifest, digest: manifest, size: 1 }],
    };
    expect((await client.putManifest('a', 'multi', index)).status).toBe(201);
    expect((await client.putManifest('a', 'v1', document)).status).toBe(201);
  });

  it('does not come back when it was deleted', async () => {
    const { scene, client, layer } = await putAside(await open());
    expect((await client.call('DELETE', `/v2/a/blobs/${layer}`)).status).toBe(202);
    expect((await client.call('HEAD', `/v2/a/blobs/${layer}`)).status).toBe(404);
    expect((await client.call('DELETE', `/v2/a/blobs/${layer}`)).status).toBe(404);
    expect((await quarantined(scene)).filter((path) => path.includes(`_links/sha256/${layer.slice(7)}`))).toEqual([]);
  });

  it('does not come back when it was uploaded anew and then deleted', async () => {
    const { client, layer } = await putAside(await open());
    await client.putBlob('a', bytesOf('layer', 50_000));
    expect((await client.call('DELETE', `/v2/a/blobs/${layer}`)).status).toBe(202);
    expect((await client.call('HEAD', `/v2/a/blobs/${layer}`)).status).toBe(404);
  });

  it('belongs to its repository only', async () => {
    const { client, layer, manifest } = await putAside(await open());
    expect((await client.call('HEAD', `/v2/b/blobs/${layer}`)).status).toBe(404);
    expect((await client.call('HEAD', `/v2/b/manifests/${manifest}`)).status).toBe(404);
    expect((await client.call('POST', `/v2/c/blobs/uploads/?mount=${layer}&from=b`)).status).toBe(202);
  });
});

describe('bytes that are put aside between being found and being opened', () => {
  // Small blobs are read in one go, others as a stream.
  it.each([1000, 200_000])('are brought back (%i bytes)', async (length) => {
    const inner = await memoryDriver();
    const scene = new Scene(inner);
    let armed = true;
    const driver = watchedDriver(inner, async (call, path) => {
      if (!armed || (call !== 'reader' && call !== 'getContent') || !path.endsWith('/data')) return;
      armed = false;
      await scene.collectLater();
      expect(await scene.has(path)).toBe(false);
    });
    const { client } = await serveRegistry(driver, { verifyReads: false });
    const digest = await (await serveRegistry(inner)).client.putBlob('a', bytesOf('layer', length));
    const answer = await client.call('GET', `/v2/a/blobs/${digest}`);
    expect([armed, answer.status, answer.body.equals(bytesOf('layer', length))]).toEqual([false, 200, true]);
  });
});

describe('a miss', () => {
  /** What a request asks of the storage. */
  async function callsOf(request: (client: TestClient) => Promise<unknown>, prepare?: (client: TestClient) => unknown) {
    const inner = await memoryDriver();
    await prepare?.((await serveRegistry(inner)).client);
    const calls: string[] = [];
    const driver = watchedDriver(inner, (call, path) => {
      calls.push(`${call} ${path.startsWith(QUARANTINE_PATH) ? 'quarantine' : 'place'}`);
    });
    await request((await serveRegistry(driver)).client);
    return calls;
  }
  const missing: Digest = hashBytes(Buffer.from('missing'));

  it('costs one look into the quarantine', async () => {
    expect(await callsOf((client) => client.call('HEAD', `/v2/a/blobs/${missing}`))).toEqual([
      'getContent place',
      'getContent place',
      'list quarantine',
    ]);
    expect(await callsOf((client) => client.call('HEAD', `/v2/a/manifests/${missing}`))).toEqual([
      'getContent place',
      'list quarantine',
    ]);
  });

  it('costs nothing where things are at their places', async () => {
    const bytes = bytesOf('there', 200_000);
    const found = await callsOf(
      (client) => client.call('GET', `/v2/a/blobs/${hashBytes(bytes)}`),
      (client) => client.putBlob('a', bytes),
    );
    expect(found).toEqual(['getContent place', 'stat place', 'reader place']);
  });
});

describe('a driver that knows only the layout of a registry', () => {
  it('is never asked for a quarantine', async () => {
    const inner = await memoryDriver();
    const asked: string[] = [];
    const watched = watchedDriver(inner, (_call, path) => void asked.push(path));
    const driver = new Proxy(watched, {
      get: (target, key) =>
        key === 'capabilities' ? { ...inner.capabilities, anyPath: false } : Reflect.get(target, key, target),
    });
    const { client } = await serveRegistry(driver);
    const digest = hashBytes(Buffer.from('x'));
    await client.call('HEAD', `/v2/a/blobs/${digest}`);
    await client.call('DELETE', `/v2/a/blobs/${digest}`);
    expect(asked.length).toBeGreaterThan(0);
    expect(asked.filter((path) => path.startsWith(QUARANTINE_PATH))).toEqual([]);
  });
});

describe('two who move the same thing back', () => {
  it('both find it, also when the second looks between the two places', async () => {
    const inner = await memoryDriver();
    const { scene, client, layer } = await putAside(inner);
    const place = formatPath({ kind: 'layer-link', repository: parseRepository('a'), digest: layer });
    let armed = true;
    // This one misses the link at its place; before it looks into the quarantine, another one has moved it back.
    const slow = watchedDriver(inner, async (call, path) => {
      if (!armed || call !== 'list' || !path.startsWith(QUARANTINE_PATH)) return;
      armed = false;
      expect((await client.call('HEAD', `/v2/a/blobs/${layer}`)).status).toBe(200);
      expect(await scene.has(place)).toBe(true);
    });
    const second = await serveRegistry(slow);
    expect((await second.client.call('HEAD', `/v2/a/blobs/${layer}`)).status).toBe(200);
    expect(armed).toBe(false);
  });
});
