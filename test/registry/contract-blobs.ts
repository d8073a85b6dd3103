import { describe, expect, it } from 'vitest';
import { hashBytes } from '../../src/core/index.ts';
import { bytesOf } from './client.ts';
import type { MakeRegistry } from './make-registry.ts';

/** How blobs are read and deleted. */
export function blobContract(name: string, makeRegistry: MakeRegistry): void {
  const unknown = hashBytes(Buffer.from('never stored'));

  describe(`${name}: blobs`, () => {
    it('does not know a blob that was never put', async () => {
      const { client } = await makeRegistry();
      for (const method of ['GET', 'DELETE']) {
        const answer = await client.call(method, `/v2/a/b/blobs/${unknown}`);
        expect([answer.status, ...answer.codes]).toEqual([404, 'BLOB_UNKNOWN']);
      }
      const head = await client.call('HEAD', `/v2/a/b/blobs/${unknown}`);
      expect([head.status, head.body.length]).toEqual([404, 0]);
    });

    it('shows a blob only in the repositories that hold it', async () => {
      const { client } = await makeRegistry();
      const digest = await client.putBlob('mine', bytesOf('mine', 100));
      expect((await client.call('GET', `/v2/other/blobs/${digest}`)).status).toBe(404);
      expect((await client.call('HEAD', `/v2/mine/other/blobs/${digest}`)).status).toBe(404);
      expect((await client.call('HEAD', `/v2/mine/blobs/${digest}`)).status).toBe(200);
    });

    it.each(['GET', 'HEAD'])('describes the blob in the headers of %s', async (method) => {
      const { client } = await makeRegistry();
      const digest = await client.putBlob('a/b', bytesOf('headers', 100), 'sha512');
      const answer = await client.call(method, `/v2/a/b/blobs/${digest}`);
      expect(Object.fromEntries(answer.headers)).toMatchObject({
        'content-length': '100',
        'content-type': 'application/octet-stream',
        'docker-content-digest': digest,
        'accept-ranges': 'bytes',
        'cache-control': 'max-age=31536000',
        'docker-distribution-api-version': 'registry/2.0',
        etag: `"${digest}"`,
      });
    });

    it.each([
      ['bytes=500-1499', 500, 1499],
      ['bytes=500-', 500, 2047],
      ['bytes=0-', 0, 2047],
      ['bytes=-500', 1548, 2047],
      ['bytes=-5000', 0, 2047],
      ['bytes=2000-5000', 2000, 2047],
      ['bytes=0-0', 0, 0],
      ['bytes=2047-2047', 2047, 2047],
    ])('answers the range %s', async (range, first, last) => {
      const { client } = await makeRegistry();
      const blob = bytesOf('ranges', 2048);
      const digest = await client.putBlob('a/b', blob);
      for (const method of ['GET', 'HEAD']) {
        const answer = await client.call(method, `/v2/a/b/blobs/${digest}`, { headers: { range } });
        expect(answer.status).toBe(206);
        expect(answer.headers.get('content-range')).toBe(`bytes ${first}-${last}/2048`);
        expect(answer.headers.get('content-length')).toBe(String(last - first + 1));
        if (method === 'GET') expect(answer.body.equals(blob.subarray(first, last + 1))).toBe(true);
      }
    });

    it.each(['bytes=500-0', 'bytes=5000-10000', 'bytes=2048-', 'bytes=-0'])('refuses the range %s', async (range) => {
      const { client } = await makeRegistry();
      const digest = await client.putBlob('a/b', bytesOf('ranges', 2048));
      const answer = await client.call('GET', `/v2/a/b/blobs/${digest}`, { headers: { range } });
      expect([answer.status, ...answer.codes]).toEqual([416, 'RANGE_INVALID']);
      expect(answer.headers.get('content-range')).toBe('bytes */2048');
      expect(answer.headers.get('etag')).toBe(null);
    });

    it.each(['bytes=0-1200,1000-', 'bytes=0-9,9-0', 'pieces=0-1', 'bytes=a-b', 'bytes=-', '0-9'])(
      'ignores the range %s',
      async (range) => {
        const { client } = await makeRegistry();
        const digest = await client.putBlob('a/b', bytesOf('ranges', 2048));
        const answer = await client.call('GET', `/v2/a/b/blobs/${digest}`, { headers: { range } });
        expect([answer.status, answer.body.length]).toEqual([200, 2048]);
      },
    );

    it('answers several ranges as parts of one body', async () => {
      const { client } = await makeRegistry();
      const blob = bytesOf('ranges', 300_000);
      const digest = await client.putBlob('a/b', blob);
      const headers = { range: 'bytes=200000-299999,0-9,5000000-,-1' };
      const answer = await client.call('GET', `/v2/a/b/blobs/${digest}`, { headers });
      expect(answer.status).toBe(206);
      expect(answer.headers.get('content-length')).toBe(String(answer.body.length));
      expect(answer.headers.get('docker-content-digest')).toBe(digest);
      const boundary = /^multipart\/byteranges; boundary=(.+)$/.exec(answer.headers.get('content-type') ?? '')?.[1];
      const part = (first: number, last: number) => [
        `--${boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes ${first}-${last}/300000\r\n\r\n`,
        blob.subarray(first, last + 1),
        '\r\n',
      ];
      const expected = [...part(200_000, 299_999), ...part(0, 9), ...part(299_999, 299_999), `--${boundary}--\r\n`];
      expect(answer.body.equals(Buffer.concat(expected.map((piece) => Buffer.from(piece))))).toBe(true);
      const head = await client.call('HEAD', `/v2/a/b/blobs/${digest}`, { headers });
      expect([head.status, head.headers.get('content-length')]).toEqual([206, String(answer.body.length)]);
    });

    it('answers a range only of what If-Range names', async () => {
      const { client } = await makeRegistry();
      const digest = await client.putBlob('a/b', bytesOf('if-range', 2048));
      const statusFor = async (condition: string) => {
        const headers = { range: 'bytes=0-9', 'if-range': condition };
        return (await client.call('GET', `/v2/a/b/blobs/${digest}`, { headers })).status;
      };
      expect(await statusFor(`"${digest}"`)).toBe(206);
      expect(await statusFor(`"${unknown}"`)).toBe(200);
    });

    it('answers 304 to a client that has the blob', async () => {
      const { client } = await makeRegistry();
      const digest = await client.putBlob('a/b', bytesOf('cached', 100));
      for (const tag of [`"${digest}"`, digest, `W/"${digest}"`, '*', `"x", "${digest}"`]) {
        const answer = await client.call('GET', `/v2/a/b/blobs/${digest}`, { headers: { 'if-none-match': tag } });
        expect([tag, answer.status, answer.body.length]).toEqual([tag, 304, 0]);
      }
      const other = await client.call('GET', `/v2/a/b/blobs/${digest}`, { headers: { 'if-none-match': '"x"' } });
      expect(other.status).toBe(200);
    });

    it('answers 412 when If-Match names another blob or manifest', async () => {
      const { client } = await makeRegistry();
      const { digest: manifest } = await client.putImage('a/b', ['v1']);
      const blob = await client.putBlob('a/b', bytesOf('matched', 100));
      for (const [path, digest] of [
        [`blobs/${blob}`, blob],
        ['manifests/v1', manifest],
        [`manifests/${manifest}`, manifest],
      ] as const) {
        const statusFor = async (method: string, tags: string) =>
          (await client.call(method, `/v2/a/b/${path}`, { headers: { 'if-match': tags } })).status;
        for (const tags of ['*', `"${digest}"`, `"x", "${digest}"`]) expect(await statusFor('GET', tags)).toBe(200);
        for (const tags of ['"x"', `W/"${digest}"`, '']) {
          expect([tags, await statusFor('GET', tags), await statusFor('HEAD', tags)]).toEqual([tags, 412, 412]);
        }
      }
    });

    it('deletes a blob from one repository and leaves it in the others', async () => {
      const { client } = await makeRegistry();
      const blob = bytesOf('deleted', 100);
      const digest = await client.putBlob('one', blob);
      await client.putBlob('two', blob);
      expect((await client.call('DELETE', `/v2/one/blobs/${digest}`)).status).toBe(202);
      expect((await client.call('HEAD', `/v2/one/blobs/${digest}`)).status).toBe(404);
      expect((await client.call('DELETE', `/v2/one/blobs/${digest}`)).status).toBe(404);
      expect((await client.call('GET', `/v2/two/blobs/${digest}`)).body.equals(blob)).toBe(true);
      await client.putBlob('one', blob);
      expect((await client.call('HEAD', `/v2/one/blobs/${digest}`)).status).toBe(200);
    });

    it('gives the bytes of a manifest as a blob too', async () => {
      const { client } = await makeRegistry();
      const { digest, bytes } = await client.putImage('a/b', ['v1']);
      const answer = await client.call('GET', `/v2/a/b/blobs/${digest}`);
      expect([answer.status, answer.body.equals(bytes)]).toEqual([200, true]);
      await client.call('DELETE', `/v2/a/b/manifests/${digest}`);
      expect((await client.call('HEAD', `/v2/a/b/blobs/${digest}`)).status).toBe(404);
    });

    it('gives a large blob to many clients at once', async () => {
      const { client } = await makeRegistry();
      const blob = bytesOf('large', 3_000_000);
      const digest = await client.putBlob('a/b', blob);
      const answers = await Promise.all(Array.from({ length: 6 }, () => client.call('GET', `/v2/a/b/blobs/${digest}`)));
      expect(answers.every((answer) => answer.body.equals(blob))).toBe(true);
    });

    it('stays well when clients leave in mid-download', async () => {
      const { client } = await makeRegistry();
      const blob = bytesOf('left', 3_000_000);
      const digest = await client.putBlob('a/b', blob);
      for (let round = 0; round < 5; round += 1) {
        const leaving = new AbortController();
        const url = client.urlFor('GET', `/v2/a/b/blobs/${digest}`);
        const response = await fetch(url, { signal: leaving.signal });
        const reader = response.body?.getReader();
        await reader?.read();
        leaving.abort();
        await reader?.closed.catch(() => undefined);
      }
      expect((await client.call('GET', `/v2/a/b/blobs/${digest}`)).body.equals(blob)).toBe(true);
    });
  });
}
