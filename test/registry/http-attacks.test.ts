import { describe, expect, it, onTestFinished } from 'vitest';
import { hashBytes } from '../../src/core/index.ts';
import { bytesOf, TestClient } from './client.ts';
import { RawConnection } from './raw-connection.ts';
import { memoryDriver } from './running-registry.ts';
import { type ServedRegistry, type ServerTimes, startServedRegistry } from './served-registry.ts';

/** Of everything that a client may keep the server waiting for; people have much longer. */
const PATIENCE_MS = 400;
/** Until a connection has to be closed: the server looks for late ones now and then. */
const CLOSED_MS = 8_000;
const IDLE_CONNECTIONS = 1_000;

const host = 'Host: registry.example\r\n';
/** What an attacker wants done by hiding it behind another request. */
const hidden = `DELETE /v2/a/manifests/v1 HTTP/1.1\r\n${host}\r\n`;

describe('a registry whose clients break the rules of HTTP', () => {
  it.each([
    ['both lengths', 'Content-Length: 5\r\nTransfer-Encoding: chunked'],
    ['both lengths, the other way round', 'Transfer-Encoding: chunked\r\nContent-Length: 5'],
    ['two lengths', 'Content-Length: 0\r\nContent-Length: 44'],
    ['two lengths in one', 'Content-Length: 0, 44'],
    ['a length with a sign', 'Content-Length: +0'],
    ['a negative length', 'Content-Length: -1'],
    ['a length in hexadecimal', 'Content-Length: 0x2c'],
    ['a length that no number holds', 'Content-Length: 99999999999999999999'],
    ['an unknown encoding', 'Transfer-Encoding: xchunked'],
    ['an encoding that does not end in chunked', 'Transfer-Encoding: chunked, identity'],
    ['two encodings', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked'],
    ['a space before the colon', 'Transfer-Encoding : chunked'],
    ['a space before the name', ' Transfer-Encoding: chunked'],
    ['a control character before the value', 'Transfer-Encoding:\x0bchunked'],
    ['a header that is folded', 'X-A: b\r\n Content-Length: 44'],
    ['a line end without a carriage return', 'X-A: b\nContent-Length: 44'],
    ['a null in a value', 'X-A: b\0'],
  ])('refuses a request with %s, and does not do what is hidden behind it', async (_what, header) => {
    const { registry, client } = await served();
    const connection = await open(registry);
    connection.write(`POST /v2/a/tags/list HTTP/1.1\r\n${host}${header}\r\n\r\n0\r\n\r\n${hidden}`);
    expect((await connection.answer('POST'))?.status).toBe(400);
    await closedInTime(connection);
    await expectWell(client);
  });

  it.each([
    ['a chunk whose length is none', '5\r\n01234\r\nzz\r\n'],
    ['a chunk longer than it says', '5\r\n0123456789\r\n0\r\n\r\n'],
    ['a chunk of more bytes than there are', 'ffffffffffffffffff\r\n01234\r\n'],
    ['a negative chunk', '-5\r\n01234\r\n'],
  ])('closes the connection of a body with %s', async (_what, body) => {
    const { registry, client } = await served();
    for (const start of [`PATCH ${await client.begin('a')}`, 'PUT /v2/a/manifests/v2', 'PUT /v2/nothing']) {
      const connection = await open(registry);
      connection.write(`${start} HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n${body}${hidden}`);
      await closedInTime(connection);
    }
    await expectWell(client);
  });

  it.each([
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    ['TLS', Buffer.from('16030100a5010000a10303', 'hex'), 400],
    ['no Host', 'GET /v2/ HTTP/1.1\r\n\r\n', 400],
    ['lines without carriage returns', 'GET /v2/ HTTP/1.1\nHost: x\n\n', 400],
    ['a space in the path', `GET /v2/a b/tags/list HTTP/1.1\r\n${host}\r\n`, 400],
    ['another protocol', 'HELO registry.example\r\n\r\n', 400],
    ['a path of 20 000 characters', `GET /v2/${'a'.repeat(20_000)} HTTP/1.1\r\n${host}\r\n`, 431],
    ['a header of 20 000 characters', `GET /v2/ HTTP/1.1\r\n${host}X-A: ${'b'.repeat(20_000)}\r\n\r\n`, 431],
    ['3000 headers', `GET /v2/ HTTP/1.1\r\n${host}${'X-A: b\r\n'.repeat(3000)}\r\n`, 431],
  ])('answers %s and closes', async (_what, sent, status) => {
    const { registry, client } = await served();
    const connection = await open(registry);
    connection.write(sent);
    expect((await connection.answer())?.status).toBe(status);
    await closedInTime(connection);
    await expectWell(client);
  });

  it('takes a request as a client sends it that takes the registry for its proxy', async () => {
    const { registry, client } = await served();
    const connection = await open(registry);
    for (const [path, status] of [
      ['http://registry.example/v2/', 200],
      ['HTTP://other.example:5000/v2/a/manifests/v1?x=http://y/', 200],
      ['http://registry.example/v2/a/manifests/none', 404],
      ['http://registry.example/v2/_catalog?n=x', 400],
    ] as const) {
      connection.write(`GET ${path} HTTP/1.1\r\n${host}\r\n`);
      expect([path, (await connection.answer())?.status]).toEqual([path, status]);
    }
    await expectWell(client);
  });

  it('keeps apart what comes behind a body that is longer than it says', async () => {
    const { registry, client } = await served();
    const location = await client.begin('a');
    const connection = await open(registry);
    connection.write(`PATCH ${location} HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\n0123456789`);
    await closedInTime(connection);
    // The connection may have been cut before the body was written; what does not belong to it never is.
    expect(['0-4', '0-0']).toContain((await client.call('GET', location)).headers.get('range'));
    const all = hashBytes(Buffer.from('0123456789'));
    expect((await client.call('PUT', `${location}?digest=${all}`)).codes).toEqual(['DIGEST_INVALID']);
    await expectWell(client);
  });

  it.each([
    ['an upload', async (client: TestClient) => `PATCH ${await client.begin('a')}`],
    [
      'the end of an upload',
      async (client: TestClient) => `PUT ${await client.begin('a')}?digest=${hashBytes(Buffer.from('x'))}`,
    ],
    ['a blob in one request', async () => `POST /v2/a/blobs/uploads/?digest=${hashBytes(Buffer.from('x'))}`],
    ['a manifest', async () => 'PUT /v2/a/manifests/v2'],
    ['a path that is none', async () => 'PUT /v2/nothing'],
    ['the base', async () => 'GET /v2/'],
  ])('closes the connection of a client that announces a body for %s and does not send it', async (_what, start) => {
    const { registry, client } = await served();
    const connection = await open(registry);
    connection.write(`${await start(client)} HTTP/1.1\r\n${host}Content-Length: 1000\r\n\r\n0123456789`);
    await expectWell(client);
    await closedInTime(connection);
    await expect.poll(() => registry.sockets.size, { timeout: 5_000 }).toBe(0);
  });

  it('does not read a manifest for ever', async () => {
    const { registry, client } = await served();
    const connection = await open(registry);
    connection.write(`PUT /v2/a/manifests/v2 HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n`);
    const part = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(65_536, ' '), Buffer.from('\r\n')]);
    for (let sent = 0; sent < 80; sent += 1) connection.write(part);
    expect((await connection.answer('PUT'))?.status).toBe(413);
    await expectWell(client);
    await closedInTime(connection);
  });

  it('closes a connection whose head drips', async () => {
    const { registry, client } = await served();
    const connection = await open(registry);
    connection.write('GET /v2/ HTTP/1.1\r\n');
    const dripping = setInterval(() => connection.write('X-A: b\r\n'), PATIENCE_MS / 8);
    onTestFinished(() => clearInterval(dripping));
    expect((await connection.answer())?.status).toBe(408);
    await closedInTime(connection);
    await expectWell(client);
  });

  it(`serves others beside ${IDLE_CONNECTIONS} connections on which nothing comes, and closes those`, async () => {
    const { registry, client } = await served();
    const idle = await Promise.all(Array.from({ length: IDLE_CONNECTIONS }, () => open(registry)));
    const used = await Promise.all(
      Array.from({ length: 50 }, async () => {
        const connection = await open(registry);
        connection.write(`GET /v2/ HTTP/1.1\r\n${host}\r\n`);
        expect((await connection.answer())?.status).toBe(200);
        return connection;
      }),
    );
    await expectWell(client);
    await Promise.all([...idle, ...used].map(closedInTime));
    await expectWell(client);
  });

  it('says in the form of the API that a path cannot be read', async () => {
    const { registry, client } = await served();
    const connection = await open(registry);
    for (const path of ['/v2/a%zz/tags/list', '/v2/a/manifests/%ff', '/v2/%']) {
      connection.write(`GET ${path} HTTP/1.1\r\n${host}\r\n`);
      const answer = await connection.answer();
      expect(answer?.status).toBe(400);
      expect(JSON.parse(answer!.body.toString())).toMatchObject({ errors: [{ code: 'NAME_INVALID' }] });
    }
    await expectWell(client);
  });

  it('closes the connection of a client that does not read what it has asked for', async () => {
    const { registry, client } = await served({ timeout: PATIENCE_MS });
    const digest = await client.putBlob('a', bytesOf('not read', 20_000_000));
    const connection = await open(registry);
    connection.socket.pause();
    connection.write(`GET /v2/a/blobs/${digest} HTTP/1.1\r\n${host}\r\n`);
    await expect.poll(() => registry.sockets.size, { timeout: CLOSED_MS }).toBe(0);
    await expectWell(client);
  });

  it('answers requests that come all at once in their order', async () => {
    const { registry, client } = await served();
    const connection = await open(registry);
    const paths = Array.from(
      { length: 100 },
      (_, index) => `/v2/a/manifests/${index % 2 === 0 ? 'v1' : `none${index}`}`,
    );
    connection.write(paths.map((path) => `GET ${path} HTTP/1.1\r\n${host}\r\n`).join(''));
    for (const [index, path] of paths.entries()) {
      const answer = await connection.answer();
      expect([path, answer?.status]).toEqual([path, index % 2 === 0 ? 200 : 404]);
      if (index % 2 === 1) expect(answer?.body.toString()).toContain(`none${index}`);
    }
    await expectWell(client);
  });

  it('waits for nobody for ever, as it is shipped', async () => {
    const registry = await startServedRegistry(await memoryDriver());
    onTestFinished(() => registry.close());
    const { headersTimeout, keepAliveTimeout, timeout, maxHeadersCount } = registry.app.server;
    expect(timeout).toBeGreaterThan(0);
    expect(timeout).toBeLessThanOrEqual(3_600_000);
    expect(headersTimeout).toBeGreaterThan(0);
    expect(headersTimeout).toBeLessThanOrEqual(60_000);
    expect(keepAliveTimeout).toBeGreaterThan(0);
    expect(keepAliveTimeout).toBeLessThanOrEqual(120_000);
    expect(maxHeadersCount).not.toBe(0);
  });
});

