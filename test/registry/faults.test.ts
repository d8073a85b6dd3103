import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { DigestMismatchError, hashBytes, NoSpaceError, UnavailableError } from '../../src/core/index.ts';
import {
  PermissionError,
  type StorageDriver,
  StorageFullError,
  StorageInternalError,
  StorageUnavailableError,
} from '../../src/driver/index.ts';
import { formatPath } from '../../src/pathparser/index.ts';
import { answerTo, bytesOf } from './client.ts';
import { memoryDriver, serveRegistry } from './running-registry.ts';
import { wrapDriver } from './wrapped-driver.ts';

const secret = '/docker/registry/v2/secret-path';
const blob = bytesOf('faults', 300_000);
const digest = hashBytes(blob);

describe('a registry whose storage fails', () => {
  it.each([
    [new StorageUnavailableError('s3', secret, 'timeout at 10.0.0.1'), 503, 'UNAVAILABLE', '5'],
    [new UnavailableError('origin 10.0.0.1 does not answer'), 503, 'UNAVAILABLE', '5'],
    [new StorageFullError('filesystem', secret), 507, 'UNAVAILABLE', null],
    [new NoSpaceError('10.0.0.1 is full'), 507, 'UNAVAILABLE', null],
    [new PermissionError('filesystem', secret), 500, 'UNKNOWN', null],
    [new StorageInternalError('filesystem', secret, 'broken at 10.0.0.1'), 500, 'UNKNOWN', null],
    [new TypeError('undefined of 10.0.0.1'), 500, 'UNKNOWN', null],
  ])('answers %s with %i and nothing of what lies behind', async (error, status, code, retryAfter) => {
    const fails = () => Promise.reject(error);
    const driver = wrapDriver(await memoryDriver(), { getContent: fails, stat: fails, putContent: fails });
    const { client } = await serveRegistry(driver);
    const answers = [
      await client.call('GET', `/v2/a/blobs/${digest}`),
      await client.call('GET', '/v2/a/manifests/v1'),
      await client.call('POST', '/v2/a/blobs/uploads/'),
    ];
    for (const answer of answers) {
      expect([answer.status, ...answer.codes]).toEqual([status, code]);
      expect(answer.headers.get('retry-after')).toBe(retryAfter);
      expect(answer.body.toString()).not.toMatch(/secret|10\.0\.0\.1/);
    }
  });

  it('keeps the upload when the last step fails, and takes the same PUT again', async () => {
    let failures = 2;
    const memory = await memoryDriver();
    const driver = wrapDriver(memory, {
      move: async (...call) => {
        failures -= 1;
        if (failures >= 0) throw new StorageUnavailableError('s3', secret, 'timeout');
        await memory.move(...call);
      },
    });
    const { client } = await serveRegistry(driver);
    const location = await client.begin('a');
    const put = { body: blob };
    expect((await client.call('PUT', `${location}?digest=${digest}`, put)).status).toBe(503);
    expect((await client.call('HEAD', `/v2/a/blobs/${digest}`)).status).toBe(404);
    const status = await client.call('GET', location);
    expect([status.status, status.headers.get('range')]).toEqual([204, `0-${blob.length - 1}`]);
    expect((await client.call('PUT', `${location}?digest=${digest}`)).status).toBe(503);
    const more = await client.call('PATCH', location, { body: 'more' });
    expect([more.status, ...more.codes]).toEqual([416, 'RANGE_INVALID']);
    expect((await client.call('PUT', `${location}?digest=${digest}`)).status).toBe(201);
    expect((await client.call('GET', `/v2/a/blobs/${digest}`)).body.equals(blob)).toBe(true);
  });

  it('says so in mid-body when the storage is full, instead of cutting the connection', async () => {
    const memory = await memoryDriver();
    const driver = wrapDriver(memory, {
      writer: async (...call) => {
        const writer = await memory.writer(...call);
        const write = () => Promise.reject(new StorageFullError('filesystem', secret));
        return new Proxy(writer, {
          get(target, key) {
            if (key === 'write') return write;
            const value: unknown = Reflect.get(target, key, target);
            return typeof value === 'function' ? value.bind(target) : value;
          },
        });
      },
    });
    const { client } = await serveRegistry(driver);
    const request = client.open('PATCH', await client.begin('a'), { 'content-length': '10000000' });
    const answer = answerTo(request);
    request.write(blob);
    expect((await answer).statusCode).toBe(507);
    request.on('error', () => undefined).destroy();
  });

  it('leaves nothing of an upload in one POST that failed', async () => {
    const memory = await memoryDriver();
    const driver = wrapDriver(memory, {
      move: () => Promise.reject(new StorageUnavailableError('s3', secret, 'timeout')),
    });
    const { client } = await serveRegistry(driver);
    expect((await client.call('POST', `/v2/a/blobs/uploads/?digest=${digest}`, { body: blob })).status).toBe(503);
    const left: string[] = [];
    for await (const file of memory.walk('/')) if (!file.isDirectory) left.push(file.path);
    expect(left).toEqual([]);
  });

  it('never links a blob that is not there, nor tags a manifest that is not', async () => {
    const memory = await memoryDriver();
    const written: string[] = [];
    const driver = wrapDriver(memory, {
      putContent: async (path, ...rest) => {
        await memory.putContent(path, ...rest);
        written.push(path);
      },
      move: async (source, destination, context) => {
        await memory.move(source, destination, context);
        written.push(destination);
      },
    });
    const { client } = await serveRegistry(driver);
    const layer = Buffer.from('layer of order');
    const { digest: manifest } = await client.putImage('a', ['v1'], 'order');
    const at = (path: string) => written.indexOf(path);
    const repository = 'a' as never;
    const order = [
      formatPath({ kind: 'blob-data', digest: hashBytes(layer) }),
      formatPath({ kind: 'layer-link', repository, digest: hashBytes(layer) }),
      formatPath({ kind: 'blob-data', digest: manifest }),
      formatPath({ kind: 'revision-link', repository, digest: manifest }),
      formatPath({ kind: 'tag-index-link', repository, tag: 'v1' as never, digest: manifest }),
      formatPath({ kind: 'tag-current-link', repository, tag: 'v1' as never }),
    ].map(at);
    expect(order).not.toContain(-1);
    expect(order).toEqual([...order].sort((left, right) => left - right));
  });

  it('gives every call a signal and the repository', async () => {
    const memory = await memoryDriver();
    const without: string[] = [];
    const checked = new Proxy(memory, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== 'function') return value;
        return (...call: { signal?: unknown; repository?: unknown }[]) => {
          const context = call.at(-1);
          const cleaning = key === 'delete' && String(call[0]).includes('/_uploads/');
          if (context?.repository !== 'a' || (context.signal === undefined && !cleaning)) without.push(String(key));
          return value.apply(target, call);
        };
      },
    });
    const { client } = await serveRegistry(checked);
    await client.putImage('a', ['v1']);
    await client.putBlob('a', blob);
    for (const path of [`blobs/${digest}`, 'manifests/v1', 'tags/list', `referrers/${digest}`]) {
      expect((await client.call('GET', `/v2/a/${path}`)).status).toBe(200);
    }
    await client.call('DELETE', `/v2/a/blobs/${digest}`);
    await client.call('DELETE', '/v2/a/manifests/v1');
    expect(without).toEqual([]);
  });
});

