import { describe, expect, it } from 'vitest';
import {
  BlobNotFoundError,
  hashBytes,
  NoSpaceError,
  parseRepository,
  parseTag,
  TagNotFoundError,
  UnavailableError,
} from '../../src/core/index.ts';
import { StorageFullError, StorageInternalError, StorageUnavailableError } from '../../src/driver/index.ts';
import {
  addImage,
  breakable,
  CLUSTER_TOKEN,
  collect,
  linkImage,
  startBuildIndex,
  type TestBuildIndex,
} from './cluster.ts';

const repository = parseRepository('team/app');
const tag = parseTag('v1');
const digest = hashBytes(Buffer.from('x'));

/** Every call, by name. */
const calls: readonly (readonly [string, (client: TestBuildIndex['client']) => Promise<unknown>])[] = [
  ['reading a tag', (client) => client.getTag(repository, tag)],
  ['setting a tag', (client) => client.putTag(repository, tag, digest)],
  ['deleting a tag', (client) => client.deleteTag(repository, tag)],
  ['listing tags', (client) => collect(client.listTags(repository))],
  ['listing repositories', (client) => collect(client.listRepositories())],
  ['deleting a repository', (client) => client.deleteRepository(repository)],
  ['asking for a blob', (client) => client.statBlob(repository, digest)],
  ['linking', (client) => client.link(repository, 'layer', digest)],
  ['unlinking a layer', (client) => client.unlink(repository, 'layer', digest)],
  ['unlinking a revision', (client) => client.unlink(repository, 'revision', digest)],
  ['listing referrers', (client) => collect(client.listReferrers(repository, digest))],
  ['noting a referrer', (client) => client.putReferrer(repository, digest, digest)],
  ['forgetting a referrer', (client) => client.deleteReferrer(repository, digest, digest)],
];

const failures: readonly (readonly [string, () => Error])[] = [
  ['says so itself', () => new StorageUnavailableError('s3', '/x', 'no answer in time')],
  ['reports something odd', () => new StorageInternalError('s3', '/x', 'status 418')],
  ['throws what is none of ours', () => Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })],
];

describe('while the backend is down', () => {
  describe.each(failures)('and %s', (_what, error) => {
    it.each(calls)('%s is an error that can be tried again', async (_name, call) => {
      const state = { down: false, error };
      const { client } = await startBuildIndex({ wrap: breakable(state) });
      state.down = true;
      const failure = await call(client).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(failure).toBeInstanceOf(UnavailableError);
      expect((failure as Error).message).toContain('the backend could not');
    });
  });

  it('a tag is answered with status 503, and as before once the backend is back', async () => {
    const state = { down: false };
    const { client, baseUrl, origin } = await startBuildIndex({ wrap: breakable(state) });
    const image = addImage(origin, 'one');
    await linkImage(client, repository, image);
    state.down = true;
    const request = {
      method: 'PUT',
      headers: { authorization: `Bearer ${CLUSTER_TOKEN}`, 'content-type': 'application/json' },
      body: JSON.stringify({ digest: image.manifest }),
    };
    const answer = await fetch(`${baseUrl}/v1/tag?repository=team/app&tag=v1`, request);
    expect([answer.status, await answer.json()]).toMatchObject([503, { code: 'UNAVAILABLE' }]);
    expect((await fetch(`${baseUrl}/readyz`)).status).toBe(503);
    state.down = false;
    expect((await fetch(`${baseUrl}/readyz`)).status).toBe(200);
    await expect(client.getTag(repository, tag)).rejects.toThrow(TagNotFoundError);
    await client.putTag(repository, tag, image.manifest);
    expect(await client.getTag(repository, tag)).toBe(image.manifest);
  });

  it('nothing is remembered of what could not be asked', async () => {
    const state = { down: true };
    const { client } = await startBuildIndex({ wrap: breakable(state) });
    await expect(client.statBlob(repository, digest)).rejects.toThrow(UnavailableError);
    state.down = false;
    await expect(client.statBlob(repository, digest)).rejects.toThrow(BlobNotFoundError);
  });
});

describe('while the backend is full', () => {
  it('writes say so, and reads go on', async () => {
    const full = new StorageFullError('filesystem', '/x');
    const wrap = breakable({ down: true, error: () => full });
    const { client } = await startBuildIndex({
      wrap: (driver) => {
        const broken = wrap(driver);
        return new Proxy(driver, {
          get: (target, key) => Reflect.get(key === 'putContent' ? broken : target, key).bind?.(target) ?? target.name,
        });
      },
    });
    await expect(client.link(repository, 'layer', digest)).rejects.toThrow(NoSpaceError);
    await expect(client.getTag(repository, tag)).rejects.toThrow(TagNotFoundError);
  });
});
