import { expect } from 'vitest';
import type { Digest } from '../../src/core/index.ts';
import type { TestAnswer, TestClient } from './client.ts';

/** What is sent, where to, and the digest that the client says. */
interface Sending {
  readonly repository: string;
  readonly bytes: Buffer;
  readonly digest: Digest;
}

/** The chunks of the conformance suite. */
export const CHUNK_BYTES = 1024;

/** Every way in which the specification lets a blob be pushed; gives the answer that ends the upload. */
export const uploadWays: Readonly<Record<string, (client: TestClient, sending: Sending) => Promise<TestAnswer>>> = {
  'one POST': (client, { repository, bytes, digest }) =>
    client.call('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body: bytes }),

  'a POST and a PUT': async (client, { repository, bytes, digest }) =>
    client.call('PUT', `${await client.begin(repository)}?digest=${digest}`, { body: bytes }),

  'one chunk and an empty PUT': async (client, { repository, bytes, digest }) => {
    const location = await chunks(client, repository, [bytes]);
    return client.call('PUT', `${location}?digest=${digest}`);
  },

  'chunks and an empty PUT': async (client, { repository, bytes, digest }) => {
    const location = await chunks(client, repository, cut(bytes));
    return client.call('PUT', `${location}?digest=${digest}`);
  },

  'chunks, the last with the PUT': async (client, { repository, bytes, digest }) => {
    const parts = cut(bytes);
    const last = parts.pop() ?? bytes;
    const location = await chunks(client, repository, parts);
    const headers = { 'content-range': `${bytes.length - last.length}-${bytes.length - 1}` };
    return client.call('PUT', `${location}?digest=${digest}`, { body: last, headers });
  },

  'a stream without a length': async (client, { repository, bytes, digest }) => {
    const location = await client.begin(repository);
    const patched = await client.call('PATCH', location, { body: slices(bytes, 100) });
    expect([patched.status, patched.headers.get('range')]).toEqual([202, `0-${Math.max(0, bytes.length - 1)}`]);
    return client.call('PUT', `${patched.headers.get('location')}?digest=${digest}`);
  },
};

/** Sends chunks one after the other; gives where the last answer sends the client on to. */
async function chunks(client: TestClient, repository: string, parts: readonly Buffer[]): Promise<string> {
  let location = await client.begin(repository);
  let start = 0;
  for (const part of parts) {
    const taken = await patch(client, location, part, start);
    start += part.length;
    expect([taken.status, taken.headers.get('range')]).toEqual([202, `0-${start - 1}`]);
    location = taken.headers.get('location') ?? '';
  }
  return location;
}

function cut(bytes: Buffer): Buffer[] {
  const count = Math.ceil(bytes.length / CHUNK_BYTES);
  return Array.from({ length: count }, (_, index) => bytes.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES));
}

/** One chunk with its place. */
export function patch(client: TestClient, location: string, body: Uint8Array, start: number): Promise<TestAnswer> {
  return client.call('PATCH', location, { body, headers: { 'content-range': `${start}-${start + body.length - 1}` } });
}

/** A body that comes in pieces, and without a length beforehand. */
export async function* slices(bytes: Buffer, length: number): AsyncIterable<Uint8Array> {
  for (let start = 0; start < bytes.length; start += length) yield bytes.subarray(start, start + length);
}

/** Asks for a blob with GET and HEAD. */
export async function expectBlob(client: TestClient, path: string, blob: Buffer): Promise<void> {
  const got = await client.call('GET', path);
  expect([got.status, got.headers.get('content-length')]).toEqual([200, String(blob.length)]);
  expect(got.body.equals(blob)).toBe(true);
  const head = await client.call('HEAD', path);
  expect([head.status, head.headers.get('content-length'), head.body.length]).toEqual([200, String(blob.length), 0]);
  const digest = path.slice(path.lastIndexOf('/') + 1);
  for (const answer of [got, head]) expect(answer.headers.get('docker-content-digest')).toBe(digest);
}

/** Asks for a blob that is not there. */
export async function expectNoBlob(client: TestClient, path: string): Promise<void> {
  const got = await client.call('GET', path);
  expect([got.status, ...got.codes]).toEqual([404, 'BLOB_UNKNOWN']);
  const head = await client.call('HEAD', path);
  expect([head.status, head.body.length]).toEqual([404, 0]);
}
