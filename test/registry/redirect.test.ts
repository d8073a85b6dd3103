import { describe, expect, it } from 'vitest';
import { hashBytes } from '../../src/core/index.ts';
import type { StorageDriver } from '../../src/driver/index.ts';
import type { RegistryEvent, RegistryOptions } from '../../src/registry/index.ts';
import { bytesOf, type TestClient } from './client.ts';
import { memoryDriver, serveRegistry } from './running-registry.ts';
import { wrapDriver } from './wrapped-driver.ts';

const blob = bytesOf('redirect', 100_000);
const digest = hashBytes(blob);
const path = `/v2/a/blobs/${digest}`;

describe('a registry on a driver that gives URLs', () => {
  it.each(['GET', 'HEAD'])('sends %s to the URL for that method, before any byte is read', async (method) => {
    const { client, asked, storage } = await redirecting();
    const answer = await client.call(method, path);
    expect([answer.status, answer.body.length]).toEqual([307, 0]);
    expect(answer.headers.get('location')).toBe(`${storage}${path}`);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.headers.get('docker-content-digest')).toBe(digest);
    expect(asked).toEqual([{ path: expect.stringMatching(/\/data$/), method }]);
  });

  it('leaves ranges to the storage, which gets them from the client', async () => {
    const { client, url } = await redirecting();
    for (const range of ['bytes=10-19', 'bytes=0-9,20-29', 'bytes=999999-']) {
      expect([range, (await client.call('GET', path, { headers: { range } })).status]).toEqual([range, 307]);
    }
    const followed = await fetch(`${url}${path}`, { headers: { range: 'bytes=10-19' } });
    expect([followed.redirected, followed.status]).toEqual([true, 206]);
    expect(Buffer.from(await followed.arrayBuffer()).equals(blob.subarray(10, 20))).toBe(true);
    const head = await fetch(`${url}${path}`, { method: 'HEAD' });
    expect([head.redirected, head.headers.get('content-length')]).toEqual([true, String(blob.length)]);
  });

  it('gives no URL of a blob that the client has, or that is not in the repository', async () => {
    const { client, asked } = await redirecting();
    expect((await client.call('GET', path, { headers: { 'if-none-match': `"${digest}"` } })).status).toBe(304);
    expect((await client.call('GET', `/v2/b/blobs/${digest}`)).status).toBe(404);
    expect(asked).toEqual([]);
  });

  it('tells of the pull when it sends a client there, and not of a HEAD', async () => {
    const events: RegistryEvent[] = [];
    const { client } = await redirecting({ events: { publish: (event) => void events.push(event) } });
    await client.call('HEAD', path);
    await client.call('GET', path);
    expect(events).toMatchObject([{ action: 'pull', kind: 'blob', digest, sizeBytes: blob.length }]);
  });

  it('sends the bytes itself when it is told to', async () => {
    const { client, asked } = await redirecting({ redirect: false });
    expect((await client.call('GET', path)).body.equals(blob)).toBe(true);
    expect((await client.call('HEAD', path)).status).toBe(200);
    expect((await client.call('GET', path, { headers: { range: 'bytes=0-9' } })).status).toBe(206);
    expect(asked).toEqual([]);
  });
});

/** A registry whose driver gives the URLs of another registry with the same blob, as a bucket would its own. */
async function redirecting(options: Partial<RegistryOptions> = {}): Promise<{
  readonly client: TestClient;
  readonly url: string;
  readonly storage: string;
  readonly asked: { readonly path: string; readonly method: string }[];
}> {
  const memory = await memoryDriver();
  const { url: storage, client: direct } = await serveRegistry(memory);
  await direct.putBlob('a', blob);
  const asked: { path: string; method: string }[] = [];
  const redirectURL: StorageDriver['redirectURL'] = async (of, { method }) => {
    asked.push({ path: of, method });
    return `${storage}${path}`;
  };
  const driver = wrapDriver(memory, { capabilities: { ...memory.capabilities, redirect: true }, redirectURL });
  const { client, url } = await serveRegistry(driver, options);
  return { client, url, storage, asked };
}