describe('a registry whose storage gives other bytes than it has taken', () => {
  const changed = Buffer.from(blob);
  changed[changed.length - 1]! ^= 1;
  const bodies: [string, () => Readable][] = [
    ['fewer bytes', () => Readable.from(slices(blob.subarray(0, 200_000)))],
    ['more bytes', () => Readable.from(slices(Buffer.concat([blob, Buffer.from('more')])))],
    ['a changed byte', () => Readable.from(slices(changed))],
    ['an error in the middle', () => Readable.from(failing(...slices(blob.subarray(0, 200_000))))],
  ];

  it.each(bodies)('breaks the answer off instead of ending it: %s', async (_what, reader) => {
    const { client } = await serveRegistry(wrapDriver(await storedBlob(), { reader: async () => reader() }));
    const request = client.open('GET', `/v2/a/blobs/${digest}`);
    const answer = answerTo(request);
    request.end();
    const received: Buffer[] = [];
    const broken = (async () => {
      for await (const chunk of await answer) received.push(chunk as Buffer);
    })();
    await expect(broken).rejects.toThrow();
    expect(received.length).toBeGreaterThan(0);
    expect(Buffer.concat(received).length).toBeLessThan(blob.length);
  });

  it('breaks off an answer of several parts at the one that is not whole, and closes what it reads', async () => {
    const opened: Readable[] = [];
    const memory = await storedBlob();
    const reader: StorageDriver['reader'] = async (_path, { offset, length = 0 } = { offset: 0 }) => {
      const source = Readable.from(slices(blob.subarray(offset, offset + (offset === 0 ? length : length - 1))));
      opened.push(source);
      return source;
    };
    const { client } = await serveRegistry(wrapDriver(memory, { reader }));
    const headers = { range: 'bytes=0-99,1000-200000,250000-' };
    await expect(client.call('GET', `/v2/a/blobs/${digest}`, { headers })).rejects.toThrow();
    expect(opened.map(({ destroyed }) => destroyed)).toEqual([true, true]);
  });

  it('answers several ranges with an error while the storage does not answer', async () => {
    const reader = () => Promise.reject(new StorageUnavailableError('s3', secret, 'timeout'));
    const { client } = await serveRegistry(wrapDriver(await storedBlob(), { reader }));
    const answer = await client.call('GET', `/v2/a/blobs/${digest}`, { headers: { range: 'bytes=0-9,20-29' } });
    expect([answer.status, ...answer.codes]).toEqual([503, 'UNAVAILABLE']);
  });

  it('answers with an error that nobody keeps when the first byte fails', async () => {
    const reader = async () => Readable.from(failing());
    const { client } = await serveRegistry(wrapDriver(await storedBlob(), { reader }));
    const answer = await client.call('GET', `/v2/a/blobs/${digest}`, { headers: { range: 'bytes=0-9' } });
    expect([answer.status, ...answer.codes]).toEqual([503, 'UNAVAILABLE']);
    for (const header of ['etag', 'cache-control', 'docker-content-digest', 'content-range', 'accept-ranges']) {
      expect([header, answer.headers.get(header)]).toEqual([header, null]);
    }
  });

  it('does not hash what the driver verifies by itself', async () => {
    const memory = await storedBlob();
    const capabilities = { ...memory.capabilities, verifiesBlobs: true };
    const driver = wrapDriver(memory, { capabilities, reader: async () => Readable.from([changed]) });
    const { client } = await serveRegistry(driver);
    expect((await client.call('GET', `/v2/a/blobs/${digest}`)).body.equals(changed)).toBe(true);
  });

  it('does not serve a manifest that has been damaged', async () => {
    const memory = await memoryDriver();
    const { client } = await serveRegistry(memory);
    const image = await client.putImage('a', ['v1']);
    await memory.putContent(formatPath({ kind: 'blob-data', digest: image.digest }), image.bytes.subarray(1));
    const answer = await client.call('GET', '/v2/a/manifests/v1');
    expect([answer.status, ...answer.codes]).toEqual([500, 'UNKNOWN']);
  });

  it('takes a tag whose link holds no digest for one that is gone', async () => {
    const memory = await memoryDriver();
    const { client } = await serveRegistry(memory);
    await client.putImage('a', ['v1']);
    const link = formatPath({ kind: 'tag-current-link', repository: 'a' as never, tag: 'v1' as never });
    await memory.putContent(link, Buffer.alloc(0));
    expect((await client.call('GET', '/v2/a/manifests/v1')).codes).toEqual(['MANIFEST_UNKNOWN']);
  });
});

