import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { defaultDriverFactory, type StorageDriver, validated } from '../../src/driver/index.ts';
import { createIpcDriver, serveDriver } from '../../src/driver/ipc/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { FaultyDriver } from './faulty-driver.ts';

const shoal = join(import.meta.dirname, '../../bin/shoal.js');
const python = join(import.meta.dirname, '../../examples/drivers/registry-storage-folder.py');
const serveFilesystem = [process.execPath, shoal, 'driver', 'serve', 'filesystem'];

/** Processes whose environment or words hold a text; none but Linux tells. */
async function findProcesses(text: string, what: 'cmdline' | 'environ'): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const content = await readFile(`/proc/${entry}/${what}`, 'latin1').catch(() => '');
    if (content.includes(text)) found.push(Number(entry));
  }
  return found;
}

/** Opens a driver over a program that can be found again by a mark in its environment. */
async function openMarked(exec: readonly string[] = serveFilesystem) {
  const root = await makeTempDir();
  const mark = `SHOAL_TEST_MARK=${root}`;
  const driver = validated(
    await createIpcDriver({ exec: ['/usr/bin/env', mark, ...exec], rootdirectory: join(root, 'root') }),
  );
  onTestFinished(() => driver.close());
  const pids = () => findProcesses(`${mark}\0`, 'environ');
  const kill = async () => {
    const killed = await pids();
    expect(killed.length).toBeGreaterThan(0);
    for (const pid of killed) process.kill(pid, 'SIGKILL');
  };
  return { driver, root, pids, kill };
}

async function writeProgram(text: string): Promise<string> {
  const program = join(await makeTempDir(), 'program');
  await writeFile(program, `#!/bin/sh\n${text}\n`);
  await chmod(program, 0o755);
  return program;
}

const programs = { shoal: serveFilesystem, python: ['python3', python] };

describe.each(Object.entries(programs))('an ipc driver whose program is killed (%s)', (_, exec) => {
  it('works again with the next call when nothing was under way', async () => {
    const { driver, kill, pids } = await openMarked(exec);
    await driver.putContent('/object', Buffer.from('kept'));
    for (let round = 0; round < 2; round++) {
      const before = await pids();
      await kill();
      await expect
        .poll(async () => (await pids()).some((pid) => !before.includes(pid)), { timeout: 10_000 })
        .toBe(true);
      expect((await driver.getContent('/object')).toString()).toBe('kept');
    }
  });

  it('ends a reader with a typed error, never early', async () => {
    const { driver, kill } = await openMarked(exec);
    await driver.putContent('/object', Buffer.alloc(16 * 1024 * 1024, 1));
    const stream = await driver.reader('/object', { offset: 0 });
    await once(stream, 'readable');
    await kill();
    await expect(buffer(stream)).rejects.toMatchObject({
      code: 'STORAGE_UNAVAILABLE',
      retryable: true,
      path: '/object',
    });
    expect((await driver.getContent('/object')).length).toBe(16 * 1024 * 1024);
  });

  it('fails a writer, shows nothing of it, and goes on from what was closed', async () => {
    const { driver, kill } = await openMarked(exec);
    const first = await driver.writer('/upload', { append: false });
    await first.write(Buffer.from('closed'));
    await first.close();
    const second = await driver.writer('/upload', { append: true });
    await second.write(Buffer.alloc(100_000, 120));
    const writing = second.write(Buffer.alloc(64 * 1024 * 1024, 121));
    await kill();
    await expect(writing).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    await expect(second.commit()).rejects.toMatchObject({ code: 'WRITER_CLOSED' });
    await expect(second.close()).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    await expect(driver.stat('/upload')).rejects.toMatchObject({ code: 'PATH_NOT_FOUND' });
    await using third = await driver.writer('/upload', { append: true });
    const size = third.size;
    expect(size).toBeGreaterThanOrEqual('closed'.length);
    await third.commit();
    const content = await driver.getContent('/upload');
    expect(content.length).toBe(size);
    expect(content.subarray(0, 6).toString()).toBe('closed');
  });
});

