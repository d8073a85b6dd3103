/**
 * A process of its own that works on a folder with the filesystem driver, for tests that kill it or run several at once:
 * `node driver-child.ts <task> <rootdirectory>`. It prints a line for each step once the driver has acknowledged it.
 */
import { writeSync } from 'node:fs';
import { AppError } from '../../../src/core/index.ts';
import { defaultDriverFactory, type StorageDriver } from '../../../src/driver/index.ts';

const objectBytes = 200_000;
const chunkBytes = 50_000;

/** Work without end, each on a path of its own; a line says which of them was acknowledged, and how often. */
const endless: Readonly<Record<string, (driver: StorageDriver, count: number) => Promise<void>>> = {
  /** Puts one object again and again, each time filled with the next number. */
  put: (driver, count) => driver.putContent('/put/object', Buffer.alloc(objectBytes + count, count)),

  /** The same through writers. */
  write: async (driver, count) => {
    await using writer = await driver.writer('/written/object', { append: false });
    for (let offset = 0; offset < objectBytes; offset += chunkBytes) {
      await writer.write(Buffer.alloc(Math.min(chunkBytes, objectBytes - offset), count));
    }
    await writer.write(Buffer.alloc(count, count));
    await writer.commit();
  },

  /** Appends numbered chunks to one upload, a writer for each, and never commits. */
  append: async (driver, count) => {
    if (count === 1) await (await driver.writer('/upload/data', { append: false })).close();
    const writer = await driver.writer('/upload/data', { append: true });
    await writer.write(Buffer.alloc(chunkBytes, count));
    await writer.close();
  },

  /** Moves an object to and fro. */
  move: async (driver) => {
    await driver.move('/moved/here', '/moved/there');
    await driver.move('/moved/there', '/moved/here');
  },
};

const tasks: Readonly<Record<string, (driver: StorageDriver) => Promise<void>>> = {
  'work-for-ever': async (driver) => {
    await driver.putContent('/moved/here', Buffer.alloc(objectBytes, 7));
    const loops = Object.entries(endless).map(async ([name, work]) => {
      for (let count = 1; ; count++) {
        await work(driver, count);
        print(`${name} ${count}`);
      }
    });
    await Promise.all(loops);
  },

  /** Puts, writes and deletes what other processes put, write and delete at the same time. */
  share: async (driver) => {
    const fill = process.pid % 256;
    for (let round = 0; round < 40; round++) {
      await driver.putContent(`/shared/${round % 5}`, Buffer.alloc(10_000 + fill, fill));
      await using writer = await driver.writer('/shared/blob', { append: false });
      await writer.write(Buffer.alloc(60_000, fill));
      await writer.write(Buffer.alloc(fill, fill));
      await writer.commit();
      await driver.putContent(`/own/${process.pid}/${round}`, Buffer.alloc(10, round));
      await driver.delete(`/shared/${(round + 2) % 5}`).catch(ignoreMissing);
    }
    print('done');
  },

  /** Needs more room than the limit of the process grants. */
  'fill-up': async (driver) => {
    print(await codeOf(driver.putContent('/object', Buffer.alloc(1024 * 1024))));
    const writer = await driver.writer('/upload', { append: false });
    await writer.write(Buffer.alloc(30_000, 1));
    print(await codeOf(writer.write(Buffer.alloc(100_000, 2))));
    print(await codeOf(writer.commit()));
    await writer.close();
  },
};

function print(text: string): void {
  // Synchronously: a line counts as said even when the process is killed in the next moment.
  writeSync(1, `${text}\n`);
}

async function codeOf(result: Promise<unknown>): Promise<string> {
  return result.then(
    () => 'none',
    (error: unknown) => (error instanceof AppError ? error.code : String(error)),
  );
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof AppError) || error.code !== 'PATH_NOT_FOUND') throw error;
}

const [, , task = '', rootdirectory = ''] = process.argv;
const driver = await defaultDriverFactory().create('filesystem', { rootdirectory });
await tasks[task]?.(driver);
