import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import { goProgramForThisFile, hasGo } from '../helpers/go-program.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

const root = join(import.meta.dirname, '../..');
const drivers = join(root, 'examples/drivers');
// Skipped only where Go is missing; never in CI.
const go = hasGo() ? goProgramForThisFile(join(drivers, 'registry-storage-folder.go')) : undefined;
const serve = [process.execPath, join(root, 'bin/shoal.js'), 'driver', 'serve', 'filesystem'];
const programs: readonly (readonly [string, () => readonly string[]])[] = [
  ['shoal driver serve filesystem', () => serve],
  ['TypeScript', () => [process.execPath, join(drivers, 'registry-storage-folder.ts')]],
  ['Python', () => ['python3', join(drivers, 'registry-storage-folder.py')]],
  ...(go === undefined ? [] : [['Go', () => [go()]] as const]),
];
const token = '0123456789abcdef';

/** Starts a program without the driver that usually speaks to it. */
async function start([program = '', ...words]: readonly string[]): Promise<string> {
  const folder = await makeTempDir();
  const socketPath = join(folder, 'socket', 's');
  await mkdir(join(folder, 'socket'));
  const environment = {
    PATH: process.env['PATH'],
    REGISTRY_STORAGE_SOCKET: socketPath,
    REGISTRY_STORAGE_TOKEN: token,
    REGISTRY_STORAGE_PROTOCOL: '1',
  };
  const child = spawn(program, words, { env: environment, stdio: ['pipe', 'pipe', 'inherit'] });
  onTestFinished(async () => {
    const ended = once(child, 'exit');
    child.stdin.end();
    await ended;
  });
  child.stdin.write(`${JSON.stringify({ rootdirectory: join(folder, 'root') })}\n`);
  await once(child.stdout, 'data');
  return socketPath;
}

async function call(socketPath: string, method: string, path: string) {
  const sent = request({ socketPath, method, path, headers: { authorization: `Bearer ${token}` } }).end();
  const [response] = await once(sent, 'response');
  const body = await text(response);
  return { status: response.statusCode, body: body === '' ? undefined : JSON.parse(body) };
}

/** Announces 100 bytes, sends 4, and ends the connection; resolves when the program has given it up. */
async function sendCut(socketPath: string, method: string, path: string, headers: readonly string[] = []) {
  const socket = connect(socketPath);
  const head = [`${method} ${path} HTTP/1.1`, 'Host: driver', `Authorization: Bearer ${token}`, 'Content-Length: 100'];
  const closed = once(socket, 'close');
  socket.resume();
  socket.end(`${[...head, ...headers].join('\r\n')}\r\n\r\nhalf`);
  await closed;
}

describe.each(programs)('a body that ends early, sent to the driver program in %s', (_, exec) => {
  it('makes no object, and does not touch the one that is there', async () => {
    const socketPath = await start(exec());
    await sendCut(socketPath, 'PUT', '/v1/content?path=/cut');
    expect(await call(socketPath, 'GET', '/v1/stat?path=/cut')).toMatchObject({ status: 404 });
    expect((await call(socketPath, 'PUT', '/v1/content?path=/there')).status).toBe(204);
    await sendCut(socketPath, 'PUT', '/v1/content?path=/there');
    expect(await call(socketPath, 'GET', '/v1/stat?path=/there')).toMatchObject({ status: 200, body: { size: 0 } });
  });

  it('leaves a writer that knows how much it has', async () => {
    const socketPath = await start(exec());
    const { id } = (await call(socketPath, 'POST', '/v1/writers?path=/upload&append=false')).body;
    await sendCut(socketPath, 'PATCH', `/v1/writers/${id}`, ['X-Offset: 0']);
    const { size } = (await call(socketPath, 'GET', `/v1/writers/${id}`)).body;
    expect([0, 'half'.length]).toContain(size);
    expect((await call(socketPath, 'POST', `/v1/writers/${id}/commit`)).status).toBe(200);
    expect(await call(socketPath, 'GET', '/v1/stat?path=/upload')).toMatchObject({ body: { size } });
  });
});
