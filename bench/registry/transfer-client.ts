/** A client of large blobs as a process of its own: uploads and downloads when it is told. Ends with its standard input. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Agent, type IncomingMessage, type RequestOptions, request } from 'node:http';
import { parseDigest } from '../../src/core/index.ts';
import { BenchRunError } from '../lib/errors.ts';
import { monotonicMs } from '../lib/monotonic.ts';
import { serveCalls } from '../lib/remote-calls.ts';
import { rawGet } from '../swarm/raw-get.ts';
import { uploadUrl } from './push.ts';
import type { TransferCalls, UploadWay } from './transfer-calls.ts';

/** Sent again and again: a blob of any size costs no more memory than this. */
const block = randomBytes(2 ** 20);
/** Docker's client writes a layer in pieces of 32 KiB, each a chunk of its own. */
const PATCH_CHUNK_BYTES = 32 * 1024;

interface Blob {
  readonly digest: string;
  readonly sizeBytes: number;
  /** Makes the blob another than all before; the rest is {@link block}. */
  readonly first: Buffer;
}

let blob: Blob | undefined;

serveCalls<TransferCalls>({
  make: async ({ sizeBytes, seed }) => {
    const first = Buffer.from(`bench blob ${seed} of ${process.pid} at ${process.hrtime.bigint()} `).subarray(
      0,
      sizeBytes,
    );
    const hash = createHash('sha256');
    for (const part of partsOf({ sizeBytes, first }, block.length)) hash.update(part);
    blob = { digest: `sha256:${hash.digest('hex')}`, sizeBytes, first };
    return { digest: blob.digest };
  },
  upload: async ({ baseUrl, repository, way }) => {
    if (blob === undefined) throw new BenchRunError('upload was called before make');
    const startMs = monotonicMs();
    await upload(blob, { baseUrl, repository, way });
    return { seconds: (monotonicMs() - startMs) / 1_000 };
  },
  download: async ({ url, sizeBytes, clients }) => {
    const startMs = monotonicMs();
    await Promise.all(Array.from({ length: clients }, () => download(url, sizeBytes)));
    return { seconds: (monotonicMs() - startMs) / 1_000 };
  },
});

async function upload(
  { digest, ...bytes }: Blob,
  { baseUrl, repository, way }: { baseUrl: string; repository: string; way: UploadWay },
): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    const begun = await send(new URL(`/v2/${repository}/blobs/uploads/`, baseUrl), { method: 'POST', agent });
    let location = locationOf(begun, 202);
    if (way === 'patch') {
      const patched = await send(
        new URL(location, baseUrl),
        { method: 'PATCH', agent },
        partsOf(bytes, PATCH_CHUNK_BYTES),
      );
      location = locationOf(patched, 202);
    }
    const url = uploadUrl(location, baseUrl, parseDigest(digest));
    const length = way === 'put' ? bytes.sizeBytes : 0;
    const put = { method: 'PUT', agent, headers: { 'content-length': length } };
    locationOf(await send(url, put, way === 'put' ? partsOf(bytes, block.length) : []), 201);
  } finally {
    agent.destroy();
  }
}

/** One request; its answer has been read when this resolves. */
async function send(url: URL, options: RequestOptions, body: Iterable<Buffer> = []): Promise<IncomingMessage> {
  const headers = { 'content-type': 'application/octet-stream', ...options.headers };
  const call = request(url, { ...options, headers });
  const answered = once(call, 'response') as Promise<[IncomingMessage]>;
  answered.catch(() => undefined); // Whoever waits for it below gets the error, and it may come while the body is written.
  for (const part of body) if (!call.write(part)) await Promise.race([once(call, 'drain'), answered]);
  call.end();
  const [response] = await answered;
  response.resume();
  await once(response, 'end');
  return response;
}

function* partsOf({ sizeBytes, first }: Pick<Blob, 'sizeBytes' | 'first'>, partBytes: number): Iterable<Buffer> {
  yield first;
  for (let left = sizeBytes - first.length; left > 0; ) {
    const at = (sizeBytes - left - first.length) % block.length;
    const part = block.subarray(at, Math.min(at + partBytes, at + left, block.length));
    left -= part.length;
    yield part;
  }
}

function locationOf({ statusCode, headers }: IncomingMessage, expected: number): string {
  if (statusCode === expected) return headers.location ?? '';
  throw new BenchRunError(`an upload was answered with ${statusCode}, expected ${expected}`);
}

async function download(url: string, sizeBytes: number): Promise<void> {
  let received = 0;
  const count = (bytes: Buffer) => {
    received += bytes.length;
  };
  await rawGet(url, {}, count, new AbortController().signal);
  if (received !== sizeBytes) throw new BenchRunError(`${url} gave ${received} bytes, expected ${sizeBytes}`);
}