describe('a program that is no driver', () => {
  const ready = `{"protocol":1,"version":"1.0","name":"x","capabilities":{}}`;
  it.each([
    ['prints rubbish', 'echo hello; sleep 60', 'CONFIG_INVALID', 'expected the line {"protocol":1'],
    [
      'speaks another version',
      `echo '{"protocol":2,"version":"2.0","name":"x","capabilities":{}}'; sleep 60`,
      'CONFIG_INVALID',
      'it speaks version 2 of the protocol, expected 1',
    ],
    [
      'dies at once',
      'echo "no such bucket" >&2; exit 3',
      'CONFIG_INVALID',
      'ended (status 3) before it was ready; the last it wrote to standard error: no such bucket',
    ],
    ['hangs', 'echo waiting >&2; sleep 60', 'STORAGE_UNAVAILABLE', 'is not ready after 700 ms'],
    [
      'says it is ready and does not listen',
      `echo '${ready}'; sleep 60`,
      'STORAGE_UNAVAILABLE',
      'did not become ready',
    ],
  ])('is told of when it %s', async (_, text, code, message) => {
    const program = await writeProgram(text);
    const error = await createIpcDriver({ exec: program }, { readyMs: 700 }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code });
    expect(String(error)).toContain(message);
    expect(String(error)).toContain(program);
    await expect.poll(() => findProcesses(program, 'cmdline')).toEqual([]);
  });

  it('is told of when there is none', async () => {
    const folder = await makeTempDir();
    await writeFile(join(folder, 'plain'), 'x');
    for (const parameters of [
      { name: 'nowhere' },
      { exec: join(folder, 'plain') },
      { exec: './plain' },
      { exec: 'nowhere' },
    ]) {
      await expect(createIpcDriver(parameters, { searchPath: `::.:${folder}` })).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
      });
    }
    for (const parameters of [{}, { name: 'a', exec: 'b' }, { name: '../a' }, { socket: '/x' }]) {
      await expect(createIpcDriver(parameters)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    }
  });
});