async function served(times: ServerTimes = {}): Promise<{ registry: ServedRegistry; client: TestClient }> {
  const registry = await startServedRegistry(
    await memoryDriver(),
    { uploads: { idleTimeoutMs: PATIENCE_MS } },
    { headersTimeout: PATIENCE_MS, connectionsCheckingInterval: 100, keepAliveTimeout: PATIENCE_MS, ...times },
  );
  onTestFinished(() => registry.close());
  const client = new TestClient(registry.url);
  await client.putImage('a', ['v1']);
  await client.putBlob('a', bytesOf('large', 100_000));
  return { registry, client };
}

async function open({ port }: ServedRegistry): Promise<RawConnection> {
  const connection = await RawConnection.open(port);
  onTestFinished(() => connection.destroy());
  return connection;
}

/** Fails when the server has not ended the connection in time. */
async function closedInTime(connection: RawConnection): Promise<void> {
  const late = setTimeout(() => connection.destroy(), CLOSED_MS);
  const startMs = performance.now();
  await connection.closed();
  clearTimeout(late);
  expect(performance.now() - startMs).toBeLessThan(CLOSED_MS);
}

/** The next client is answered at once, and nothing of what was hidden has been done. */
async function expectWell(client: TestClient): Promise<void> {
  const startMs = performance.now();
  const answer = await client.call('GET', '/v2/a/manifests/v1');
  expect(answer.status).toBe(200);
  expect(performance.now() - startMs).toBeLessThan(2_000);
}
