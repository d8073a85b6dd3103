import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ConfigError, hashBytes, type Repository, systemClock } from '../../src/core/index.ts';
import type { StorageDriver } from '../../src/driver/index.ts';
import { ForwardPass } from '../../src/proxy/forward-pass.ts';
import { LOST_AFTER_MS } from '../../src/proxy/other-proxies.ts';
import { UploadForwarding } from '../../src/proxy/upload-forwarding.ts';
import { proxyNameOf, UploadIds } from '../../src/proxy/upload-ids.ts';
import { AuthenticationRequiredError } from '../../src/registry/index.ts';
import { testLogger } from '../helpers/logger.ts';
import { answerTo, bytesOf, TestClient } from '../registry/client.ts';
import { uploadSessionContract } from '../registry/contract-upload-sessions.ts';
import { uploadContract } from '../registry/contract-uploads.ts';
import { wrapDriver } from '../registry/wrapped-driver.ts';
import { clusterToken, startTwoProxies } from './two-proxies.ts';

/** Other tests may have the machine busy. */
const soon = { timeout: 10_000 };

const blob = bytesOf('forwarded', 300_000);
const digest = hashBytes(blob);

/** A client whose requests come to two proxies by turns, as behind a load balancer. */
class ByTurns extends TestClient {
  readonly #urls: readonly string[];
  #turn = 0;

  constructor(urls: readonly string[]) {
    super(urls[0]!);
    this.#urls = urls;
  }

