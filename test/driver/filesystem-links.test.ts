import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { defaultDriverFactory, InvalidPathError, PathNotFoundError } from '../../src/driver/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { list, openTemp, walk } from './filesystem-scene.ts';

describe('the filesystem driver and symbolic links', () => {
  async function openWithOutside() {
    const { driver, root } = await openTemp();
    const outside = join(await makeTempDir(), 'outside');
    await mkdir(outside);
    await writeFile(join(outside, 'secret'), 'secret');
    await symlink(outside, join(root, 'directory'));
    await symlink(join(outside, 'secret'), join(root, 'file'));
    await symlink('../outside', join(root, 'relative'));
    await driver.putContent('/inside', Buffer.from('inside'));
    return { driver, root, outside };
  }

  it('reads nothing through a link that leads out of the root', async () => {
    const { driver } = await openWithOutside();
    for (const path of ['/file', '/directory/secret']) {
      await expect(driver.getContent(path)).rejects.toBeInstanceOf(InvalidPathError);
      await expect(driver.reader(path, { offset: 0 })).rejects.toBeInstanceOf(InvalidPathError);
      await expect(driver.stat(path)).rejects.toBeInstanceOf(InvalidPathError);
      await expect(driver.move(path, '/moved')).rejects.toBeInstanceOf(InvalidPathError);
    }
    await expect(list(driver, '/directory')).rejects.toBeInstanceOf(InvalidPathError);
    expect(await list(driver, '/')).toEqual(['/inside']);
    expect(await walk(driver, '/')).toEqual(['/inside']);
  });

  it('writes and deletes nothing through such a link', async () => {
    const { driver, outside } = await openWithOutside();
    for (const path of ['/directory/secret', '/directory/new', '/directory/deep/new']) {
      await expect(driver.putContent(path, Buffer.from('x'))).rejects.toBeInstanceOf(InvalidPathError);
      await expect(driver.writer(path, { append: false })).rejects.toBeInstanceOf(InvalidPathError);
      await expect(driver.move('/inside', path)).rejects.toBeInstanceOf(InvalidPathError);
      await expect(driver.delete(path)).rejects.toBeInstanceOf(InvalidPathError);
    }
    expect(await readdir(outside)).toEqual(['secret']);
    expect(await readFile(join(outside, 'secret'), 'utf8')).toBe('secret');
  });

  it('puts an object in the place of such a link, and deletes the link itself', async () => {
    const { driver, outside } = await openWithOutside();
    await driver.putContent('/file', Buffer.from('mine'));
    expect((await driver.getContent('/file')).toString()).toBe('mine');
    await driver.delete('/directory');
    await expect(driver.delete('/directory')).rejects.toBeInstanceOf(PathNotFoundError);
    expect(await readFile(join(outside, 'secret'), 'utf8')).toBe('secret');
  });

  it('follows a link that stays inside', async () => {
    const { driver, root } = await openTemp();
    await driver.putContent('/volume/blobs/one', Buffer.from('one'));
    await symlink('volume/blobs', join(root, 'blobs'));
    await driver.putContent('/blobs/two', Buffer.from('two'));
    expect(await list(driver, '/blobs')).toEqual(['/blobs/one', '/blobs/two']);
    expect((await driver.getContent('/volume/blobs/two')).toString()).toBe('two');
    expect(await walk(driver, '/')).toEqual([
      '/blobs',
      '/blobs/one',
      '/blobs/two',
      '/volume',
      '/volume/blobs',
      '/volume/blobs/one',
      '/volume/blobs/two',
    ]);
  });

  it('comes to an end when links lead in circles', async () => {
    const { driver, root } = await openTemp();
    await driver.putContent('/a/file', Buffer.from('a'));
    await driver.putContent('/b/file', Buffer.from('b'));
    await symlink('..', join(root, 'a', 'up'));
    await symlink('../a', join(root, 'b', 'across'));
    await symlink('itself', join(root, 'itself'));
    await symlink('nowhere', join(root, 'dangling'));
    const found = await walk(driver, '/');
    expect(found).toContain('/a/file');
    expect(found.length).toBeLessThan(20);
    await expect(driver.stat('/itself')).rejects.toBeInstanceOf(InvalidPathError);
    await expect(driver.stat('/dangling')).rejects.toBeInstanceOf(PathNotFoundError);
    expect(await list(driver, '/')).toEqual(['/a', '/b']);
  });

  it('opens a root that is itself reached by a link', async () => {
    const folder = await makeTempDir();
    await mkdir(join(folder, 'real'));
    await symlink('real', join(folder, 'link'));
    const driver = await defaultDriverFactory().create('filesystem', { rootdirectory: join(folder, 'link') });
    await driver.putContent('/a', Buffer.from('a'));
    expect(await readFile(join(folder, 'real', 'a'), 'utf8')).toBe('a');
  });
});
