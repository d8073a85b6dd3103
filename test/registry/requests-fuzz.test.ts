import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { StorageDriver } from '../../src/driver/index.ts';
import { TestClient } from './client.ts';
import { expectWellFormed } from './fuzz-oracle.ts';
import { type FuzzRequest, fuzzBlob, fuzzDigest, fuzzRepositories, fuzzRequest, rawRequest } from './fuzz-requests.ts';
import { type RawAnswer, RawConnection } from './raw-connection.ts';
import { memoryDriver } from './running-registry.ts';
import { type ServedRegistry, startServedRegistry } from './served-registry.ts';

const BATCHES = 1000;
/** Half of that on average. */
const BATCH_LENGTH_MAX = 25;

describe('a registry that is asked anything', () => {
  it('answers well or says what is wrong, and keeps nothing', { timeout: 120_000 }, async () => {
    const driver = await memoryDriver();
    const registry = await served(driver);
    const client = new TestClient(registry.url);
    const batch = fc.array(fuzzRequest, { minLength: 1, maxLength: BATCH_LENGTH_MAX, size: 'max' });
    const uploads = new Set<string>();
    let connection: RawConnection | undefined;
    onTestFinished(() => connection?.destroy());
    await fc.assert(
      fc.asyncProperty(batch, async (requests) => {
        await fill(client);
        connection ??= await RawConnection.open(registry.port);
        // All at once: the server has to keep them, and their answers, apart.
        connection.write(Buffer.concat(requests.map(rawRequest)));
        try {
          for (const request of requests) {
            const answer = await connection.answer(request.method);
            expectAnswer(request, answer);
            if (answer?.headers.has('docker-upload-uuid')) uploads.add(answer.headers.get('location')!);
          }
        } catch (error) {
          // What follows on the connection belongs to this batch.
          connection.destroy();
          connection = undefined;
          throw error;
        }
      }),
      { numRuns: BATCHES },
    );
    for (const location of uploads) await client.call('DELETE', location);
    expect(await unfinishedUploads(driver)).toEqual([]);
  });
});

async function served(driver: StorageDriver): Promise<ServedRegistry> {
  const registry = await startServedRegistry(driver);
  onTestFinished(() => registry.close());
  return registry;
}

/** Requests delete what there is; the next ones shall find something again. */
async function fill(client: TestClient): Promise<void> {
  for (const repository of fuzzRepositories) {
    const found = await Promise.all(
      ['manifests/v1', `blobs/${fuzzDigest}`].map((path) => client.call('HEAD', `/v2/${repository}/${path}`)),
    );
    if (found[0]?.status !== 200) await client.putImage(repository, ['v1']);
    if (found[1]?.status !== 200) await client.putBlob(repository, fuzzBlob);
  }
}

function expectAnswer({ method, path }: FuzzRequest, answer: RawAnswer | undefined): void {
  if (answer === undefined) throw new Error(`the connection was closed instead of an answer to ${method} ${path}`);
  expectWellFormed(method, answer);
  if (method !== 'GET' || !path.includes('/blobs/sha256:')) return;
  const { status, headers, body } = answer;
  if (status === 200 && body.length > 1000) expect(body.equals(fuzzBlob)).toBe(true);
  if (status !== 206) return;
  const part = /^bytes (\d+)-(\d+)\/2048$/.exec(headers.get('content-range') ?? '');
  if (part !== null) expect(body.equals(fuzzBlob.subarray(Number(part[1]), Number(part[2]) + 1))).toBe(true);
  else expect(headers.get('content-type')).toMatch(/^multipart\/byteranges; boundary=/);
}

async function unfinishedUploads(driver: StorageDriver): Promise<string[]> {
  const found: string[] = [];
  for await (const { path, isDirectory } of driver.walk('/')) {
    if (!isDirectory && path.includes('/_uploads/')) found.push(path);
  }
  return found;
}
