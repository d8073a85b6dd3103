import { execFileSync } from 'node:child_process';
import { readdirSync, readlinkSync } from 'node:fs';
import {
  chmod,
  mkdir,
  readdir,
  readFile,
  realpath,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createFilesystemDriver } from '../../src/driver/filesystem/index.ts';
import {
  defaultDriverFactory,
  InvalidPathError,
  PathNotFoundError,
  PermissionError,
  StorageInternalError,
  validated,
} from '../../src/driver/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { list, openTemp, walk } from './filesystem-scene.ts';

const dayMs = 24 * 60 * 60 * 1000;

describe('the directories that the filesystem driver keeps for itself', () => {
  it('are reached by no path', async () => {
    const { driver, root } = await openTemp();
    const writer = await driver.writer('/upload', { append: false });
    await writer.write(Buffer.from('unfinished'));
    await writer.close();
    await driver.putContent('/object', Buffer.from('object'));
    expect((await readdir(root)).sort()).toEqual(['.shoal-tmp', '.shoal-uncommitted', 'object']);
    expect(await list(driver, '/')).toEqual(['/object']);
    expect(await walk(driver, '/')).toEqual(['/object']);
    for (const path of ['/.shoal-tmp', '/.shoal-uncommitted', '/.shoal-uncommitted/upload', '/.shoal-tmp/x']) {
      await expect(driver.stat(path)).rejects.toBeInstanceOf(PathNotFoundError);
      await expect(driver.getContent(path)).rejects.toBeInstanceOf(PathNotFoundError);
      await expect(list(driver, path)).rejects.toBeInstanceOf(PathNotFoundError);
      await expect(driver.putContent(path, Buffer.from('x'))).rejects.toBeInstanceOf(InvalidPathError);
      await expect(driver.delete(path)).rejects.toBeInstanceOf(InvalidPathError);
      await expect(driver.move('/object', path)).rejects.toBeInstanceOf(InvalidPathError);
    }
    await symlink('.shoal-uncommitted', join(root, 'link'));
    await expect(list(driver, '/link')).rejects.toBeInstanceOf(InvalidPathError);
    await expect(driver.putContent('/link/x', Buffer.from('x'))).rejects.toBeInstanceOf(InvalidPathError);
    await driver.putContent('/below/.shoal-tmp/x', Buffer.from('only at the top'));
    expect(await list(driver, '/below')).toEqual(['/below/.shoal-tmp']);
  });

  it('do not come to be by reading', async () => {
    const { driver, root } = await openTemp();
    await writeFile(join(root, 'object'), 'object');
    await driver.getContent('/object');
    await walk(driver, '/');
    expect(await readdir(root)).toEqual(['object']);
  });

  it('hold nothing more once uploads are committed or cancelled', async () => {
    const { driver, root } = await openTemp();
    for (const end of ['commit', 'cancel'] as const) {
      const first = await driver.writer('/repo/_uploads/id/data', { append: false });
      await first.write(Buffer.from('first'));
      await first.close();
      const second = await driver.writer('/repo/_uploads/id/data', { append: true });
      await second[end]();
      await second.close();
      expect(await readdir(join(root, '.shoal-uncommitted'))).toEqual([]);
      expect(await readdir(join(root, '.shoal-tmp'))).toEqual([]);
    }
  });

  it('keep the uploads of a path and of a path below it apart', async () => {
    const { driver } = await openTemp();
    for (const path of ['/a', '/a/b', '/a/b/c']) {
      const writer = await driver.writer(path, { append: false });
      await writer.write(Buffer.from(path));
      await writer.close();
    }
    await using writer = await driver.writer('/a/b', { append: true });
    await writer.commit();
    expect((await driver.getContent('/a/b')).toString()).toBe('/a/b');
    await driver.delete('/a');
    await expect(driver.writer('/a/b/c', { append: true })).rejects.toBeInstanceOf(PathNotFoundError);
  });

  it('are cleaned of what is older than a day at the start, and of nothing younger', async () => {
    const { driver, root } = await openTemp();
    const upload = await driver.writer('/upload', { append: false });
    await upload.write(Buffer.from('unfinished'));
    await upload.close();
    const leftover = join(root, '.shoal-tmp', 'leftover');
    await mkdir(join(leftover, 'deep'), { recursive: true });
    await writeFile(join(leftover, 'deep', 'file'), 'x');
    await writeFile(join(root, '.shoal-tmp', 'file'), 'x');
    // Somebody's file, put in with an old time, is not old here.
    await utimes(join(root, '.shoal-tmp', 'file'), 0, 0);

    const openAt = async (ageMs: number) => {
      const clock = { nowMs: () => Date.now() + ageMs, monotonicMs: () => 0 };
      return validated(await createFilesystemDriver({ rootdirectory: root }, { clock }));
    };
    await openAt(dayMs - 60_000);
    expect((await readdir(join(root, '.shoal-tmp'))).sort()).toEqual(['file', 'leftover']);
    const later = await openAt(dayMs + 60_000);
    expect(await readdir(join(root, '.shoal-tmp'))).toEqual([]);
    await using writer = await later.writer('/upload', { append: true });
    expect(writer.size).toBe('unfinished'.length);
  });
});

