import { describe, expect, it } from 'vitest';
import { hashBytes } from '../../src/core/index.ts';
import { answerTo, bytesOf, type TestClient } from './client.ts';
import type { MakeRegistry } from './make-registry.ts';

/** How blobs get into a registry. */
export function uploadContract(name: string, makeRegistry: MakeRegistry): void {
  for (const algorithm of ['sha256', 'sha512'] as const) {
    describe(`${name}: uploads by ${algorithm}`, () => {
      const blob = bytesOf(`upload ${algorithm}`, 512);
      const digest = hashBytes(blob, algorithm);

      it('takes a blob in one POST', async () => {
        const { client } = await makeRegistry();
        const created = await client.call('POST', `/v2/a/b/blobs/uploads/?digest=${digest}`, { body: blob });
        expect(created.status).toBe(201);
        expect(created.headers.get('docker-content-digest')).toBe(digest);
        await expectBlob(client, created.headers.get('location') ?? '', blob);
      });

      it('takes a blob in a POST and a PUT', async () => {
        const { client } = await makeRegistry();
        const location = await client.begin('a/b');
        const created = await client.call('PUT', `${location}?digest=${digest}`, { body: blob });
        expect(created.status).toBe(201);
        expect(created.headers.get('location')).toBe(`/v2/a/b/blobs/${digest}`);
        await expectBlob(client, `/v2/a/b/blobs/${digest}`, blob);
        expect((await client.call('GET', location)).status).toBe(404);
      });

      it('takes a blob as a stream without a length', async () => {
        const { client } = await makeRegistry();
        const location = await client.begin('a/b');
        const patched = await client.call('PATCH', location, { body: slices(blob, 100) });
        expect(patched.status).toBe(202);
        expect(patched.headers.get('range')).toBe('0-511');
        const created = await client.call('PUT', `${patched.headers.get('location')}?digest=${digest}`);
        expect(created.status).toBe(201);
        await expectBlob(client, `/v2/a/b/blobs/${digest}`, blob);
      });

      it('takes chunks in order, refuses all others, and goes on after that', async () => {
        const { client } = await makeRegistry();
        const large = bytesOf(`chunks ${algorithm}`, 3 * 1024 - 5);
        const location = await client.begin('a/b');
        for (const start of [0, 1024, 2048]) {
          for (const wrong of [0, 1024, 2048, 4096].filter((offset) => offset !== start)) {
            const refused = await patch(client, location, large.subarray(0, 10), wrong);
            expect([refused.status, ...refused.codes]).toEqual([416, 'RANGE_INVALID']);
            expect(refused.headers.get('range')).toBe(`0-${Math.max(0, start - 1)}`);
          }
          const status = await client.call('GET', location);
          expect([status.status, status.headers.get('range')]).toEqual([204, `0-${Math.max(0, start - 1)}`]);
          expect(status.headers.get('location')).toBe(location);
          const taken = await patch(client, location, large.subarray(start, start + 1024), start);
          expect(taken.status).toBe(202);
        }
        const large512 = hashBytes(large, algorithm);
        expect((await client.call('PUT', `${location}?digest=${large512}`)).status).toBe(201);
        await expectBlob(client, `/v2/a/b/blobs/${large512}`, large);
      });

      it('takes the last chunk with the PUT, and refuses it out of order without losing the upload', async () => {
        const { client } = await makeRegistry();
        const location = await client.begin('a/b');
        await patch(client, location, blob.subarray(0, 200), 0);
        for (const wrong of [0, 199, 201]) {
          const headers = { 'content-range': `${wrong}-${wrong + 311}` };
          const refused = await client.call('PUT', `${location}?digest=${digest}`, {
            body: blob.subarray(200),
            headers,
          });
          expect([refused.status, ...refused.codes]).toEqual([416, 'RANGE_INVALID']);
        }
        const headers = { 'content-range': '200-511' };
        const created = await client.call('PUT', `${location}?digest=${digest}`, { body: blob.subarray(200), headers });
        expect(created.status).toBe(201);
        await expectBlob(client, `/v2/a/b/blobs/${digest}`, blob);
      });

      it('refuses other bytes than the digest names, whichever way they come, and keeps nothing of them', async () => {
        const { client } = await makeRegistry();
        const wrong = Buffer.concat([blob, Buffer.from(' ')]);
        const atOnce = await client.call('POST', `/v2/a/b/blobs/uploads/?digest=${digest}`, { body: wrong });
        const put = await client.begin('a/b');
        const byPut = await client.call('PUT', `${put}?digest=${digest}`, { body: wrong });
        const patched = await client.begin('a/b');
        await patch(client, patched, wrong, 0);
        const byPatch = await client.call('PUT', `${patched}?digest=${digest}`);
        for (const refused of [atOnce, byPut, byPatch]) {
          expect([refused.status, ...refused.codes]).toEqual([400, 'DIGEST_INVALID']);
        }
        for (const dropped of [put, patched]) {
          expect((await client.call('GET', dropped)).codes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
        }
        expect((await client.call('GET', `/v2/a/b/blobs/${digest}`)).status).toBe(404);
        expect((await client.call('GET', `/v2/a/b/blobs/${hashBytes(wrong, algorithm)}`)).status).toBe(404);
      });

      it('takes an empty blob', async () => {
        const { client } = await makeRegistry();
        const empty = hashBytes(Buffer.alloc(0), algorithm);
        const location = await client.begin('a/b');
        expect((await client.call('PUT', `${location}?digest=${empty}`)).status).toBe(201);
        await expectBlob(client, `/v2/a/b/blobs/${empty}`, Buffer.alloc(0));
        expect((await client.call('POST', `/v2/c/blobs/uploads/?digest=${empty}`)).status).toBe(201);
        await expectBlob(client, `/v2/c/blobs/${empty}`, Buffer.alloc(0));
      });

      it('mounts a blob of another repository', async () => {
        const { client } = await makeRegistry();
        await client.putBlob('source', blob, algorithm);
        const mounted = await client.call('POST', `/v2/target/blobs/uploads/?mount=${digest}&from=source`);
        expect(mounted.status).toBe(201);
        expect(mounted.headers.get('location')).toBe(`/v2/target/blobs/${digest}`);
        await expectBlob(client, `/v2/target/blobs/${digest}`, blob);
      });
    });
  }

  describe(`${name}: uploads`, () => {
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

    it.each(['', '&from=', '&from=elsewhere'])(
      'gives an upload instead of a mount that cannot be (%j)',
      async (from) => {
        const { client } = await makeRegistry();
        const blob = bytesOf('not there', 100);
        const digest = from === '&from=elsewhere' ? hashBytes(blob) : await client.putBlob('source', blob);
        const begun = await client.call('POST', `/v2/target/blobs/uploads/?mount=${digest}${from}`);
        expect(begun.status).toBe(202);
        const location = begun.headers.get('location');
        expect((await client.call('PUT', `${location}?digest=${digest}`, { body: blob })).status).toBe(201);
      },
    );

    it('does not mount what is in no repository any more', async () => {
      const { client } = await makeRegistry();
      const digest = await client.putBlob('source', bytesOf('gone', 100));
      await client.call('DELETE', `/v2/source/blobs/${digest}`);
      const begun = await client.call('POST', `/v2/target/blobs/uploads/?mount=${digest}&from=source`);
      expect(begun.status).toBe(202);
      expect((await client.call('HEAD', `/v2/target/blobs/${digest}`)).status).toBe(404);
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
      const size = await sizeWhen(client, location, (bytes) => bytes === 70_000);
      broken.destroy();
      expect(size).toBe(70_000);
      const rest = await untilFree(() => patch(client, location, blob.subarray(size), size));
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
      await sizeWhen(client, location, (bytes) => bytes === 50_000);
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
      await sizeWhen(client, location, (bytes) => bytes === 10_000);
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

    it('takes one blob from many clients at once', async () => {
      const { client } = await makeRegistry();
      const blob = bytesOf('many', 50_000);
      await Promise.all(Array.from({ length: 8 }, () => client.putBlob('a/b', blob)));
      await expectBlob(client, `/v2/a/b/blobs/${hashBytes(blob)}`, blob);
    });
  });
}

async function expectBlob(client: TestClient, path: string, blob: Buffer): Promise<void> {
  const got = await client.call('GET', path);
  expect(got.status).toBe(200);
  expect(got.body.equals(blob)).toBe(true);
  const head = await client.call('HEAD', path);
  expect([head.status, head.headers.get('content-length'), head.body.length]).toEqual([200, String(blob.length), 0]);
}

function patch(client: TestClient, location: string, body: Uint8Array, start: number) {
  return client.call('PATCH', location, { body, headers: { 'content-range': `${start}-${start + body.length - 1}` } });
}

async function* slices(bytes: Buffer, length: number): AsyncIterable<Uint8Array> {
  for (let start = 0; start < bytes.length; start += length) yield bytes.subarray(start, start + length);
}

/** Asks where an upload stands until it is there. */
async function sizeWhen(client: TestClient, location: string, reached: (bytes: number) => boolean): Promise<number> {
  for (;;) {
    const status = await client.call('GET', location);
    const bytes = Number((status.headers.get('range') ?? '0-0').split('-')[1]) + 1;
    if (reached(bytes)) return bytes;
  }
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