describe('the program of an ipc driver', () => {
  it.each(['registry-storage-folder', 'registry-storagedriver-folder'])('is found on the PATH as %s', async (name) => {
    const folder = await makeTempDir();
    await symlink(python, join(folder, name));
    const rootdirectory = join(folder, 'root');
    await mkdir(rootdirectory);
    const searchPath = `relative::${folder}`;
    await using driver = await createIpcDriver({ name: 'folder', rootdirectory }, { searchPath });
    expect(driver.name).toBe('ipc:folder');
  });

  it('is asked for as ipc:<name>', async () => {
    const factory = defaultDriverFactory();
    await expect(factory.create('ipc:nobody-has-this', {})).rejects.toThrow('registry-storage-nobody-has-this');
    await expect(factory.create('ipc:a', { name: 'b' })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  it('gets no parameter in its words or its environment', async () => {
    const { root, pids } = await openMarked();
    expect((await pids()).length).toBeGreaterThan(0);
    expect(await findProcesses(join(root, 'root'), 'cmdline')).toEqual([]);
    expect(await findProcesses(join(root, 'root'), 'environ')).toEqual([]);
  });

  it('ends when the driver is closed, and leaves no folder behind', async () => {
    const { driver, pids } = await openMarked();
    await driver.close();
    expect(await pids()).toEqual([]);
    await expect(driver.stat('/')).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
  });

  it.each(Object.entries(programs))('ends when the one who started it is killed (%s)', async (_, exec) => {
    const root = await makeTempDir();
    const script = fileURLToPath(new URL('children/ipc-parent.ts', import.meta.url));
    const mark = `SHOAL_TEST_MARK=${root}`;
    const words = [script, join(root, 'root'), '/usr/bin/env', mark, ...exec];
    const parent = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(() => void parent.kill('SIGKILL'));
    await once(parent.stdout, 'data');
    expect((await findProcesses(`${mark}\0`, 'environ')).length).toBeGreaterThan(0);
    parent.kill('SIGKILL');
    await expect.poll(() => findProcesses(`${mark}\0`, 'environ'), { timeout: 10_000 }).toEqual([]);
  });
});

/** Serves a driver in this process, and opens it over the socket. */
async function openServed(inner: StorageDriver, writerIdleMs?: number) {
  const folder = await makeTempDir();
  const socket = join(folder, 'socket');
  const token = 'a token of some length'.replaceAll(' ', '-');
  const served = await serveDriver({ driver: inner, socketPath: socket, token, ...(writerIdleMs && { writerIdleMs }) });
  onTestFinished(() => served.close());
  const tokenfile = join(folder, 'token');
  await writeFile(tokenfile, `${token}\n`);
  const driver = validated(await createIpcDriver({ socket, tokenfile }));
  onTestFinished(() => driver.close());
  return { driver, socket, tokenfile };
}

describe('a served driver', () => {
  it('refuses who does not show its token', async () => {
    const { socket, tokenfile } = await openServed(new FaultyDriver());
    const status = await new Promise((resolve, reject) => {
      const headers = { authorization: 'Bearer wrong' };
      request({ socketPath: socket, path: '/v1/stat?path=/', headers }, (response) => resolve(response.statusCode))
        .on('error', reject)
        .end();
    });
    expect(status).toBe(401);
    await writeFile(tokenfile, 'another-token-of-some-length');
    await expect(createIpcDriver({ socket, tokenfile })).rejects.toThrow('refuses the token');
  });

  it('is told when a call or a reader is aborted, and waits for a slow reader', async () => {
    const inner = await defaultDriverFactory().create('inmemory', {});
    let produced = 0;
    const endless = new Readable({
      read() {
        produced += 64 * 1024;
        this.push(Buffer.alloc(64 * 1024));
      },
    });
    const seen: unknown[] = [];
    inner.reader = async () => endless;
    inner.getContent = (_, context) =>
      new Promise((_, reject) => {
        seen.push('called');
        context?.signal?.addEventListener('abort', () => {
          seen.push('aborted');
          reject(context.signal?.reason);
        });
      });
    const { driver } = await openServed(inner);
    const controller = new AbortController();
    const reason = new Error('enough');
    const call = driver.getContent('/slow', { signal: controller.signal });
    await expect.poll(() => seen).toEqual(['called']);
    controller.abort(reason);
    await expect(call).rejects.toBe(reason);
    await expect.poll(() => seen).toEqual(['called', 'aborted']);

    const stream = await driver.reader('/endless', { offset: 0 });
    await once(stream, 'readable');
    let before = -1;
    const standsStill = () => {
      const isSame = before === produced;
      before = produced;
      return isSame;
    };
    // When what lies between is full: some buffers, and not what the reader has never asked for.
    await expect.poll(standsStill, { interval: 50 }).toBe(true);
    expect(produced).toBeLessThan(8 * 1024 * 1024);
    stream.destroy();
    await expect.poll(() => endless.destroyed).toBe(true);
  });

  it('closes a writer whose client has gone, so that others can go on with its bytes', async () => {
    const inner = await defaultDriverFactory().create('inmemory', {});
    await (await inner.writer('/upload', { append: false })).close();
    const { driver } = await openServed(inner, 200);
    const left = await driver.writer('/upload', { append: true });
    await left.write(Buffer.from('left'));
    await expect(inner.writer('/upload', { append: true })).rejects.toMatchObject({ code: 'CONFLICT' });
    const openAgain = () => inner.writer('/upload', { append: true }).catch(() => undefined);
    let next = await openAgain();
    await expect
      .poll(async () => {
        next ??= await openAgain();
        return next?.size;
      })
      .toBe('left'.length);
    // Whoever comes back to it after all is told that it is over, and may begin again.
    await expect(left.write(Buffer.from('late'))).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    await next?.close();
  });
});