describe('the filesystem driver', () => {
  it('refuses to commit an upload whose bytes another process has replaced', async () => {
    const { driver, root } = await openTemp();
    const begun = await driver.writer('/upload', { append: false });
    await begun.write(Buffer.from('mine'));
    await begun.close();
    const mine = await driver.writer('/upload', { append: true });
    const other = await defaultDriverFactory().create('filesystem', { rootdirectory: root });
    const theirs = await other.writer('/upload', { append: false });
    await theirs.write(Buffer.from('theirs'));
    await theirs.close();
    await expect(mine.commit()).rejects.toMatchObject({ code: 'CONFLICT' });
    await mine.close();
    await using next = await driver.writer('/upload', { append: true });
    await next.commit();
    expect((await driver.getContent('/upload')).toString()).toBe('theirs');
  });

  it('ends a stream with an error when the file is cut while it is read', async () => {
    const { driver, root } = await openTemp();
    await driver.putContent('/object', Buffer.alloc(4 * 1024 * 1024));
    const stream = await driver.reader('/object', { offset: 0 });
    const reading = (async () => {
      for await (const _ of stream) await truncate(join(root, 'object'), 100);
    })();
    await expect(reading).rejects.toBeInstanceOf(StorageInternalError);
  });

  it('closes the file of every reader, however it ends', async () => {
    const { driver } = await openTemp();
    await driver.putContent('/object', Buffer.alloc(1024 * 1024));
    // Descriptors of this process on the object; none but Linux tells. One may be closed by a thread while it is looked at.
    const countOpen = () => readdirSync('/proc/self/fd').filter((fd) => targetOf(fd).includes('/root/object')).length;
    const held = await driver.reader('/object', { offset: 0 });
    expect(countOpen()).toBe(1);
    held.destroy();
    for (let round = 0; round < 20; round++) {
      const controller = new AbortController();
      const context = { signal: controller.signal };
      const streams = [
        await driver.reader('/object', { offset: 0 }, context),
        await driver.reader('/object', { offset: 10, length: 5 }, context),
        await driver.reader('/object', { offset: 2 ** 30 }, context),
      ];
      if (round % 3 === 0) for (const stream of streams) stream.destroy();
      else if (round % 3 === 1) controller.abort(new Error('gone'));
      else for (const stream of streams) await buffer(stream);
      await driver.getContent('/object');
    }
    await expect.poll(countOpen).toBe(0);
  });

  it('keeps to its limit of calls at once without ever standing still', async () => {
    const root = await makeTempDir();
    const driver = await defaultDriverFactory().create('filesystem', { rootdirectory: root, maxconcurrency: 1 });
    const puts = Array.from({ length: 20 }, (_, index) => driver.putContent(`/d/${index}`, Buffer.from('x')));
    const walks = Array.from({ length: 5 }, () => walk(driver, '/'));
    await Promise.all([...puts, ...walks]);
    expect((await list(driver, '/d')).length).toBe(20);
    const reason = new Error('gone');
    const controller = new AbortController();
    const first = driver.stat('/d');
    const second = expect(driver.stat('/d', { signal: controller.signal })).rejects.toBe(reason);
    controller.abort(reason);
    await Promise.all([first, second]);
  });

  it('leaves the old object and no trace when a put is aborted', async () => {
    const { driver, root } = await openTemp();
    await driver.putContent('/object', Buffer.from('old'));
    let ended = 0;
    for (let round = 0; round < 20; round++) {
      const controller = new AbortController();
      const reason = new Error('gone');
      const put = driver.putContent('/object', Buffer.alloc(500_000, 1), { signal: controller.signal });
      const abort = setTimeout(() => controller.abort(reason), round / 4);
      const result = await put.catch((error: unknown) => error);
      clearTimeout(abort);
      const content = (await driver.getContent('/object')).toString();
      if (result === undefined) {
        await driver.putContent('/object', Buffer.from('old'));
        continue;
      }
      expect(result).toBe(reason);
      expect(content).toBe('old');
      ended++;
    }
    expect(ended).toBeGreaterThan(0);
    expect(await readdir(join(root, '.shoal-tmp'))).toEqual([]);
  });

  it('says that permission is missing, and names the path', async () => {
    const { driver, root } = await openTemp();
    await driver.putContent('/locked/object', Buffer.from('object'));
    await chmod(join(root, 'locked', 'object'), 0o000);
    await chmod(join(root, 'locked'), 0o555);
    await chmod(join(root, '..'), 0o755);
    await withoutPrivileges(async () => {
      await expect(driver.getContent('/locked/object')).rejects.toBeInstanceOf(PermissionError);
      const error = await driver.delete('/locked/object').catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(PermissionError);
      expect(error).toMatchObject({ path: '/locked/object', cause: { code: 'EACCES' } });
    });
    await chmod(join(root, 'locked'), 0o755);
  });

  it('serves a root that it may only read', async () => {
    const { driver, root } = await openTemp();
    await driver.putContent('/object', Buffer.from('object'));
    for (const directory of [join(root, '.shoal-tmp'), root]) await chmod(directory, 0o555);
    await chmod(join(root, '..'), 0o755);
    await withoutPrivileges(async () => {
      const reader = await defaultDriverFactory().create('filesystem', { rootdirectory: root });
      expect((await reader.getContent('/object')).toString()).toBe('object');
      expect(await list(reader, '/')).toEqual(['/object']);
      await expect(reader.putContent('/object', Buffer.from('x'))).rejects.toBeInstanceOf(PermissionError);
    });
    await chmod(root, 0o755);
  });

  it('says so when the root cannot be made', async () => {
    const folder = await makeTempDir();
    await writeFile(join(folder, 'file'), 'x');
    const rootdirectory = join(folder, 'file', 'root');
    const opening = defaultDriverFactory().create('filesystem', { rootdirectory });
    await expect(opening).rejects.toMatchObject({ code: 'NOT_A_DIRECTORY', path: rootdirectory });
  });

  it('shows files and directories with names of its paths, and nothing else', async () => {
    const { driver, root } = await openTemp();
    await mkdir(join(root, 'd'));
    for (const name of ['good', 'with space', 'ünicode', 'a~b', 'a+b']) await writeFile(join(root, 'd', name), 'x');
    execFileSync('sh', ['-c', 'mkfifo "$0"', join(root, 'd', 'pipe')]);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(root, 'd', 'socket'), resolve));
    onTestFinished(() => void server.close());
    expect(await list(driver, '/d')).toEqual(['/d/good']);
    expect(await walk(driver, '/')).toEqual(['/d', '/d/good']);
    for (const path of ['/d/pipe', '/d/socket'])
      await expect(driver.stat(path)).rejects.toBeInstanceOf(PathNotFoundError);
    await expect(driver.getContent('/d/pipe')).rejects.toBeInstanceOf(PathNotFoundError);
  });

  it('makes files as distribution does: readable by all, at their own paths', async () => {
    const { driver, root } = await openTemp();
    await driver.putContent('/a/b/link', Buffer.from('sha256:00'));
    expect(await readFile(join(root, 'a', 'b', 'link'), 'utf8')).toBe('sha256:00');
    const umask = process.umask();
    expect((await stat(join(root, 'a', 'b', 'link'))).mode & 0o777).toBe(0o666 & ~umask);
    expect((await stat(join(root, 'a', 'b'))).mode & 0o777).toBe(0o777 & ~umask);
    expect(await realpath(root)).toBe(root);
  });
});

/** Runs as somebody whom permissions bind; root is bound by none. */
async function withoutPrivileges(task: () => Promise<void>): Promise<void> {
  if (process.geteuid?.() !== 0) return task();
  process.seteuid?.(65534);
  try {
    await task();
  } finally {
    process.seteuid?.(0);
  }
}

function targetOf(descriptor: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return ''; // Closed meanwhile.
  }
}
