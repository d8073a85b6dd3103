import { describe, expect, it } from 'vitest';
import { digestAlgorithms, hashBytes } from '../../src/core/index.ts';
import { bytesOf, type TestAnswer, type TestClient } from './client.ts';
import type { MakeRegistry } from './make-registry.ts';
import { expectBlob, expectNoBlob } from './upload-ways.ts';

/** How blobs get from one repository into another without being sent again. */
export function mountContract(name: string, makeRegistry: MakeRegistry): void {
  describe(`${name}: mounts`, () => {
    for (const algorithm of digestAlgorithms) {
      it(`mounts a blob of another repository by ${algorithm}, and each goes on by itself`, async () => {
        const { client } = await makeRegistry();
        const blob = bytesOf(`mounted ${algorithm}`, 512);
        const digest = await client.putBlob('source', blob, algorithm);
        expectMounted(await mount(client, 'target', digest, '&from=source'), digest);
        await expectBlob(client, `/v2/target/blobs/${digest}`, blob);
        expect((await client.call('DELETE', `/v2/source/blobs/${digest}`)).status).toBe(202);
        await expectNoBlob(client, `/v2/source/blobs/${digest}`);
        await expectBlob(client, `/v2/target/blobs/${digest}`, blob);
      });

      it.each(['', '&from='])(`mounts a blob by ${algorithm} of whichever repository has it (%j)`, async (from) => {
        const { client } = await makeRegistry();
        const blob = bytesOf(`anonymous ${algorithm} ${from}`, 512);
        const digest = await client.putBlob('some/where', blob, algorithm);
        expectMounted(await mount(client, 'target', digest, from), digest);
        await expectBlob(client, `/v2/target/blobs/${digest}`, blob);
      });

      it.each(['', '&from=', '&from=elsewhere', '&from=target'])(
        `gives an upload instead of a blob by ${algorithm} that is nowhere (%j)`,
        async (from) => {
          const { client } = await makeRegistry();
          const blob = bytesOf(`nowhere ${algorithm} ${from}`, 512);
          const digest = hashBytes(blob, algorithm);
          const begun = await mount(client, 'target', digest, from);
          expect([begun.status, begun.headers.get('docker-content-digest')]).toEqual([202, null]);
          expect(begun.headers.get('range')).toBe('0-0');
          const location = begun.headers.get('location');
          expect(location).toBe(`/v2/target/blobs/uploads/${begun.headers.get('docker-upload-uuid')}`);
          await expectNoBlob(client, `/v2/target/blobs/${digest}`);
          expect((await client.call('PUT', `${location}?digest=${digest}`, { body: blob })).status).toBe(201);
          await expectBlob(client, `/v2/target/blobs/${digest}`, blob);
        },
      );
    }

    it('gives an upload when the repository that is named does not hold the blob, though another does', async () => {
      const { client } = await makeRegistry();
      const digest = await client.putBlob('source', bytesOf('in another', 100));
      expect((await mount(client, 'target', digest, '&from=elsewhere')).status).toBe(202);
      await expectNoBlob(client, `/v2/target/blobs/${digest}`);
    });

    it('does not mount what has been deleted from the repository that is named', async () => {
      const { client } = await makeRegistry();
      const digest = await client.putBlob('source', bytesOf('gone', 100));
      await client.call('DELETE', `/v2/source/blobs/${digest}`);
      expect((await mount(client, 'target', digest, '&from=source')).status).toBe(202);
      await expectNoBlob(client, `/v2/target/blobs/${digest}`);
    });

    it.each(['&from=target', ''])('finds a blob that is there already (%j)', async (from) => {
      const { client } = await makeRegistry();
      const blob = bytesOf(`there already ${from}`, 100);
      const digest = await client.putBlob('target', blob);
      expectMounted(await mount(client, 'target', digest, from), digest);
      await expectBlob(client, `/v2/target/blobs/${digest}`, blob);
    });

    it.each([
      ['latest', '&from=source', 'DIGEST_INVALID'],
      ['', '', 'DIGEST_INVALID'],
      ['sha256:zz', '', 'DIGEST_INVALID'],
      [hashBytes(Buffer.from('x')), '&from=NO', 'NAME_INVALID'],
      [hashBytes(Buffer.from('x')), '&from=a/../b', 'NAME_INVALID'],
      [hashBytes(Buffer.from('x')), `&from=${'a'.repeat(256)}`, 'NAME_INVALID'],
    ])('refuses to mount %j%s', async (digest, from, code) => {
      const { client } = await makeRegistry();
      const refused = await mount(client, 'target', digest, from);
      expect([refused.status, ...refused.codes]).toEqual([400, code]);
    });
  });
}

function mount(client: TestClient, target: string, digest: string, from: string): Promise<TestAnswer> {
  return client.call('POST', `/v2/${target}/blobs/uploads/?mount=${digest}${from}`);
}

function expectMounted(answer: TestAnswer, digest: string): void {
  expect([answer.status, answer.headers.get('docker-content-digest')]).toEqual([201, digest]);
  expect(answer.headers.get('location')).toBe(`/v2/target/blobs/${digest}`);
  expect(answer.headers.get('docker-upload-uuid')).toBe(null);
}
