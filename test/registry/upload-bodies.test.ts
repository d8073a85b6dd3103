import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { hashBytes } from '../../src/core/index.ts';
import type { StorageDriver } from '../../src/driver/index.ts';
import { bytesOf, type TestClient } from './client.ts';
import { folderDriver, memoryDriver, serveRegistry } from './running-registry.ts';
import { wrapDriver } from './wrapped-driver.ts';

/** Other tests may have the machine busy. */
const soon = { timeout: 10_000 };

const blob = bytesOf('bodies', 5000);
const digest = hashBytes(blob);
const idleTimeoutMs = 150;

/** A connection on which a test sends whatever it likes. */
interface Wire {
  readonly socket: Socket;
  /** All that came back so far. */
  received(): string;
  /** Resolves when the server has closed the connection. */
  readonly closed: Promise<unknown>;
}

async function wireTo(client: TestClient, request: string): Promise<Wire> {
  const { hostname, port } = new URL(client.url);
  const socket = connect(Number(port), hostname);
  onTestFinished(() => void socket.destroy());
  let text = '';
  socket.on('data', (bytes) => (text += bytes.toString('latin1'))).on('error', () => undefined);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  await once(socket, 'connect');
  socket.write(request.replaceAll('\n', '\r\n'));
  return { socket, received: () => text, closed };
}

function head(method: string, path: string, ...headers: string[]): string {
  return [`${method} ${path} HTTP/1.1`, 'Host: registry', ...headers, '', ''].join('\n');
}

async function rangeOf(client: TestClient, location: string): Promise<string | null> {
  return (await client.call('GET', location)).headers.get('range');
}

/** Sends the rest from where the upload stands, and expects the blob. */
async function finish(client: TestClient, location: string): Promise<void> {
  const range = (await rangeOf(client, location)) ?? '';
  const size = range === '0-0' ? 0 : Number(range.split('-')[1]) + 1;
  const headers = { 'content-range': `${size}-${blob.length - 1}` };
  const put = await client.call('PUT', `${location}?digest=${digest}`, { body: blob.subarray(size), headers });
  expect(put.status).toBe(201);
  expect((await client.call('GET', `/v2/a/blobs/${digest}`)).body.equals(blob)).toBe(true);
}

describe('an upload whose body lies', () => {
  it('takes no more than Content-Length says: what follows is another request, and none', async () => {
    const { client } = await serveRegistry(await memoryDriver(), { uploads: { idleTimeoutMs } });
    const location = await client.begin('a');
    const { socket, closed, received } = await wireTo(client, head('PATCH', location, 'Content-Length: 1000'));
    socket.write(blob.subarray(0, 3000));
    await closed;
    expect(received()).toContain('HTTP/1.1 400 ');
    await expect.poll(() => statusOfEmptyPatch(client, location), soon).toBe(202);
    expect(await rangeOf(client, location)).toBe('0-999');
    await finish(client, location);
  });

  it('keeps what came of one that ends before its Content-Length', async () => {
    const { client } = await serveRegistry(await memoryDriver(), { uploads: { idleTimeoutMs } });
    const location = await client.begin('a');
    const { socket, closed } = await wireTo(client, head('PATCH', location, 'Content-Length: 5000'));
    socket.end(blob.subarray(0, 3000));
    await closed;
    await expect.poll(() => rangeOf(client, location), soon).toBe('0-2999');
    await expect.poll(() => statusOfEmptyPatch(client, location), soon).toBe(202);
    await finish(client, location);
  });

  it.each([
    ['two lengths', ['Content-Length: 5', 'Content-Length: 6']],
    ['a length and chunks', ['Content-Length: 5', 'Transfer-Encoding: chunked']],
    ['a length that is none', ['Content-Length: five']],
    ['a negative length', ['Content-Length: -5']],
    ['chunks within something else', ['Transfer-Encoding: chunked, gzip']],
  ])('refuses %s, whoever may be in between', async (_what, headers) => {
    const { client } = await serveRegistry(await memoryDriver(), { uploads: { idleTimeoutMs } });
    const location = await client.begin('a');
    const { socket, closed, received } = await wireTo(client, head('PATCH', location, ...headers));
    socket.write('12345');
    await closed;
    expect(received()).toMatch(/^HTTP\/1\.1 400 /);
    expect(await rangeOf(client, location)).toBe('0-0');
    await finish(client, location);
  });

  it.each([
    ['a chunk length that is none', 'zz\r\n12345\r\n'],
    ['a chunk that is longer than it says', '3\r\n12345\r\n0\r\n\r\n'],
  ])('keeps what came before %s', async (_what, chunk) => {
    const { client } = await serveRegistry(await memoryDriver(), { uploads: { idleTimeoutMs } });
    const location = await client.begin('a');
    const { socket, closed } = await wireTo(client, head('PATCH', location, 'Transfer-Encoding: chunked'));
    socket.write(Buffer.concat([Buffer.from('3e8\r\n'), blob.subarray(0, 1000), Buffer.from('\r\n')]));
    await expect.poll(() => rangeOf(client, location), soon).toBe('0-999');
    socket.write(chunk);
    await closed;
    await expect.poll(() => statusOfEmptyPatch(client, location), soon).toBe(202);
    // What of the broken chunk was counted as sent is the client's to find out: it is asked, as after any break.
    const range = await rangeOf(client, location);
    expect(['0-999', '0-1002']).toContain(range);
    if (range === '0-999') await finish(client, location);
  });
});

