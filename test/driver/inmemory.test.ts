import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { defaultDriverFactory, StorageFullError } from '../../src/driver/index.ts';

const open = (maxbytes: number) => defaultDriverFactory().create('inmemory', { maxbytes });

describe('the in-memory driver', () => {
  it('is full at its limit, objects and unfinished bytes taken together, and has room again after deletes', async () => {
    const driver = await open(100);
    await driver.putContent('/a', Buffer.alloc(60));
    await expect(driver.putContent('/b', Buffer.alloc(41))).rejects.toBeInstanceOf(StorageFullError);
    const writer = await driver.writer('/upload', { append: false });
    await writer.write(Buffer.alloc(40));
    await expect(driver.putContent('/b', Buffer.alloc(1))).rejects.toBeInstanceOf(StorageFullError);
    await writer.close();
    await expect(driver.putContent('/b', Buffer.alloc(1))).rejects.toBeInstanceOf(StorageFullError);
    await driver.putContent('/a', Buffer.alloc(30));
    await driver.putContent('/b', Buffer.alloc(30));
    await driver.move('/b', '/a');
    await driver.delete('/upload');
    await driver.putContent('/b', Buffer.alloc(70));
    await driver.delete('/a');
    await driver.delete('/b');
    await driver.putContent('/c', Buffer.alloc(100));
  });

  it('keeps the count right over commits, replacements and cancels', async () => {
    const driver = await open(100);
    for (let round = 0; round < 10; round++) {
      const writer = await driver.writer('/a', { append: false });
      await writer.write(Buffer.alloc(40));
      await (round % 2 === 0 ? writer.commit() : writer.cancel());
      await writer.close();
    }
    await driver.putContent('/b', Buffer.alloc(60));
    await expect(driver.putContent('/c', Buffer.alloc(1))).rejects.toBeInstanceOf(StorageFullError);
  });

  it('has no directory without an object in it', async () => {
    const driver = await open(100);
    await driver.putContent('/a/b/c', Buffer.alloc(1));
    await driver.delete('/a/b/c');
    await expect(driver.stat('/a')).rejects.toMatchObject({ code: 'PATH_NOT_FOUND' });
  });

  it('streams an object of several chunks', async () => {
    const driver = await open(1024 * 1024);
    const content = Buffer.from(Array.from({ length: 200_000 }, (_, index) => index % 251));
    await driver.putContent('/a', content);
    const read = await buffer(await driver.reader('/a', { offset: 3, length: 150_000 }));
    expect(read.equals(content.subarray(3, 150_003))).toBe(true);
  });
});
