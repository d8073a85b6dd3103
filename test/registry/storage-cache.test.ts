import { describe, expect, it } from 'vitest';
import { hashBytes, parseRepository, systemClock } from '../../src/core/index.ts';
import { PathNotFoundError } from '../../src/driver/index.ts';
import { formatPath } from '../../src/pathparser/index.ts';
import { SMALL_BLOB_BYTES, StorageCache } from '../../src/registry/storage-cache.ts';
import { folderDriver } from './running-registry.ts';
import { wrapDriver } from './wrapped-driver.ts';

const repository = parseRepository('team/app');
const bytes = Buffer.from('a manifest');
const digest = hashBytes(bytes);
const data = formatPath({ kind: 'blob-data', digest });
const link = formatPath({ kind: 'layer-link', repository, digest });

describe('StorageCache', () => {
  it('reads a link, a length and the bytes of a small blob once, until they are too old', async () => {
    const { cache, calls, clock } = await scene();
    for (let round = 0; round < 3; round += 1) {
      expect((await cache.getContent(link)).toString()).toBe(digest);
      expect((await cache.stat(data)).size).toBe(bytes.length);
      expect(await cache.getContent(data)).toEqual(bytes);
    }
    expect(calls).toEqual([`getContent ${link}`, `stat ${data}`, `getContent ${data}`]);
    clock.nowMs += 1001;
    await cache.getContent(link);
    expect(calls.at(-1)).toBe(`getContent ${link}`);
    expect(calls).toHaveLength(4);
  });

  it('asks for tags and for what is not there every time', async () => {
    const { cache, calls } = await scene();
    const tag = formatPath({ kind: 'tag-current-link', repository, tag: 'v1' as never });
    await cache.putContent(tag, Buffer.from(digest));
    const missing = formatPath({ kind: 'layer-link', repository, digest: hashBytes(Buffer.from('missing')) });
    for (let round = 0; round < 2; round += 1) {
      await cache.getContent(tag);
      await expect(cache.getContent(missing)).rejects.toThrow(PathNotFoundError);
    }
    expect(calls.filter((call) => call === `getContent ${tag}`)).toHaveLength(2);
    expect(calls.filter((call) => call === `getContent ${missing}`)).toHaveLength(2);
  });

  it('reads large blobs each time', async () => {
    const { cache, calls } = await scene();
    const large = Buffer.alloc(SMALL_BLOB_BYTES + 1, 7);
    const path = formatPath({ kind: 'blob-data', digest: hashBytes(large) });
    await cache.putContent(path, large);
    await cache.getContent(path);
    await cache.getContent(path);
    expect(calls.filter((call) => call === `getContent ${path}`)).toHaveLength(2);
  });

  it.each([
    ['its link', formatPath({ kind: 'layer-link', repository, digest })],
    ['its directory', formatPath({ kind: 'layer', repository, digest })],
    ['all layers', formatPath({ kind: 'layers', repository })],
    ['the repository', formatPath({ kind: 'repository', repository })],
  ])('forgets a link when %s is deleted', async (_what, path) => {
    const { cache } = await scene();
    await cache.getContent(link);
    await cache.delete(path);
    await expect(cache.getContent(link)).rejects.toThrow(PathNotFoundError);
  });

  it('forgets a blob that is deleted, moved away or replaced', async () => {
    const { cache } = await scene();
    await cache.stat(data);
    await cache.getContent(data);
    await cache.move(data, `${data}-elsewhere`);
    await expect(cache.stat(data)).rejects.toThrow(PathNotFoundError);
    await expect(cache.getContent(data)).rejects.toThrow(PathNotFoundError);
    await cache.move(`${data}-elsewhere`, data);
    expect((await cache.stat(data)).size).toBe(bytes.length);
    await cache.putContent(data, Buffer.from('longer than before'));
    expect((await cache.stat(data)).size).toBe(18);
    await cache.delete(formatPath({ kind: 'blob', digest }));
    await expect(cache.getContent(data)).rejects.toThrow(PathNotFoundError);
  });

  it('does not keep what was read while it was being deleted', async () => {
    const { pause, cache } = await scene();
    const reading = Promise.withResolvers<void>();
    const deleted = Promise.withResolvers<void>();
    pause.afterGetContent = async () => {
      reading.resolve();
      await deleted.promise;
    };
    const read = cache.getContent(link);
    await reading.promise;
    await cache.delete(formatPath({ kind: 'layer', repository, digest }));
    deleted.resolve();
    expect((await read).toString()).toBe(digest);
    await expect(cache.getContent(link)).rejects.toThrow(PathNotFoundError);
  });

  it('keeps to its bound', async () => {
    const { driver, calls } = await scene();
    const cache = new StorageCache(driver, { maxBytes: 4096, maxAgeMs: 1000 }, systemClock);
    const links = Array.from({ length: 20 }, (_value, index) =>
      formatPath({ kind: 'layer-link', repository, digest: hashBytes(Buffer.from(String(index))) }),
    );
    for (const path of links) await cache.putContent(path, Buffer.from(digest));
    for (const path of links) await cache.getContent(path);
    const before = calls.length;
    for (const path of links.toReversed()) await cache.getContent(path);
    const again = calls.length - before;
    expect(again).toBeGreaterThan(10);
    expect(again).toBeLessThan(20);
  });
});

async function scene() {
  const inner = await folderDriver();
  await inner.putContent(data, bytes);
  await inner.putContent(link, Buffer.from(digest));
  const calls: string[] = [];
  const pause: { afterGetContent: () => Promise<void> } = { afterGetContent: async () => undefined };
  const driver = wrapDriver(inner, {
    async getContent(path) {
      calls.push(`getContent ${path}`);
      const content = await inner.getContent(path);
      await pause.afterGetContent();
      return content;
    },
    stat(path) {
      calls.push(`stat ${path}`);
      return inner.stat(path);
    },
  });
  const clock = { nowMs: 1 };
  const cache = new StorageCache(
    driver,
    { maxBytes: 2 ** 20, maxAgeMs: 1000 },
    { ...systemClock, monotonicMs: () => clock.nowMs },
  );
  return { driver, cache, calls, clock, pause };
}
