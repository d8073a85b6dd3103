import { describe, expect, it } from 'vitest';
import { type DigestAlgorithm, digestAlgorithms, hashBytes } from '../../src/core/index.ts';
import { bytesOf } from './client.ts';
import type { MakeRegistry } from './make-registry.ts';
import { CHUNK_BYTES, expectBlob, expectNoBlob, patch, uploadWays } from './upload-ways.ts';

/** How blobs get into a registry, by each algorithm and in each way. */
export function uploadContract(name: string, makeRegistry: MakeRegistry): void {
  for (const algorithm of digestAlgorithms) uploadsBy(algorithm, name, makeRegistry);
}

function uploadsBy(algorithm: DigestAlgorithm, name: string, makeRegistry: MakeRegistry): void {
  describe(`${name}: uploads by ${algorithm}`, () => {
    const chunked = bytesOf(`chunks ${algorithm}`, 3 * CHUNK_BYTES - 5);

    it.each(Object.keys(uploadWays))('takes a blob in %s, gives it back, and deletes it at once', async (way) => {
      const { client } = await makeRegistry();
      const bytes = way.includes('chunks') ? chunked : bytesOf(`${way} ${algorithm}`, 512);
      const digest = hashBytes(bytes, algorithm);
      const path = `/v2/a/b/blobs/${digest}`;
      await expectNoBlob(client, path);
      const created = await uploadWays[way]!(client, { repository: 'a/b', bytes, digest });
      expect([created.status, created.headers.get('docker-content-digest')]).toEqual([201, digest]);
      expect(created.headers.get('location')).toBe(path);
      await expectBlob(client, path, bytes);
      expect((await client.call('DELETE', path)).status).toBe(202);
      await expectNoBlob(client, path);
    });

    it.each(Object.keys(uploadWays))('refuses other bytes than the digest names in %s, and keeps none', async (way) => {
      const { client } = await makeRegistry();
      const right = bytesOf(`wrong ${way} ${algorithm}`, 3 * CHUNK_BYTES - 5);
      const bytes = Buffer.concat([right, Buffer.from(' ')]);
      const digest = hashBytes(right, algorithm);
      const refused = await uploadWays[way]!(client, { repository: 'a/b', bytes, digest });
      expect([refused.status, ...refused.codes]).toEqual([400, 'DIGEST_INVALID']);
      await expectNoBlob(client, `/v2/a/b/blobs/${digest}`);
      await expectNoBlob(client, `/v2/a/b/blobs/${hashBytes(bytes, algorithm)}`);
    });

    it.each([
      ['of no bytes', '', ['one POST', 'a POST and a PUT', 'a stream without a length']],
      ['of empty JSON', '{}', Object.keys(uploadWays)],
    ])('takes a blob %s', async (_what, text, ways) => {
      const { client } = await makeRegistry();
      const bytes = Buffer.from(text);
      const digest = hashBytes(bytes, algorithm);
      for (const [index, way] of ways.entries()) {
        const repository = `way/${index}`;
        expect((await uploadWays[way]!(client, { repository, bytes, digest })).status).toBe(201);
        await expectBlob(client, `/v2/${repository}/blobs/${digest}`, bytes);
        expect((await client.call('DELETE', `/v2/${repository}/blobs/${digest}`)).status).toBe(202);
        await expectNoBlob(client, `/v2/${repository}/blobs/${digest}`);
      }
    });

    it('refuses chunks out of order before every chunk, and goes on after that', async () => {
      const { client } = await makeRegistry();
      const location = await client.begin('a/b');
      for (const start of [0, CHUNK_BYTES, 2 * CHUNK_BYTES]) {
        const range = `0-${Math.max(0, start - 1)}`;
        for (const wrong of [0, CHUNK_BYTES, 2 * CHUNK_BYTES, 4 * CHUNK_BYTES].filter((offset) => offset !== start)) {
          const refused = await patch(client, location, chunked.subarray(0, 10), wrong);
          expect([refused.status, ...refused.codes]).toEqual([416, 'RANGE_INVALID']);
          expect(refused.headers.get('range')).toBe(range);
          const status = await client.call('GET', location);
          expect([status.status, status.headers.get('range'), status.headers.get('location')]).toEqual([
            204,
            range,
            location,
          ]);
        }
        const taken = await patch(client, location, chunked.subarray(start, start + CHUNK_BYTES), start);
        expect(taken.status).toBe(202);
      }
      const digest = hashBytes(chunked, algorithm);
      expect((await client.call('PUT', `${location}?digest=${digest}`)).status).toBe(201);
      await expectBlob(client, `/v2/a/b/blobs/${digest}`, chunked);
    });

    it('refuses the last chunk out of order in the PUT, and does not lose the upload', async () => {
      const { client } = await makeRegistry();
      const bytes = bytesOf(`last ${algorithm}`, 512);
      const digest = hashBytes(bytes, algorithm);
      const location = await client.begin('a/b');
      await patch(client, location, bytes.subarray(0, 200), 0);
      const put = (start: number) => {
        const headers = { 'content-range': `${start}-${start + 311}` };
        return client.call('PUT', `${location}?digest=${digest}`, { body: bytes.subarray(200), headers });
      };
      for (const wrong of [0, 199, 201, 4096]) {
        const refused = await put(wrong);
        expect([refused.status, ...refused.codes]).toEqual([416, 'RANGE_INVALID']);
        const status = await client.call('GET', location);
        expect([status.status, status.headers.get('range')]).toEqual([204, '0-199']);
      }
      expect((await put(200)).status).toBe(201);
      await expectBlob(client, `/v2/a/b/blobs/${digest}`, bytes);
      const ended = await client.call('GET', location);
      expect([ended.status, ...ended.codes]).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
    });

    it('drops an upload whose bytes have another digest', async () => {
      const { client } = await makeRegistry();
      const location = await client.begin('a/b');
      const digest = hashBytes(bytesOf('others', 10), algorithm);
      expect((await client.call('PUT', `${location}?digest=${digest}`, { body: 'these' })).status).toBe(400);
      expect((await client.call('GET', location)).codes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
    });
  });
}