describe('an upload whose body does not end', () => {
  it('is given up between two bytes that are too far apart, and goes on from what came', async () => {
    const { client } = await serveRegistry(await memoryDriver(), { uploads: { idleTimeoutMs } });
    const location = await client.begin('a');
    const { socket, closed } = await wireTo(client, head('PATCH', location, 'Transfer-Encoding: chunked'));
    let sent = 0;
    const drip = setInterval(() => {
      socket.write(Buffer.concat([Buffer.from('1\r\n'), blob.subarray(sent, sent + 1), Buffer.from('\r\n')]));
      sent += 1;
    }, 4 * idleTimeoutMs);
    onTestFinished(() => clearInterval(drip));
    await closed;
    clearInterval(drip);
    expect(sent).toBeLessThan(2);
    await expect.poll(() => statusOfEmptyPatch(client, location), soon).toBe(202);
    await finish(client, location);
  });

  it('is given up too after it was answered, instead of holding the connection for ever', async () => {
    const { client } = await serveRegistry(await memoryDriver(), { uploads: { idleTimeoutMs } });
    const location = await client.begin('a');
    const requests = [
      head('PATCH', location, 'Content-Range: 7-1000006', 'Content-Length: 1000000'),
      head('PATCH', '/v2/a/blobs/uploads/unknown', 'Content-Length: 1000000'),
      head('PUT', location, 'Content-Length: 1000000'),
      head('PUT', `${location}?digest=${digest}`, 'Content-Range: 7-8', 'Transfer-Encoding: chunked'),
    ];
    for (const request of requests) {
      const { closed, received } = await wireTo(client, request);
      await closed;
      expect(received()).toMatch(/^HTTP\/1\.1 4(00|04|16) /);
    }
    await finish(client, location);
  });

  it('lets a client that ends its body in time go on with the connection after a refusal', async () => {
    const { client } = await serveRegistry(await memoryDriver(), { uploads: { idleTimeoutMs: 60_000 } });
    const location = await client.begin('a');
    const request = head('PATCH', location, 'Content-Range: 7-10', 'Content-Length: 4');
    const { socket, received } = await wireTo(client, request);
    await expect.poll(received, soon).toMatch(/^HTTP\/1\.1 416 /);
    socket.write(`late${head('GET', location).replaceAll('\n', '\r\n')}`);
    await expect.poll(received, soon).toContain('HTTP/1.1 204 ');
  });

  it('costs nothing that lasts, however many there are at once', async () => {
    const { client, app } = await serveRegistry(await folderDriver(), { uploads: { idleTimeoutMs: 1000 } });
    const locations = await Promise.all(Array.from({ length: 100 }, () => client.begin('a')));
    const before = await connectionsOf(app.server);
    const wires = await Promise.all(
      locations.map(async (location) => {
        const wire = await wireTo(client, head('PATCH', location, 'Content-Length: 5000'));
        wire.socket.write(blob.subarray(0, 2000));
        return wire;
      }),
    );
    await Promise.all(wires.map(({ closed }) => closed));
    await expect.poll(() => connectionsOf(app.server), soon).toBeLessThanOrEqual(before);
    for (const location of [locations[0]!, locations[50]!, locations[99]!]) {
      expect(await rangeOf(client, location)).toBe('0-1999');
      await expect.poll(() => statusOfEmptyPatch(client, location), soon).toBe(202);
      await finish(client, location);
    }
  });

  it('does not fill the memory while the storage is slow', async () => {
    const held = Promise.withResolvers<void>();
    const driver = await memoryDriver();
    const { client } = await serveRegistry(wrapDriver(driver, { writer: heldBack(driver, held.promise) }));
    const locations = await Promise.all(Array.from({ length: 40 }, () => client.begin('a')));
    const before = memoryInUse();
    const chunk = Buffer.alloc(64 * 1024);
    let sent = 0;
    const wires = await Promise.all(
      locations.map(async (location) => {
        const wire = await wireTo(client, head('PATCH', location, 'Content-Length: 1000000000'));
        const pump = () => {
          while (!wire.socket.destroyed && wire.socket.write(chunk)) sent += chunk.length;
        };
        wire.socket.on('drain', pump);
        pump();
        return wire;
      }),
    );
    // Until nobody takes anything any more.
    for (let earlier = -1; earlier < sent; ) {
      earlier = sent;
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
    // A few buffers a connection, and not what the clients would send: 40 GB.
    expect(memoryInUse() - before).toBeLessThan(40 * 1024 * 1024);
    for (const { socket } of wires) socket.destroy();
    held.resolve();
  });
});

/** 202 once nobody else writes to the upload. */
async function statusOfEmptyPatch(client: TestClient, location: string): Promise<number> {
  return (await client.call('PATCH', location)).status;
}

function connectionsOf(server: { getConnections(done: (error: Error | null, count: number) => void): unknown }) {
  return new Promise<number>((resolve, reject) => {
    server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)));
  });
}

function memoryInUse(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

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
