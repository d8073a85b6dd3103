import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BackendFiles } from '../../src/build-index/backend-files.ts';
import { KeyedLock } from '../../src/build-index/keyed-lock.ts';
import { Repositories } from '../../src/build-index/repositories.ts';
import { hashBytes, parseRepository, parseTag, RepositoryNotFoundError } from '../../src/core/index.ts';
import { defaultDriverFactory, type StorageDriver } from '../../src/driver/index.ts';
import { addImage, collect, linkImage, plantFiles, startBuildIndex } from './cluster.ts';

const ROOT = '/docker/registry/v2/repositories';
const link = Buffer.from(hashBytes(Buffer.from('x')));

/** Makes a repository as a push leaves it, without its blobs. */
async function addRepository(backend: StorageDriver, name: string): Promise<void> {
  await backend.putContent(`${ROOT}/${name}/_manifests/tags/v1/current/link`, link);
  await backend.putContent(`${ROOT}/${name}/_layers/sha256/${'a'.repeat(64)}/link`, link);
}

describe('listing repositories', () => {
  const names = [
    'app',
    'app-extra',
    'app-extra/z',
    'app.x',
    'app/x',
    'app/x/y',
    'app0',
    'app_1',
    'b',
    'b/c',
    'z/only/nested',
  ];

  it('gives whole names in order of their bytes: "-" and "." before "/"', async () => {
    const { client, backend } = await startBuildIndex();
    for (const name of [...names].reverse()) await addRepository(backend, name);
    await backend.putContent(`${ROOT}/uploads-only/_uploads/u1/data`, link);
    const sorted = [...new Set(names)].sort();
    expect(await collect(client.listRepositories())).toEqual(sorted);
    for (let limit = 1; limit <= sorted.length; limit += 1) {
      expect(await collect(client.listRepositories({ limit }))).toEqual(sorted.slice(0, limit));
    }
    for (const after of [...sorted, 'a', 'app-', 'app/', 'app/x/', 'app0/', 'zz', 'App!', '~']) {
      const expected = sorted.filter((name) => name > after);
      expect(await collect(client.listRepositories({ after }))).toEqual(expected);
      expect(await collect(client.listRepositories({ after, limit: 2 }))).toEqual(expected.slice(0, 2));
    }
  });

  it('gives nothing when nothing was ever pushed', async () => {
    const { client } = await startBuildIndex();
    expect(await collect(client.listRepositories())).toEqual([]);
  });

  it('leaves out directories whose names are none, and files among them', async () => {
    const { client, backend } = await startBuildIndex();
    await addRepository(backend, 'app');
    await addRepository(backend, 'Upper');
    await addRepository(backend, 'app/-x');
    await backend.putContent(`${ROOT}/readme`, Buffer.from('hello'));
    expect(await collect(client.listRepositories())).toEqual(['app']);
  });

  it('finds repositories in and below directories with very many entries', async () => {
    const { client, backend, rootdirectory } = await startBuildIndex();
    const many = Array.from({ length: 1_100 }, (_, index) => `big/n${String(index).padStart(4, '0')}`);
    const links = many.map((name) => `${ROOT}/${name}/_manifests/tags/v1/current/link`);
    await plantFiles(rootdirectory, links, hashBytes(Buffer.from('x')));
    await addRepository(backend, 'big');
    await addRepository(backend, 'big-sister');
    expect(await collect(client.listRepositories())).toEqual(['big', 'big-sister', ...many]);
    expect(await collect(client.listRepositories({ after: 'big/n0500', limit: 3 }))).toEqual(many.slice(501, 504));
  });
});

describe('the order of repositories', () => {
  let driver: StorageDriver;
  beforeAll(async () => {
    driver = await defaultDriverFactory().create('inmemory', {});
  });
  afterAll(() => driver.close());

  const component = fc.constantFrom('a', 'b', 'a-b', 'a--b', 'a.b', 'a_b', 'a__b', 'a0', 'ab', '0', 'a-a', 'a-b.c');
  const name = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));

  it('is that of the bytes for any names, whole and from anywhere on', async () => {
    const repositories = new Repositories({ files: new BackendFiles({ driver }), locks: new KeyedLock() });
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(name, { maxLength: 30 }),
        fc.oneof(name, fc.string({ maxLength: 4 })),
        async (names, after) => {
          for (const one of names) await driver.putContent(`${ROOT}/${one}/_manifests/tags/v1/current/link`, link);
          try {
            expect(await collect(repositories.list(''))).toEqual([...names].sort());
            expect(await collect(repositories.list(after))).toEqual([...names].sort().filter((one) => one > after));
          } finally {
            if (names.length > 0) await driver.delete(ROOT);
          }
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('deleting a repository', () => {
  const app = parseRepository('team/app');
  const nested = parseRepository('team/app/nested');
  const sibling = parseRepository('team/app-two');
  const tag = parseTag('v1');

  it('takes all of it, and neither what lies below its name nor its siblings', async () => {
    const { client, origin, backend } = await startBuildIndex();
    const image = addImage(origin, 'one');
    for (const repository of [app, nested, sibling]) {
      await linkImage(client, repository, image);
      await client.putTag(repository, tag, image.manifest);
    }
    await client.putReferrer(app, image.manifest, image.config);
    await client.deleteRepository(app);
    expect(await collect(client.listRepositories())).toEqual([sibling, nested]);
    expect(await collect(backend.list(`${ROOT}/team/app`))).toEqual([`${ROOT}/team/app/nested`]);
    expect(await client.getTag(nested, tag)).toBe(image.manifest);
    await expect(client.deleteRepository(app)).rejects.toThrow(RepositoryNotFoundError);
  });

  it('ends one that broke off half way', async () => {
    const { client, origin, backend } = await startBuildIndex();
    await linkImage(client, app, addImage(origin, 'one'));
    await backend.delete(`${ROOT}/team/app/_manifests`);
    await client.deleteRepository(app);
    await expect(client.deleteRepository(app)).rejects.toThrow(RepositoryNotFoundError);
  });

  it('that is not known is an error', async () => {
    const { client } = await startBuildIndex();
    await expect(client.deleteRepository(app)).rejects.toThrow(RepositoryNotFoundError);
  });
});
