import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { comparePaths, defaultDriverFactory } from '../../src/driver/index.ts';
import { S3Stub } from '../helpers/s3-stub.ts';

/** Names that make the order of keys differ from that of the contract: `a/` comes behind `a-` and `a.`. */
const name = fc.stringMatching(/^[ab.-]{1,3}$/).filter((text) => text !== '.' && text !== '..');
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => `/${names.join('/')}`);

/** Objects none of which is in another's way. */
const tree = fc
  .uniqueArray(path, { minLength: 1, maxLength: 40 })
  .map((paths) => paths.filter((one) => !paths.some((other) => other.startsWith(`${one}/`))));

function entriesOf(paths: readonly string[]): string[] {
  const entries = new Set(paths);
  for (const one of paths) {
    for (let end = one.lastIndexOf('/'); end > 0; end = one.lastIndexOf('/', end - 1)) entries.add(one.slice(0, end));
  }
  return [...entries].sort(comparePaths);
}

describe('order of listings and walks of the s3 driver', () => {
  it.each([1, 2, 5, 1000])('is that of the contract with pages of %i keys', { timeout: 120_000 }, async (pageKeys) => {
    const stub = await S3Stub.start({ pageKeys });
    const driver = await defaultDriverFactory().create('s3', stub.parameters);
    onTestFinished(() => driver.close());
    const empty = { content: Buffer.alloc(0), etag: '""', headers: {}, modified: new Date() };
    await fc.assert(
      fc.asyncProperty(tree, path, fc.integer({ min: 1, max: 4 }), async (paths, startAfter, limit) => {
        stub.objects.clear();
        for (const one of paths) stub.objects.set(one.slice(1), empty);
        stub.objects.set('.shoal-uncommitted/a/~bytes', empty);
        stub.objects.set('.shoal-uncommitted/b/~bytes', empty);
        const expected = entriesOf(paths);
        expect(await Array.fromAsync(driver.walk('/'), (info) => info.path)).toEqual(expected);
        const rest = await Array.fromAsync(driver.walk('/', { startAfter }), (info) => info.path);
        expect(rest).toEqual(expected.filter((entry) => comparePaths(entry, startAfter) > 0));
        const children = expected.filter((entry) => entry.lastIndexOf('/') === 0);
        expect(await Array.fromAsync(driver.list('/'))).toEqual(children);
        const behind = children.filter((entry) => comparePaths(entry, startAfter) > 0);
        expect(await Array.fromAsync(driver.list('/', { after: startAfter, limit }))).toEqual(behind.slice(0, limit));
      }),
      { numRuns: 60 },
    );
  });

  it('costs a walk one request for a thousand objects, and few more', async () => {
    const stub = await S3Stub.start();
    const driver = await defaultDriverFactory().create('s3', stub.parameters);
    onTestFinished(() => driver.close());
    const empty = { content: Buffer.alloc(0), etag: '""', headers: {}, modified: new Date() };
    for (let index = 0; index < 5000; index += 1) stub.objects.set(`t/app-${index}/link-1.2/data`, empty);
    stub.requests.length = 0;
    expect((await Array.fromAsync(driver.walk('/t'))).length).toBe(15_000);
    expect(stub.requests.length).toBeLessThan(30);
  });
});
