import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findRepository, hashBytes } from '../../src/core/index.ts';
import { formatPath } from '../../src/pathparser/index.ts';
import { folderDriver, memoryDriver, serveRegistry } from './running-registry.ts';

const digest = hashBytes(Buffer.from('catalog'));

describe('the catalog', () => {
  it('is sorted by bytes and complete, whatever the names, in pages of any size and from anywhere', async () => {
    const component = fc.constantFrom('a', 'a-a', 'a.a', 'a0', 'aa', 'b', 'blobs', 'z-1', '0');
    const names = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
    const repositories = fc.uniqueArray(names, { maxLength: 25 });
    await fc.assert(
      fc.asyncProperty(repositories, fc.integer({ min: 1, max: 6 }), names, async (all, n, from) => {
        const driver = await memoryDriver();
        const { client } = await serveRegistry(driver);
        for (const name of all) {
          const repository = findRepository(name)!;
          await driver.putContent(formatPath({ kind: 'layer-link', repository, digest }), Buffer.from(digest));
        }
        const expected = all.filter((name) => name > from).sort();
        const found: string[] = [];
        for (let last = from; ; last = found.at(-1) ?? last) {
          const page = await client.call('GET', `/v2/_catalog?n=${n}&last=${encodeURIComponent(last)}`);
          found.push(...(JSON.parse(page.body.toString()) as { repositories: string[] }).repositories);
          if (page.headers.get('link') === null) break;
        }
        expect(found).toEqual(expected);
      }),
      { numRuns: 30 },
    );
  });

  it('passes over what is no repository', async () => {
    const driver = await folderDriver();
    const { client } = await serveRegistry(driver);
    await client.putImage('team/app', ['v1']);
    await client.begin('only/an/upload');
    await driver.putContent('/docker/registry/v2/repositories/stray-file', Buffer.from('x'));
    await driver.putContent('/docker/registry/v2/repositories/UPPER/_manifests/x', Buffer.from('x'));
    const answer = await client.call('GET', '/v2/_catalog');
    expect(JSON.parse(answer.body.toString())).toEqual({ repositories: ['team/app'] });
  });
});
