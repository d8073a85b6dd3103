import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { defaultDriverFactory, type StorageDriver, StorageFullError, validated } from '../../src/driver/index.ts';
import { createIpcDriver, serveDriver } from '../../src/driver/ipc/index.ts';
import { goProgramForThisFile, hasGo } from '../helpers/go-program.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { FaultyDriver } from './faulty-driver.ts';

/** A part, as writers send them to a program. */
const MIB = 2 ** 20;

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

const goSource = join(import.meta.dirname, '../../examples/drivers/registry-storage-folder.go');
// Skipped only where Go is missing; never in CI.
const go = hasGo() ? goProgramForThisFile(goSource) : undefined;
const programs = [
  ['shoal', () => serveFilesystem],
  ['python', () => ['python3', python]],
  ...(go === undefined ? [] : [['go', () => [go()]] as const]),
] as const;

describe.each(programs)('an ipc driver whose program is killed (%s)', (_, exec) => {
  it('works again with the next call when nothing was under way', async () => {
    const { driver, kill, pids } = await openMarked(exec());
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
    const { driver, kill } = await openMarked(exec());
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
    const { driver, kill } = await openMarked(exec());
    const first = await driver.writer('/upload', { append: false });
    await first.write(Buffer.from('closed'));
    await first.close();
    const second = await driver.writer('/upload', { append: true });
    await second.write(Buffer.alloc(100_000, 120));
    const bytes = Buffer.alloc(4 * 1024 * 1024, 121);
    const writing = (async () => {
      // As long as it takes: a program may be fast.
      for (;;) await second.write(bytes);
    })();
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

  it('gets of the environment what every program needs, what is asked for by name, and nothing else', async () => {
    const environment = {
      PATH: process.env['PATH'],
      HOME: '/home/somebody',
      TZ: 'Europe/Berlin',
      LC_TIME: 'de_DE.UTF-8',
      STORE_KEY: 'for the program',
      STORE_REGION: 'for it as well',
      DATABASE_PASSWORD: 'for Shoal alone',
      REGISTRY_STORAGE_TOKEN: 'somebody else',
    };
    const folder = await makeTempDir();
    const seen = async (asked: object) => {
      const exec = ['/bin/sh', '-c', `env > ${join(folder, 'seen')}; exec python3 ${python}`];
      await using _ = await createIpcDriver({ exec, rootdirectory: join(folder, 'root'), ...asked }, { environment });
      const lines = (await readFile(join(folder, 'seen'), 'utf8')).trim().split('\n');
      return Object.fromEntries(lines.map((line) => line.split('=', 2)));
    };
    const always = ['HOME', 'LC_TIME', 'PATH', 'TZ'];
    const ours = ['REGISTRY_STORAGE_PROTOCOL', 'REGISTRY_STORAGE_SOCKET', 'REGISTRY_STORAGE_TOKEN'];
    const shells = ['OLDPWD', 'PWD', 'SHLVL', '_'];
    const names = (found: object) =>
      Object.keys(found)
        .filter((name) => !shells.includes(name))
        .sort();

    const plain = await seen({});
    expect(names(plain)).toEqual([...always, ...ours].sort());
    expect(plain['LC_TIME']).toBe('de_DE.UTF-8');
    expect(plain['REGISTRY_STORAGE_TOKEN']).not.toBe('somebody else');
    const asked = await seen({ environment: ['STORE_KEY', 'STORE_REGION', 'NOT_SET'] });
    expect(names(asked)).toEqual([...always, ...ours, 'STORE_KEY', 'STORE_REGION'].sort());
    expect(asked['STORE_KEY']).toBe('for the program');
    expect(names(await seen({ environment: 'STORE_KEY' }))).toEqual([...always, ...ours, 'STORE_KEY'].sort());
  });

  it.each([
    { exec: '/bin/true', environment: ['STORE_KEY=secret'] },
    { exec: '/bin/true', environment: '' },
    { socket: '/x', tokenfile: '/y', environment: ['STORE_KEY'] },
  ])('is not started by an environment that makes no sense: %j', async (parameters) => {
    const error = await createIpcDriver(parameters).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' });
    expect(String(error)).toContain('environment');
  });

  it('ends when the driver is closed, and leaves no folder behind', async () => {
    const { driver, pids } = await openMarked();
    await driver.close();
    expect(await pids()).toEqual([]);
    await expect(driver.stat('/')).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
  });

  it.each(programs)('keeps the bytes of its writers when the driver is closed (%s)', async (_, exec) => {
    const root = await makeTempDir();
    const open = async () => validated(await createIpcDriver({ exec: exec(), rootdirectory: root }));
    const paths = Array.from({ length: 30 }, (_, index) => `/upload-${index}`);
    const driver = await open();
    // Two parts as a writer sends them: before the second goes, the program has the first.
    const bytesAt = (path: string) => Buffer.concat([Buffer.from(path), Buffer.alloc(2 * MIB - path.length, 1)]);
    for (const path of paths) {
      const writer = await driver.writer(path, { append: false });
      await writer.write(bytesAt(path));
    }
    await driver.close();
    await using again = await open();
    for (const path of paths) {
      await using writer = await again.writer(path, { append: true });
      expect(writer.size).toBeGreaterThanOrEqual(MIB);
      await writer.commit();
      const kept = await again.getContent(path);
      expect(kept.equals(bytesAt(path).subarray(0, kept.length))).toBe(true);
    }
  });

  it.each(programs)('ends when the one who started it is killed (%s)', async (_, exec) => {
    const root = await makeTempDir();
    const script = fileURLToPath(new URL('children/ipc-parent.ts', import.meta.url));
    const mark = `SHOAL_TEST_MARK=${root}`;
    const words = [script, join(root, 'root'), '/usr/bin/env', mark, ...exec()];
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

  it('gets small writes together, and never more or less than was written', async () => {
    const inner = await defaultDriverFactory().create('inmemory', {});
    const sent: number[] = [];
    const innerWriter = inner.writer.bind(inner);
    inner.writer = async (...call) => {
      const writer = await innerWriter(...call);
      const write = writer.write.bind(writer);
      writer.write = async (bytes) => {
        sent.push(writer.size);
        await write(bytes);
      };
      return writer;
    };
    const { driver } = await openServed(inner);
    const whole = randomBytes(7 * MIB);
    // Small ones, one that fills a part exactly, whole parts, more than one, and small ones again.
    const lengths = [0, 1, 10_000, MIB - 10_002, 1, MIB, 1_200_000, 2 * MIB + 1, 5, 100_000, 162_144, 1];
    await using writer = await driver.writer('/object', { append: false });
    let offset = 0;
    for (const length of lengths) {
      const bytes = Buffer.from(whole.subarray(offset, offset + length));
      await writer.write(bytes);
      bytes.fill(0);
      offset += length;
      expect(writer.size).toBe(offset);
      // Nothing goes before there is enough of it; the first part is there before the second goes.
      if (offset < MIB) expect(sent).toEqual([]);
      if (offset >= 2 * MIB) expect(sent.length).toBeGreaterThan(0);
    }
    await writer.close();
    await using again = await driver.writer('/object', { append: true });
    expect(again.size).toBe(offset);
    await again.write(whole.subarray(offset));
    await again.commit();
    expect((await driver.getContent('/object')).equals(whole)).toBe(true);
  });

  it('fails the writer when what was gathered cannot be sent, and closes it all the same', async () => {
    const inner = await defaultDriverFactory().create('inmemory', {});
    const closed: string[] = [];
    const innerWriter = inner.writer.bind(inner);
    inner.writer = async (path, ...rest) => {
      const writer = await innerWriter(path, ...rest);
      const close = writer.close.bind(writer);
      writer.write = () => Promise.reject(new StorageFullError('inner', path));
      writer.close = () => close().then(() => void closed.push(path));
      return writer;
    };
    const { driver } = await openServed(inner);
    const committed = await driver.writer('/committed', { append: false });
    await committed.write(Buffer.from('small'));
    await expect(committed.commit()).rejects.toMatchObject({ code: 'STORAGE_FULL' });
    await expect(committed.commit()).rejects.toMatchObject({ code: 'WRITER_CLOSED' });
    await committed.close();
    await expect(driver.stat('/committed')).rejects.toMatchObject({ code: 'PATH_NOT_FOUND' });
    const left = await driver.writer('/left', { append: false });
    await left.write(Buffer.from('small'));
    await expect(left.close()).rejects.toMatchObject({ code: 'STORAGE_FULL' });
    expect(closed).toEqual(['/committed', '/left']);
  });

  it('closes a writer whose client has gone, so that others can go on with its bytes', async () => {
    const inner = await defaultDriverFactory().create('inmemory', {});
    await (await inner.writer('/upload', { append: false })).close();
    const { driver } = await openServed(inner, 200);
    const left = await driver.writer('/upload', { append: true });
    const bytes = Buffer.alloc(2 * MIB, 1);
    await left.write(bytes);
    await expect(inner.writer('/upload', { append: true })).rejects.toMatchObject({ code: 'CONFLICT' });
    const openAgain = () => inner.writer('/upload', { append: true }).catch(() => undefined);
    let next = await openAgain();
    await expect
      .poll(async () => {
        next ??= await openAgain();
        return next?.size;
      })
      .toBe(bytes.length);
    // Whoever comes back to it after all is told that it is over, and may begin again.
    await expect(left.write(bytes)).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    await next?.close();
  });
});