describe('a registry and its driver', () => {
  it('never opens a reader for HEAD, for 304, or for what is not in the repository', async () => {
    const reader = () => Promise.reject(new Error('a reader was opened'));
    const { client } = await serveRegistry(wrapDriver(await storedBlob(), { reader }));
    const path = `/v2/a/blobs/${digest}`;
    expect((await client.call('HEAD', path)).status).toBe(200);
    expect((await client.call('HEAD', path, { headers: { range: 'bytes=0-9' } })).status).toBe(206);
    expect((await client.call('GET', path, { headers: { 'if-none-match': digest } })).status).toBe(304);
    expect((await client.call('GET', path, { headers: { range: 'bytes=9999999-' } })).status).toBe(416);
    expect((await client.call('GET', `/v2/b/blobs/${digest}`)).status).toBe(404);
    expect((await client.call('GET', path)).status).toBe(500);
  });

  it('sends the client where the driver says', async () => {
    const memory = await storedBlob();
    const capabilities = { ...memory.capabilities, redirect: true };
    const redirectURL = async (path: string, { method }: { method: string }) =>
      method === 'GET' ? `https://bucket.example${path}?signed` : undefined;
    const { client } = await serveRegistry(wrapDriver(memory, { capabilities, redirectURL }));
    const answer = await client.call('GET', `/v2/a/blobs/${digest}`);
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([307, 'no-store']);
    expect(answer.headers.get('location')).toContain('https://bucket.example/docker/registry/v2/blobs/sha256/');
    expect((await client.call('HEAD', `/v2/a/blobs/${digest}`)).status).toBe(200);
  });

  it('leaves the check of the digest to a driver that does it', async () => {
    const memory = await memoryDriver();
    const capabilities = { ...memory.capabilities, verifiesBlobs: true };
    const move: StorageDriver['move'] = async (source, destination, context) => {
      const got = hashBytes(await memory.getContent(source));
      if (!destination.includes(got.slice('sha256:'.length))) throw new DigestMismatchError('other bytes');
      await memory.move(source, destination, context);
    };
    const reader = () => Promise.reject(new Error('the upload was read back'));
    const { client } = await serveRegistry(wrapDriver(memory, { capabilities, move, reader }));
    await client.putBlob('a', blob);
    const location = await client.begin('a');
    const refused = await client.call('PUT', `${location}?digest=${digest}`, { body: 'other' });
    expect([refused.status, ...refused.codes]).toEqual([400, 'DIGEST_INVALID']);
    expect((await client.call('GET', location)).status).toBe(404);
    expect((await client.call('HEAD', `/v2/a/blobs/${digest}`)).status).toBe(200);
  });

  it('reads an upload back when its hash is not in memory any more', async () => {
    const { client } = await serveRegistry(await memoryDriver(), { uploads: { maxRunningHashes: 1 } });
    const [first, second] = [await client.begin('a'), await client.begin('a')];
    for (const location of [first, second]) await client.call('PATCH', location, { body: blob });
    expect((await client.call('PUT', `${first}?digest=${digest}`)).status).toBe(201);
    const third = await client.begin('a');
    await client.call('PATCH', third, { body: 'crowds the second out' });
    const refused = await client.call('PUT', `${second}?digest=${hashBytes(Buffer.from('x'))}`);
    expect([refused.status, ...refused.codes]).toEqual([400, 'DIGEST_INVALID']);
    expect((await client.call('GET', second)).status).toBe(404);
  });

  it('closes every reader and writer of clients that leave', async () => {
    const memory = await storedBlob();
    let open = 0;
    const driver = wrapDriver(memory, {
      reader: async (...call) => {
        const stream = await memory.reader(...call);
        open += 1;
        return stream.once('close', () => (open -= 1));
      },
      writer: async (...call) => {
        const writer = await memory.writer(...call);
        open += 1;
        let closed = false;
        return wrapWriter(writer, () => {
          if (!closed) open -= 1;
          closed = true;
        });
      },
    });
    const { client } = await serveRegistry(driver);
    const leaving = Array.from({ length: 10 }, async (_, index) => {
      if (index % 2 === 0) {
        const request = client.open('GET', `/v2/a/blobs/${digest}`);
        const answer = answerTo(request);
        request.end();
        (await answer).on('error', () => undefined).once('data', () => request.destroy());
      } else {
        const request = client.open('PATCH', await client.begin('a'), { 'content-length': '1000000' });
        const closed = new Promise((resolve) => request.on('error', () => undefined).once('close', resolve));
        request.write(blob.subarray(0, 1000), () => setImmediate(() => request.destroy()));
        await closed;
      }
    });
    await Promise.all(leaving);
    await expect.poll(() => open).toBe(0);
  });

  it('gives a silent client up and keeps what it sent', async () => {
    const { client } = await serveRegistry(await memoryDriver(), { uploads: { idleTimeoutMs: 50 } });
    const location = await client.begin('a');
    const silent = client.open('PATCH', location, { 'content-length': String(blob.length) });
    const gone = answerTo(silent);
    silent.write(blob.subarray(0, 1000));
    await expect(gone).rejects.toThrow();
    const headers = { 'content-range': `1000-${blob.length - 1}` };
    const rest = await client.call('PATCH', location, { body: blob.subarray(1000), headers });
    expect(rest.status).toBe(202);
    expect((await client.call('PUT', `${location}?digest=${digest}`)).status).toBe(201);
  });
});

async function storedBlob(): Promise<StorageDriver> {
  const driver = await memoryDriver();
  const { client } = await serveRegistry(driver);
  await client.putBlob('a', blob);
  return driver;
}

function slices(bytes: Buffer): Buffer[] {
  const count = Math.ceil(bytes.length / 50_000);
  return Array.from({ length: count }, (_, index) => bytes.subarray(index * 50_000, (index + 1) * 50_000));
}

async function* failing(...first: Buffer[]): AsyncIterable<Buffer> {
  yield* first;
  throw new StorageUnavailableError('s3', secret, 'connection lost');
}

function wrapWriter(
  writer: Awaited<ReturnType<StorageDriver['writer']>>,
  closed: () => void,
): Awaited<ReturnType<StorageDriver['writer']>> {
  return new Proxy(writer, {
    get(target, key) {
      if (key === 'close') return () => target.close().finally(closed);
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
