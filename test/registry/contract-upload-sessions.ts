import { describe, expect, it } from 'vitest';
import { hashBytes } from '../../src/core/index.ts';
import { answerTo, bytesOf, type TestClient } from './client.ts';
import type { MakeRegistry } from './make-registry.ts';
import { expectBlob, patch, slices } from './upload-ways.ts';

/** What may happen to an upload between its begin and its end. */
export function uploadSessionContract(name: string, makeRegistry: MakeRegistry): void {
  describe(`${name}: uploads on their way`, () => {
    it('begins an upload with a Location, a Range and its id', async () => {
      const { client } = await makeRegistry();
      const begun = await client.call('POST', '/v2/a/b/blobs/uploads/');
      const id = begun.headers.get('docker-upload-uuid');
      expect(begun.status).toBe(202);
      expect(id).toMatch(/^[A-Za-z0-9_-]{16,}$/);
      expect(begun.headers.get('location')).toBe(`/v2/a/b/blobs/uploads/${id}`);
      expect(begun.headers.get('range')).toBe('0-0');
      expect(begun.headers.get('content-length')).toBe('0');
    });

    it('cancels an upload', async () => {
      const { client } = await makeRegistry();
      const location = await client.begin('a/b');
      await patch(client, location, Buffer.from('bytes'), 0);
      expect((await client.call('DELETE', location)).status).toBe(204);
      for (const method of ['GET', 'PATCH', 'PUT', 'DELETE']) {
        const query = method === 'PUT' ? `?digest=${hashBytes(Buffer.from('bytes'))}` : '';
        const answer = await client.call(method, `${location}${query}`);
        expect([method, answer.status, ...answer.codes]).toEqual([method, 404, 'BLOB_UPLOAD_UNKNOWN']);
      }
    });

    it('knows an upload only in its own repository', async () => {
      const { client } = await makeRegistry();
      const location = await client.begin('a/b');
      const elsewhere = await client.call('GET', location.replace('/a/b/', '/a/c/'));
      expect(elsewhere.codes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
    });

    it.each(['', '?digest=', '?digest=sha256:zz', '?digest=md5:d41d8cd98f00b204e9800998ecf8427e'])(
      'keeps the upload when the PUT has no digest that it knows (%j)',
      async (query) => {
        const { client } = await makeRegistry();
        const blob = Buffer.from('kept');
        const location = await client.begin('a/b');
        await patch(client, location, blob, 0);
        const refused = await client.call('PUT', `${location}${query}`);
        expect([refused.status, ...refused.codes]).toEqual([400, 'DIGEST_INVALID']);
        expect((await client.call('PUT', `${location}?digest=${hashBytes(blob)}`)).status).toBe(201);
      },
    );

    it.each([
      ['0-9', 5],
      ['0-3', 5],
      ['abc', 5],
      ['5-0', 5],
      ['bytes=0-4/x', 5],
    ])('refuses a chunk of Content-Range %s with %i bytes, and keeps the upload', async (range, length) => {
      const { client } = await makeRegistry();
      const location = await client.begin('a/b');
      const headers = { 'content-range': range };
      const refused = await client.call('PATCH', location, { body: bytesOf('chunk', length), headers });
      expect([refused.status, ...refused.codes]).toEqual([400, 'SIZE_INVALID']);
      expect((await client.call('GET', location)).headers.get('range')).toBe('0-0');
    });

    it.each([3, 20])('refuses a streamed chunk that is not as long as its range of %i bytes says', async (length) => {
      const { client } = await makeRegistry();
      const location = await client.begin('a/b');
      const headers = { 'content-range': `0-${length - 1}` };
      const refused = await client.call('PATCH', location, { body: slices(bytesOf('chunk', 10), 5), headers });
      expect([refused.status, ...refused.codes]).toEqual([400, 'SIZE_INVALID']);
      expect((await client.call('GET', location)).status).toBe(204);
    });

    it('keeps what came of a body that broke off, and goes on from there', async () => {
      const { client } = await makeRegistry();
      const blob = bytesOf('hang up', 200_000);
      const location = await client.begin('a/b');
      const broken = client.open('PATCH', location, { 'content-length': String(blob.length) });
      broken.on('error', () => undefined);
      broken.write(blob.subarray(0, 70_000));
      await untilSize(client, location, 70_000);
      broken.destroy();
      const rest = await untilFree(() => patch(client, location, blob.subarray(70_000), 70_000));
      expect(rest.status).toBe(202);
      expect((await client.call('PUT', `${location}?digest=${hashBytes(blob)}`)).status).toBe(201);
      await expectBlob(client, `/v2/a/b/blobs/${hashBytes(blob)}`, blob);
    });

    it('keeps what came of a PUT that broke off', async () => {
      const { client } = await makeRegistry();
      const blob = bytesOf('hang up in put', 100_000);
      const digest = hashBytes(blob);
      const location = await client.begin('a/b');
      const broken = client.open('PUT', `${location}?digest=${digest}`, { 'content-length': String(blob.length) });
      broken.on('error', () => undefined);
      broken.write(blob.subarray(0, 50_000));
      await untilSize(client, location, 50_000);
      broken.destroy();
      const headers = { 'content-range': `50000-${blob.length - 1}` };
      const put = () => client.call('PUT', `${location}?digest=${digest}`, { body: blob.subarray(50_000), headers });
      expect((await untilFree(put)).status).toBe(201);
      await expectBlob(client, `/v2/a/b/blobs/${digest}`, blob);
    });

    it('lets one request at a time write to an upload, and says how far it is', async () => {
      const { client } = await makeRegistry();
      const blob = bytesOf('two at once', 30_000);
      const location = await client.begin('a/b');
      const first = client.open('PATCH', location, { 'transfer-encoding': 'chunked' });
      const answer = answerTo(first);
      first.write(blob.subarray(0, 10_000));
      await untilSize(client, location, 10_000);
      for (const method of ['PATCH', 'PUT', 'DELETE']) {
        const query = method === 'PUT' ? `?digest=${hashBytes(blob)}` : '';
        const body = method === 'DELETE' ? {} : { body: Buffer.from('x') };
        const second = await client.call(method, `${location}${query}`, body);
        expect([second.status, ...second.codes]).toEqual([416, 'RANGE_INVALID']);
        expect(second.headers.get('range')).toBe('0-9999');
      }
      first.end(blob.subarray(10_000));
      expect((await answer).statusCode).toBe(202);
      expect((await client.call('PUT', `${location}?digest=${hashBytes(blob)}`)).status).toBe(201);
    });

    it('is asked where it stands as often as one likes without refusing a chunk for it', async () => {
      const { client } = await makeRegistry();
      const blob = bytesOf('asked', 2_000);
      const location = await client.begin('a/b');
      for (let start = 0; start < blob.length; start += 100) {
        const [first, second, taken] = await Promise.all([
          client.call('GET', location),
          client.call('GET', location),
          patch(client, location, blob.subarray(start, start + 100), start),
        ]);
        expect([first.status, second.status]).toEqual([204, 204]);
        expect([taken.status, taken.body.toString()]).toEqual([202, '']);
      }
      expect((await client.call('PUT', `${location}?digest=${hashBytes(blob)}`)).status).toBe(201);
    });

    it('takes one blob from many clients at once', async () => {
      const { client } = await makeRegistry();
      const blob = bytesOf('many', 50_000);
      await Promise.all(Array.from({ length: 8 }, () => client.putBlob('a/b', blob)));
      await expectBlob(client, `/v2/a/b/blobs/${hashBytes(blob)}`, blob);
    });
  });
}

/** Asks where an upload stands until it has as many bytes. */
async function untilSize(client: TestClient, location: string, bytes: number): Promise<void> {
  const range = async () => (await client.call('GET', location)).headers.get('range');
  await expect.poll(range, { interval: 10, timeout: 10_000 }).toBe(`0-${bytes - 1}`);
}

/** Repeats a request while the server has not yet noticed that the one before has hung up. */
async function untilFree<T extends { readonly status: number; readonly body: Buffer }>(
  call: () => Promise<T>,
): Promise<T> {
  for (;;) {
    const answer = await call();
    if (answer.status !== 416 || !answer.body.includes('another request')) return answer;
  }
}
