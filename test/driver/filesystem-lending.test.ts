import { readdir, readlink, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type LentBytes, takeLentRuns } from '../../src/core/index.ts';
import { defaultDriverFactory, type StorageDriver, StorageInternalError } from '../../src/driver/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

const content = Buffer.alloc(1_500_000, 'no two parts of it are alike: 0123456789 abc;');

describe('a file that lends its bytes', () => {
  it.each([
    { offset: 0, length: content.length },
    { offset: 3, length: 700_001 },
    { offset: content.length - 5, length: 5 },
    { offset: content.length, length: 10 },
  ])('gives $length bytes from $offset on', async ({ offset, length }) => {
    const { driver } = await withFile();
    const runs = takeLentRuns(await driver.reader('/file', { offset, length }))!;
    const parts: Buffer[] = [];
    for await (const run of runs) {
      for (const lent of run) {
        parts.push(Buffer.from(lent.bytes));
        lent.release();
      }
    }
    expect(Buffer.concat(parts).equals(content.subarray(offset, offset + length))).toBe(true);
  });

  it('uses the memory again that was given back, and no other', async () => {
    const { driver } = await withFile();
    const runs = takeLentRuns(await driver.reader('/file', { offset: 0 }))!;
    const memories = new Set<ArrayBufferLike>();
    const held: LentBytes[] = [];
    let at = 0;
    for await (const run of runs) {
      held.push(...run);
      for (const { bytes } of run) memories.add(bytes.buffer);
      if (held.length < 2) continue;
      // What is held has stayed as it was while the next part was read.
      const [first] = held.splice(0, 1);
      expect(first!.bytes.equals(content.subarray(at, at + first!.bytes.length))).toBe(true);
      at += first!.bytes.length;
      first!.release();
      expect(() => first!.release()).toThrow('twice');
    }
    expect(at).toBeGreaterThan(content.length / 2);
    expect(memories.size).toBe(2);
  });

  it('ends with an error when the file is cut', async () => {
    const { driver, file } = await withFile();
    const runs = takeLentRuns(await driver.reader('/file', { offset: 0 }))!;
    const read = async () => {
      for await (const run of runs) {
        for (const lent of run) lent.release();
        await truncate(file, 1);
      }
    };
    await expect(read()).rejects.toThrow(StorageInternalError);
    await expect.poll(() => openTimes(file)).toBe(0);
  });

  it('is closed when nobody wants the rest, and ends with the reason when its signal aborts', async () => {
    const { driver, file } = await withFile();
    for await (const run of takeLentRuns(await driver.reader('/file', { offset: 0 }))!) {
      for (const lent of run) lent.release();
      break;
    }
    await expect.poll(() => openTimes(file)).toBe(0);
    const controller = new AbortController();
    const stream = await driver.reader('/file', { offset: 0 }, { signal: controller.signal });
    const read = async () => {
      for await (const run of takeLentRuns(stream)!) {
        for (const lent of run) lent.release();
        controller.abort(new Error('the client has left'));
      }
    };
    await expect(read()).rejects.toThrow('the client has left');
    await expect.poll(() => openTimes(file)).toBe(0);
  });
});

async function withFile(): Promise<{ readonly driver: StorageDriver; readonly file: string }> {
  const rootdirectory = await makeTempDir();
  const driver = await defaultDriverFactory().create('filesystem', { rootdirectory });
  onTestFinished(() => driver.close());
  await driver.putContent('/file', content);
  return { driver, file: join(rootdirectory, 'file') };
}

/** How often this process has a file open. */
async function openTimes(file: string): Promise<number> {
  const names = await readdir('/proc/self/fd');
  const targets = await Promise.all(names.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => 'closed since')));
  return targets.filter((target) => target === file).length;
}
