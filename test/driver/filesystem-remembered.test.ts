import { mkdir, open, rename, rm, symlink, unlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { RememberedFiles } from '../../src/driver/filesystem/remembered-files.ts';
import { PathNotFoundError } from '../../src/driver/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { openTemp } from './filesystem-scene.ts';

/** Longer than a file has to be left alone before it is remembered. */
const SETTLED_MS = 150;

/** A folder with one file, and a memory that has read it. */
async function remembering(content = 'one') {
  const root = await makeTempDir();
  const files = await RememberedFiles.open(root);
  const place = join(root, 'link');
  await writeFile(place, content);
  await delay(SETTLED_MS);
  const read = async () => {
    await using handle = await open(place);
    const identity = await handle.stat({ bigint: true });
    files.remember('/link', await handle.readFile(), identity);
  };
  await read();
  return { root, files, place, read, text: () => files.find('/link')?.toString() };
}

describe('RememberedFiles', () => {
  it('knows a file as long as it is the same', async () => {
    const { text } = await remembering();
    expect([text(), text()]).toEqual(['one', 'one']);
  });

  it.each<[string, (place: string, root: string) => Promise<void>]>([
    [
      'replaced by another of the same length and time',
      async (place) => {
        const time = new Date(0);
        await utimes(place, time, time);
        await writeFile(`${place}.new`, 'two');
        await utimes(`${place}.new`, time, time);
        await rename(`${place}.new`, place);
      },
    ],
    ['written to in its place', (place) => writeFile(place, 'two')],
    [
      'written to in its place with its times set back',
      async (place) => {
        await using handle = await open(place, 'r+');
        const { atime, mtime } = await handle.stat();
        await handle.write('two');
        await handle.utimes(atime, mtime);
      },
    ],
    ['removed', (place) => unlink(place)],
    [
      'replaced by a link to another',
      async (place, root) => {
        await writeFile(join(root, 'other'), 'two');
        await unlink(place);
        await symlink('other', place);
      },
    ],
    [
      'replaced by a directory',
      async (place) => {
        await unlink(place);
        await mkdir(place);
      },
    ],
  ])('does not know one that was %s', async (_, change) => {
    const { place, root, text } = await remembering();
    expect(text()).toBe('one');
    await change(place, root);
    expect(text()).toBeUndefined();
  });

  it('remembers nothing that was changed a moment ago, which may be changed again within the same tick', async () => {
    const { place, read, text } = await remembering();
    await writeFile(place, 'two');
    await read();
    expect(text()).toBeUndefined();
    await delay(SETTLED_MS);
    await read();
    expect(text()).toBe('two');
  });

  it('remembers no large file, and none that was cut while it was read', async () => {
    const { root, files } = await remembering();
    const place = join(root, 'large');
    await writeFile(place, Buffer.alloc(16 * 1024 + 1));
    await delay(SETTLED_MS);
    await using handle = await open(place);
    const identity = await handle.stat({ bigint: true });
    files.remember('/large', Buffer.alloc(16 * 1024 + 1), identity);
    files.remember('/large', Buffer.alloc(10), identity);
    expect(files.find('/large')).toBeUndefined();
  });

  it('keeps copies: what callers do with the bytes changes nothing', async () => {
    const { files, text } = await remembering();
    files.find('/link')!.fill(0);
    expect(text()).toBe('one');
  });
});

describe('the filesystem driver, asked for a small file again and again', () => {
  it('sees at once what another process has made of it', async () => {
    const { driver, root } = await openTemp();
    const read = async () => (await driver.getContent('/tags/latest')).toString();
    await driver.putContent('/tags/latest', Buffer.from('v000'));
    for (let version = 0; version < 200; version++) {
      // Long enough to be remembered, now and then.
      if (version % 50 === 49) await delay(SETTLED_MS);
      expect(await read()).toBe(`v${String(version).padStart(3, '0')}`);
      await writeFile(join(root, 'next'), `v${String(version + 1).padStart(3, '0')}`);
      await rename(join(root, 'next'), join(root, 'tags/latest'));
    }
    await rm(join(root, 'tags'), { recursive: true });
    await expect(read()).rejects.toBeInstanceOf(PathNotFoundError);
  });

  it('refuses a link out of the folder also when it stands where a remembered file stood', async () => {
    const { driver, root } = await openTemp();
    const outside = await makeTempDir();
    await writeFile(join(outside, 'link'), 'secret');
    await driver.putContent('/tags/link', Buffer.from('ours'));
    await delay(SETTLED_MS);
    for (let time = 0; time < 2; time++) expect((await driver.getContent('/tags/link')).toString()).toBe('ours');
    await rm(join(root, 'tags'), { recursive: true });
    await symlink(outside, join(root, 'tags'));
    await expect(driver.getContent('/tags/link')).rejects.toThrow('leads out of the root directory');
  });

  it('lets everybody else have a turn while one asks in a loop', async () => {
    const { driver } = await openTemp();
    await driver.putContent('/tags/latest', Buffer.from('one'));
    await delay(SETTLED_MS);
    const endMs = performance.now() + 5_000;
    let isOthersTurn = false;
    setImmediate(() => {
      isOthersTurn = true;
    });
    while (!isOthersTurn && performance.now() < endMs) await driver.getContent('/tags/latest');
    isOthersTurn = false;
    setTimeout(() => {
      isOthersTurn = true;
    }, 20);
    while (!isOthersTurn && performance.now() < endMs) await driver.getContent('/tags/latest');
    expect(isOthersTurn).toBe(true);
  });
});
