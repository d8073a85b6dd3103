import { describe, expect, it } from 'vitest';
import { hashBytes } from '../../src/core/index.ts';
import type { StorageDriver } from '../../src/driver/index.ts';
import { type AccessControl, AccessDeniedError, type Need } from '../../src/registry/index.ts';
import { bytesOf, type TestAnswer, type TestClient } from './client.ts';
import { serveRegistry } from './running-registry.ts';
import { expectBlob, expectNoBlob } from './upload-ways.ts';

/**
 * What a caller gets who may not do everything, where that is more than being let in or not: a mount must not tell what
 * lies in repositories that the caller may not pull from.
 *
 * @param makeDriver an empty driver that lives until the test is over
 */
export function accessContract(name: string, makeDriver: () => Promise<StorageDriver>): void {
  describe(`${name}: a caller who may pull from some repositories only`, () => {
    it('mounts from what it may pull', async () => {
      const { everything, limited } = await twoClients(makeDriver);
      const blob = bytesOf('open', 100);
      const digest = await everything.putBlob('open/source', blob);
      const mounted = await limited.call('POST', `/v2/open/target/blobs/uploads/?mount=${digest}&from=open/source`);
      expect([mounted.status, mounted.headers.get('docker-content-digest')]).toEqual([201, digest]);
      await expectBlob(limited, `/v2/open/target/blobs/${digest}`, blob);
    });

    it('learns nothing of what it may not pull: each mount is answered as one of a blob that is nowhere', async () => {
      const { everything, limited } = await twoClients(makeDriver);
      const digest = await everything.putBlob('secret/source', bytesOf('secret', 100));
      const nowhere = hashBytes(bytesOf('nowhere', 100));
      for (const from of ['&from=secret/source', '&from=', '']) {
        const [held, absent] = await Promise.all(
          [digest, nowhere].map((mount) =>
            limited.call('POST', `/v2/open/target/blobs/uploads/?mount=${mount}${from}`),
          ),
        );
        expect(held?.status).toBe(202);
        expect(traitsOf(held!)).toEqual(traitsOf(absent!));
        await expectNoBlob(limited, `/v2/open/target/blobs/${digest}`);
      }
    });

    it('has to name the repository that it mounts from, also where it may pull from that', async () => {
      const { everything, limited } = await twoClients(makeDriver);
      const digest = await everything.putBlob('open/source', bytesOf('named', 100));
      expect((await limited.call('POST', `/v2/open/target/blobs/uploads/?mount=${digest}`)).status).toBe(202);
      await expectNoBlob(limited, `/v2/open/target/blobs/${digest}`);
      expect((await everything.call('POST', `/v2/open/target/blobs/uploads/?mount=${digest}`)).status).toBe(201);
    });

    it('does not delete a repository when it may only pull and push', async () => {
      const { everything, limited } = await twoClients(makeDriver);
      await everything.putImage('open/app', ['v1']);
      for (const path of ['_shoal/repository', 'manifests/v1']) {
        const refused = await limited.call('DELETE', `/v2/open/app/${path}`);
        expect([refused.status, ...refused.codes]).toEqual([403, 'DENIED']);
      }
      expect((await limited.call('GET', '/v2/open/app/manifests/v1')).status).toBe(200);
    });
  });
}

/** Two registries on one driver: one lets everybody do everything, one lets callers pull and push below `open/`. */
async function twoClients(
  makeDriver: () => Promise<StorageDriver>,
): Promise<Record<'everything' | 'limited', TestClient>> {
  const driver = await makeDriver();
  const { client: everything } = await serveRegistry(driver);
  const { client: limited } = await serveRegistry(driver, { access: openBelow('open/') });
  return { everything, limited };
}

function openBelow(prefix: string): AccessControl {
  const may = (need: Need) =>
    need.kind === 'entry' ||
    (need.kind === 'repository' && need.action !== 'delete' && need.repository.startsWith(prefix));
  return {
    admit: async (_authorization, need) => {
      if (!may(need)) throw new AccessDeniedError('this caller may pull and push below "open/" only');
      return { name: 'somebody', may, pullsEverything: false };
    },
  };
}

/** All that an answer tells but for the id of the upload, the time and the request. */
function traitsOf({ status, headers, body }: TestAnswer): unknown {
  const id = headers.get('docker-upload-uuid') ?? '';
  const told = Object.fromEntries(headers);
  delete told['date'];
  delete told['x-request-id'];
  return JSON.parse(JSON.stringify({ status, told, body: body.toString() }).replaceAll(id, 'ID'));
}