  override urlFor(_method: string, path: string): URL {
    this.#turn += 1;
    return new URL(path, this.#urls[this.#turn % this.#urls.length]);
  }
}

const byTurns = async () => {
  const [first, second] = await startTwoProxies();
  return { client: new ByTurns([first.url, second.url]) };
};

uploadContract('two proxies behind one address', byTurns);
uploadSessionContract('two proxies behind one address', byTurns);

describe('a proxy that is asked for an upload of another one', () => {
  it('sends every request on, and the upload stays where it was begun', async () => {
    const [first, second] = await startTwoProxies();
    const begun = await first.client.call('POST', '/v2/a/blobs/uploads/');
    const location = begun.headers.get('location')!;
    expect(begun.headers.get('docker-upload-uuid')).toMatch(/^[A-Za-z0-9_-]{1,128}$/);
    const patched = await second.client.call('PATCH', location, {
      body: blob.subarray(0, 200_000),
      headers: { 'content-range': '0-199999' },
    });
    expect([patched.status, patched.headers.get('range'), patched.headers.get('location')]).toEqual([
      202,
      '0-199999',
      location,
    ]);
    expect(await Array.fromAsync(second.castore.uploads.list())).toEqual([]);
    expect((await first.client.call('GET', location)).headers.get('range')).toBe('0-199999');
    const refused = await second.client.call('PATCH', location, { body: 'x', headers: { 'content-range': '5-5' } });
    expect([refused.status, ...refused.codes, refused.headers.get('range')]).toEqual([
      416,
      'RANGE_INVALID',
      '0-199999',
    ]);
    const put = await second.client.call('PUT', `${location}?digest=${digest}`, {
      body: blob.subarray(200_000),
      headers: { 'content-range': `200000-${blob.length - 1}` },
    });
    expect([put.status, put.headers.get('docker-content-digest')]).toEqual([201, digest]);
    expect((await second.client.call('GET', put.headers.get('location')!)).body.equals(blob)).toBe(true);
  });

  it('asks who the client is, and has the proxy that holds the upload tell whose push it was', async () => {
    const access = {
      admit: async (authorization: string | undefined) => {
        if (authorization !== 'Basic Y2k6cGFzcw==') throw new AuthenticationRequiredError('log in', 'Basic realm="r"');
        return { name: 'ci', may: () => true, pullsEverything: true };
      },
    };
    const [first, second] = await startTwoProxies({ access });
    const headers = { authorization: 'Basic Y2k6cGFzcw==' };
    const begun = await first.client.call('POST', '/v2/a/blobs/uploads/', { headers });
    const location = begun.headers.get('location')!;
    const stranger = await second.client.call('PATCH', location, { body: 'x' });
    expect([stranger.status, stranger.headers.get('www-authenticate')]).toEqual([401, 'Basic realm="r"']);
    const put = await second.client.call('PUT', `${location}?digest=${digest}`, { headers, body: blob });
    expect(put.status).toBe(201);
    expect(second.events).toEqual([]);
    expect(first.events).toMatchObject([{ action: 'push', actor: 'ci', repository: 'a', digest, sizeBytes: 300_000 }]);
  });

  it('passes the bytes on while they come, and stops when the client leaves', async () => {
    const [first, second] = await startTwoProxies();
    const location = await first.client.begin('a');
    const request = second.client.open('PATCH', location, { 'transfer-encoding': 'chunked' });
    request.on('error', () => undefined);
    request.write(blob.subarray(0, 70_000));
    const sizeAtFirst = async () => (await first.client.call('GET', location)).headers.get('range');
    await expect.poll(sizeAtFirst, soon).toBe('0-69999');
    request.destroy();
    const rest = { body: blob.subarray(70_000), headers: { 'content-range': `70000-${blob.length - 1}` } };
    const patch = () => second.client.call('PATCH', location, rest);
    await expect.poll(async () => (await patch()).status, soon).toBe(202);
    expect((await second.client.call('PUT', `${location}?digest=${digest}`)).status).toBe(201);
  });

  it('takes no more of a body than the other one does', async () => {
    const written = Promise.withResolvers<void>();
    const wrapFirst = (driver: StorageDriver) => wrapDriver(driver, { writer: heldBack(driver, written.promise) });
    const [first, second] = await startTwoProxies({ wrapFirst });
    const location = await first.client.begin('a');
    const body = Readable.from(chunksOf(256), { objectMode: false });
    let taken = 0;
    body.on('data', (chunk: Buffer) => (taken += chunk.length));
    const request = second.client.open('PATCH', location, { 'transfer-encoding': 'chunked' });
    request.on('error', () => undefined);
    body.pipe(request);
    // Until nothing moves any more: the buffers of sockets and streams on the way are full.
    for (let before = -1; before < taken; ) {
      before = taken;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(taken).toBeGreaterThan(0);
    expect(taken).toBeLessThan(64 * 1024 * 1024);
    request.destroy();
    body.destroy();
    written.resolve();
  });

  it('passes an answer on that comes before the end of the body', async () => {
    const [first, second] = await startTwoProxies();
    const location = await first.client.begin('a');
    await first.client.call('PATCH', location, { body: blob.subarray(0, 1000) });
    const request = second.client.open('PATCH', location, { 'content-range': '5-99999999' });
    const answer = answerTo(request);
    request.on('error', () => undefined).write(blob);
    const { statusCode, headers } = await answer;
    expect([statusCode, headers['range']]).toEqual([416, '0-999']);
    request.destroy();
    expect((await second.client.call('GET', location)).headers.get('range')).toBe('0-999');
  });

  it('gives a silent client up, and the upload goes on from what came', async () => {
    const [first, second] = await startTwoProxies({ idleTimeoutMs: 200 });
    const location = await first.client.begin('a');
    const silent = second.client.open('PATCH', location, { 'content-length': String(blob.length) });
    const gone = answerTo(silent);
    silent.write(blob.subarray(0, 1000));
    await expect(gone).rejects.toThrow();
    const rest = { body: blob.subarray(1000), headers: { 'content-range': `1000-${blob.length - 1}` } };
    await expect.poll(async () => (await second.client.call('PATCH', location, rest)).status, soon).toBe(202);
    expect((await second.client.call('PUT', `${location}?digest=${digest}`)).status).toBe(201);
  });

  it('says that an upload is unknown when its proxy does not know it any more', async () => {
    const [first, second] = await startTwoProxies();
    const location = await first.client.begin('a');
    expect((await first.client.call('DELETE', location)).status).toBe(204);
    const gone = await second.client.call('PATCH', location, { body: 'x' });
    expect([gone.status, ...gone.codes]).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
  });

  it('asks for patience while its proxy is away, and says that it is lost when that lasts', async () => {
    let nowMs = 0;
    const clock = { monotonicMs: () => nowMs, nowMs: () => systemClock.nowMs() };
    const [first, second] = await startTwoProxies({ clock });
    const location = await first.client.begin('a');
    await first.stop();
    for (const passedMs of [0, 1000, LOST_AFTER_MS - 1]) {
      nowMs = passedMs;
      const away = await second.client.call('PATCH', location, { body: blob });
      expect([away.status, ...away.codes, away.headers.get('retry-after')]).toEqual([503, 'UNAVAILABLE', '5']);
    }
    nowMs = LOST_AFTER_MS;
    const lost = await second.client.call('PATCH', location, { body: blob });
    expect([lost.status, ...lost.codes]).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
    expect(await second.client.putBlob('a', blob)).toBe(digest);
  });

  it('sends nothing anywhere for an id that no proxy has signed, or that names no member', async () => {
    const [first, second] = await startTwoProxies();
    const location = await first.client.begin('a');
    const id = location.split('/').at(-1)!;
    const wrong = [
      `${id.slice(0, -1)}${id.endsWith('A') ? 'Q' : 'A'}`,
      id.replace(/^p1-[0-9a-f]{16}/, `p1-${proxyNameOf(second.url)}`),
      id.replace(/^p1-/, 'p2-'),
      new UploadIds('another token').make(proxyNameOf(first.url)),
      new UploadIds(clusterToken).make(proxyNameOf('http://127.0.0.1:9')),
    ];
    const before = first.requests.length;
    for (const uploadId of wrong) {
      const answer = await second.client.call('PATCH', location.replace(id, uploadId), { body: 'x' });
      expect([uploadId, answer.status, ...answer.codes]).toEqual([uploadId, 404, 'BLOB_UPLOAD_UNKNOWN']);
    }
    expect(first.requests.length).toBe(before);
  });

  it('sends nothing on that has been sent on already', async () => {
    const [first, second] = await startTwoProxies();
    const location = await first.client.begin('a');
    const authorization = new ForwardPass(clusterToken, systemClock).write('ci', 'a' as Repository);
    const before = first.requests.length;
    const answer = await second.client.call('GET', location, { headers: { authorization } });
    expect([answer.status, ...answer.codes]).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
    expect(first.requests.length).toBe(before);
  });

  it('takes the refusal of another proxy for a fault of the cluster, not of the client', async () => {
    const [first, second] = await startTwoProxies({
      access: {
        admit: async (authorization) => {
          if (authorization !== 'Basic eA==') throw new AuthenticationRequiredError('log in', 'Basic realm="r"');
          return { name: 'x', may: () => true, pullsEverything: true };
        },
      },
      // The second one's clock is far ahead, so that its signed word has no worth to the first.
      secondClock: { monotonicMs: () => 0, nowMs: () => systemClock.nowMs() + 60 * 60 * 1000 },
    });
    const headers = { authorization: 'Basic eA==' };
    const begun = await first.client.call('POST', '/v2/a/blobs/uploads/', { headers });
    const answer = await second.client.call('PATCH', begun.headers.get('location')!, { headers, body: 'x' });
    expect([answer.status, ...answer.codes, answer.headers.get('www-authenticate')]).toEqual([
      503,
      'UNAVAILABLE',
      null,
    ]);
  });
});

describe('the members of a cluster of proxies', () => {
  const deps = { clusterToken, logger: testLogger(), clock: systemClock };

  it('are none for a single proxy', () => {
    expect(UploadForwarding.open({ proxies: [] }, deps)).toBeUndefined();
  });

  it.each([undefined, 'http://c'])('have to name the proxy itself (%s)', (selfUrl) => {
    const config = { proxies: ['http://a', 'http://b/'], ...(selfUrl === undefined ? {} : { selfUrl }) };
    expect(() => UploadForwarding.open(config, deps)).toThrow(ConfigError);
  });

  it('are the same with and without a slash at the end', async () => {
    await UploadForwarding.open({ proxies: ['http://a', 'http://b/'], selfUrl: 'http://b' }, deps)!.close();
  });
});

/** A driver's writer that takes no byte before `until`. */
function heldBack(driver: StorageDriver, until: Promise<void>): StorageDriver['writer'] {
  return async (...call) => {
    const writer = await driver.writer(...call);
    return new Proxy(writer, {
      get(target, key) {
        if (key === 'write') return (bytes: Buffer) => until.then(() => target.write(bytes));
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  };
}

function* chunksOf(count: number): Iterable<Buffer> {
  for (let index = 0; index < count; index += 1) yield Buffer.alloc(1024 * 1024);
}
