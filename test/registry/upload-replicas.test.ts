import type { ClientRequest } from 'node:http';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashBytes } from '../../src/core/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { answerTo, bytesOf, type TestClient } from './client.ts';
import { folderDriver, serveRegistry } from './running-registry.ts';

/** Other tests may have the machine busy. */
const soon = { timeout: 10_000 };

const blob = bytesOf('replicas', 3000);
const digest = hashBytes(blob);

/** Registries on one folder, each with a driver and a memory of its own, as in several processes. */
async function replicas(): Promise<readonly [TestClient, TestClient]> {
  const folder = await makeTempDir();
  const start = async () => (await serveRegistry(await folderDriver(folder))).client;
  return [await start(), await start()];
}

/** Every way to spread so many requests over two registries. */
function spreads(count: number): (0 | 1)[][] {
  if (count === 0) return [[]];
  return spreads(count - 1).flatMap((rest) => [
    [0 as const, ...rest],
    [1 as const, ...rest],
  ]);
}

function patch(client: TestClient, location: string, from: number, to: number) {
  const headers = { 'content-range': `${from}-${to - 1}` };
  return client.call('PATCH', location, { body: blob.subarray(from, to), headers });
}

describe('two registries on one folder', () => {
  it.each(spreads(5).map((spread) => [spread]))('take the requests of one upload in the order %j', async (spread) => {
    const clients = await replicas();
    const [begin, first, second, status, put] = spread.map((index) => clients[index]!);
    const location = await begin!.begin('a');
    expect((await patch(first!, location, 0, 1000)).status).toBe(202);
    expect((await patch(first!, location, 0, 1000)).status).toBe(416);
    expect((await patch(second!, location, 1000, 2000)).headers.get('range')).toBe('0-1999');
    expect((await status!.call('GET', location)).headers.get('range')).toBe('0-1999');
    const headers = { 'content-range': '2000-2999' };
    const created = await put!.call('PUT', `${location}?digest=${digest}`, { body: blob.subarray(2000), headers });
    expect(created.status).toBe(201);
    for (const client of clients) {
      expect((await client.call('GET', `/v2/a/blobs/${digest}`)).body.equals(blob)).toBe(true);
      expect((await client.call('GET', location)).codes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
    }
  });

  it('cancel an upload of the other one', async () => {
    const [one, two] = await replicas();
    const location = await one.begin('a');
    await patch(one, location, 0, 1000);
    expect((await two.call('DELETE', location)).status).toBe(204);
    expect((await patch(one, location, 1000, 2000)).codes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
    expect((await one.call('PUT', `${location}?digest=${digest}`)).codes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
  });

  it('tell how far an upload is that the other one is taking, and leave it to that', async () => {
    const [one, two] = await replicas();
    const location = await one.begin('a');
    const request = startPatch(one, location, blob.subarray(0, 1000));
    await expect.poll(() => sizeAt(two, location), soon).toBe(1000);
    request.end(blob.subarray(1000));
    expect((await answerTo(request)).statusCode).toBe(202);
    expect((await two.call('PUT', `${location}?digest=${digest}`)).status).toBe(201);
  });

  it('let a client go on at the other one while the first has not noticed that it has gone', async () => {
    const [one, two] = await replicas();
    const location = await one.begin('a');
    const stuck = startPatch(one, location, blob.subarray(0, 1000));
    const stuckAnswer = answerTo(stuck);
    await expect.poll(() => sizeAt(two, location), soon).toBe(1000);
    expect((await patch(two, location, 1000, 3000)).status).toBe(202);
    stuck.end(blob.subarray(1000, 1500));
    const { statusCode, headers } = await stuckAnswer;
    expect([statusCode, headers['range']]).toEqual([416, undefined]);
    expect((await two.call('PUT', `${location}?digest=${digest}`)).status).toBe(201);
    expect((await one.call('GET', `/v2/a/blobs/${digest}`)).body.equals(blob)).toBe(true);
  });

  it('say to the slower of two requests that its upload has ended', async () => {
    const [one, two] = await replicas();
    const location = await one.begin('a');
    expect((await patch(one, location, 0, 3000)).status).toBe(202);
    const slow = startPatch(one, location, Buffer.from('late'));
    const answer = answerTo(slow);
    await expect.poll(() => sizeAt(two, location), soon).toBe(3004);
    const [ok, other] = [digest, hashBytes(Buffer.concat([blob, Buffer.from('late')]))];
    const refused = await two.call('PUT', `${location}?digest=${ok}`);
    expect([refused.status, ...refused.codes]).toEqual([400, 'DIGEST_INVALID']);
    slow.end();
    expect((await answer).statusCode).toBe(404);
    for (const wanted of [ok, other]) expect((await two.call('HEAD', `/v2/a/blobs/${wanted}`)).status).toBe(404);
  });

  it('never make a blob of bytes that one has hashed and the other replaced', async () => {
    const [one, two] = await replicas();
    const poison = bytesOf('poison', blob.length);
    const location = await one.begin('a');
    const first = startPatch(one, location, blob.subarray(0, 1000));
    const second = startPatch(two, location, poison.subarray(0, 1000));
    const answers = [answerTo(first), answerTo(second)];
    await expect.poll(() => sizeAt(one, location), soon).toBe(1000);
    first.end(blob.subarray(1000));
    await answers[0];
    second.end(poison.subarray(1000));
    await answers[1];
    const put = await one.call('PUT', `${location}?digest=${digest}`);
    const read = await two.call('GET', `/v2/a/blobs/${digest}`);
    if (put.status === 201) expect(hashBytes(read.body)).toBe(digest);
    else expect([put.status, read.status]).toEqual([400, 404]);
  });
});

/** What clients do with one upload at two registries, requests that overlap among it. */
type Step =
  | { readonly kind: 'patch' | 'put' | 'status'; readonly at: 0 | 1 }
  | { readonly kind: 'begin body' | 'end body' | 'hang up'; readonly at: 0 | 1 };

const steps: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('patch', 'patch', 'put', 'status', 'begin body', 'end body', 'hang up'),
  at: fc.constantFrom(0 as const, 1 as const),
});

describe('an upload at two registries at once', () => {
  it('becomes a blob only when its bytes are those of the digest, and never fails in a way that nobody expects', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(steps, { minLength: 3, maxLength: 14 }), async (all) => {
        const clients = await replicas();
        const location = await clients[0].begin('a');
        const open = new Map<0 | 1, { request: ClientRequest; answer: Promise<number> }>();
        const statuses: number[] = [];
        for (const { kind, at } of all) {
          const client = clients[at];
          const size = (await sizeAt(client, location)) ?? 0;
          const held = open.get(at);
          if (kind === 'patch' && size < blob.length) {
            statuses.push((await patch(client, location, size, Math.min(blob.length, size + 700))).status);
          } else if (kind === 'put') {
            statuses.push((await client.call('PUT', `${location}?digest=${digest}`)).status);
          } else if (kind === 'begin body' && held === undefined) {
            const request = startPatch(client, location, blob.subarray(size, size + 500));
            const answer = answerTo(request).then(
              (response) => response.statusCode ?? 0,
              () => 0,
            );
            open.set(at, { request, answer });
          } else if (kind === 'end body' && held !== undefined) {
            open.delete(at);
            held.request.end();
            statuses.push(await held.answer);
          } else if (kind === 'hang up' && held !== undefined) {
            open.delete(at);
            held.request.destroy();
            await held.answer;
          }
        }
        for (const { request, answer } of open.values()) {
          request.end();
          statuses.push(await answer);
        }
        for (const status of statuses) expect([0, 201, 202, 204, 400, 404, 416]).toContain(status);
        const read = await clients[1].call('GET', `/v2/a/blobs/${digest}`);
        expect(read.status).toBe(statuses.includes(201) ? 200 : 404);
        if (read.status === 200) expect(read.body.equals(blob)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });
});

/** A chunk whose end the test sends by itself. */
function startPatch(client: TestClient, location: string, bytes: Uint8Array): ClientRequest {
  const request = client.open('PATCH', location, { 'transfer-encoding': 'chunked' });
  request.on('error', () => undefined).write(bytes);
  return request;
}

/** Where an upload stands; `undefined` when it is unknown. One byte and none look the same. */
async function sizeAt(client: TestClient, location: string): Promise<number | undefined> {
  const range = (await client.call('GET', location)).headers.get('range');
  return range === null || range === '0-0' ? undefined : Number(range.split('-')[1]) + 1;
}
