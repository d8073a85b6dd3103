import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { defaultDriverFactory, PathNotFoundError, type StorageDriver } from '../../src/driver/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

const childScript = fileURLToPath(new URL('children/driver-child.ts', import.meta.url));
const objectBytes = 200_000;
const chunkBytes = 50_000;

/** Starts the child; `under` is a shell's command line that ends in running it. */
function startChild(task: string, root: string, under = 'exec "$@"'): ChildProcess {
  const command = ['-c', under, 'sh', process.execPath, childScript, task, root];
  const child = spawn('bash', command, { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  return child;
}

/** How often each kind of work was acknowledged before the child was killed without a warning, at some moment. */
async function killWhileItWorks(root: string, round: number): Promise<ReadonlyMap<string, number>> {
  const child = startChild('work-for-ever', root);
  const counts = new Map<string, number>();
  const lines = createInterface({ input: child.stdout! }).on('line', (line) => {
    const [work = '', count] = line.split(' ');
    counts.set(work, Number(count));
    // Each has begun again; the moments are spread over one step of the child, which takes some milliseconds.
    if (counts.size === 4) setTimeout(() => child.kill('SIGKILL'), round * 1.7);
  });
  await Promise.all([once(child, 'exit'), once(lines, 'close')]);
  expect(child.signalCode).toBe('SIGKILL');
  expect([...counts.keys()].sort()).toEqual(['append', 'move', 'put', 'write']);
  return counts;
}

/** Expects an object that one put made, and not an earlier one than the last that was acknowledged. */
function expectWhole(content: Buffer, acknowledged: number): void {
  const version = content.length - objectBytes;
  expect([acknowledged, acknowledged + 1]).toContain(version);
  expect(content.equals(Buffer.alloc(content.length, version))).toBe(true);
}

/** Expects an upload of numbered chunks with all that were acknowledged, and shows it by committing it. */
async function expectUpload(driver: StorageDriver, acknowledged: number): Promise<void> {
  await expect(driver.stat('/upload/data')).rejects.toBeInstanceOf(PathNotFoundError);
  await using writer = await driver.writer('/upload/data', { append: true });
  expect(writer.size).toBeGreaterThanOrEqual(acknowledged * chunkBytes);
  expect(writer.size).toBeLessThanOrEqual((acknowledged + 1) * chunkBytes);
  await writer.commit();
  const content = await driver.getContent('/upload/data');
  for (let offset = 0; offset < content.length; offset += chunkBytes) {
    const chunk = content.subarray(offset, offset + chunkBytes);
    expect(chunk.equals(Buffer.alloc(chunk.length, offset / chunkBytes + 1))).toBe(true);
  }
}

describe('the filesystem driver, killed while it works', () => {
  it('has whole objects, all that was acknowledged, and nothing else to show', async () => {
    for (let round = 0; round < 8; round++) {
      const root = await makeTempDir();
      const counts = await killWhileItWorks(root, round);
      const driver = await defaultDriverFactory().create('filesystem', { rootdirectory: root });
      const files: string[] = [];
      for await (const { path, isDirectory } of driver.walk('/')) if (!isDirectory) files.push(path);

      // Never at none of its places, and never at both.
      const moved = files.filter((path) => path.startsWith('/moved/'));
      expect(moved.length).toBe(1);
      expect(await driver.getContent(moved[0] ?? '')).toEqual(Buffer.alloc(objectBytes, 7));
      expect(files).toEqual([...moved, '/put/object', '/written/object']);
      expectWhole(await driver.getContent('/put/object'), counts.get('put') ?? 0);
      expectWhole(await driver.getContent('/written/object'), counts.get('write') ?? 0);
      await expectUpload(driver, counts.get('append') ?? 0);
    }
  }, 120_000);
});

describe('the filesystem driver in several processes at once', () => {
  it('shows each of them whole objects only, and loses none', async () => {
    const root = await makeTempDir();
    const driver = await defaultDriverFactory().create('filesystem', { rootdirectory: root });
    const children = [startChild('share', root), startChild('share', root), startChild('share', root)];
    const exits = children.map((child) => once(child, 'exit'));
    let areWorking = true;
    const watching = (async () => {
      while (areWorking) {
        for (const name of ['0', '1', '2', '3', '4', 'blob']) await expectShared(driver, `/shared/${name}`);
      }
    })();
    const codes = await Promise.all(exits).finally(() => {
      areWorking = false;
    });
    await watching;
    expect(codes).toEqual(children.map(() => [0, null]));
    expect(await expectShared(driver, '/shared/blob')).toBe(true);
    for (const { pid } of children) {
      for (let round = 0; round < 40; round++) {
        expect(await driver.getContent(`/own/${pid}/${round}`)).toEqual(Buffer.alloc(10, round));
      }
    }
    expect(await readdir(join(root, '.shoal-tmp'))).toEqual([]);
  }, 120_000);
});

/** Expects an object to be all of one process's making, when it is there. */
async function expectShared(driver: StorageDriver, path: string): Promise<boolean> {
  let content: Buffer;
  try {
    content = await driver.getContent(path);
  } catch (error) {
    if (error instanceof PathNotFoundError) return false;
    throw error;
  }
  const fill = content[0] ?? 0;
  expect(content.length).toBe((path === '/shared/blob' ? 60_000 : 10_000) + fill);
  expect(content.equals(Buffer.alloc(content.length, fill))).toBe(true);
  return true;
}

describe('the filesystem driver without room', () => {
  it('keeps the old object and what was written before, and says that the storage is full', async () => {
    const root = await makeTempDir();
    const driver = await defaultDriverFactory().create('filesystem', { rootdirectory: root });
    await driver.putContent('/object', Buffer.from('old'));
    // In kilobytes: the process cannot make a longer file.
    const child = startChild('fill-up', root, 'ulimit -f 64; exec "$@"');
    const lines: string[] = [];
    const output = createInterface({ input: child.stdout! }).on('line', (line) => lines.push(line));
    await Promise.all([once(child, 'exit'), once(output, 'close')]);
    expect(lines).toEqual(['STORAGE_FULL', 'STORAGE_FULL', 'WRITER_CLOSED']);
    expect((await driver.getContent('/object')).toString()).toBe('old');
    expect(await readdir(join(root, '.shoal-tmp'))).toEqual([]);
    await using writer = await driver.writer('/upload', { append: true });
    expect(writer.size).toBe(30_000);
    await writer.commit();
    expect(await driver.getContent('/upload')).toEqual(Buffer.alloc(30_000, 1));
  });
});
