import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  ConflictError,
  defaultDriverFactory,
  type FileWriter,
  PathNotFoundError,
  type StorageDriver,
  WriterClosedError,
} from '../../src/driver/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

const path = '/upload/data';
const append = { append: true } as const;

/** Drivers on one folder that know nothing of each other, as in several processes. */
async function replicas(count: number): Promise<{ drivers: StorageDriver[]; folder: string }> {
  const folder = await makeTempDir();
  const drivers: StorageDriver[] = [];
  for (let index = 0; index < count; index += 1) {
    const driver = await defaultDriverFactory().create('filesystem', { rootdirectory: folder });
    onTestFinished(() => driver.close());
    drivers.push(driver);
  }
  return { drivers, folder };
}

/** Leaves bytes that wait for a writer. */
async function leave(driver: StorageDriver, text: string): Promise<void> {
  await using writer = await driver.writer(path, { append: false });
  await writer.write(Buffer.from(text));
}

describe('filesystem drivers on one folder, and one unfinished object', () => {
  it('go on by turns', async () => {
    const { drivers, folder } = await replicas(2);
    const [one, two] = drivers as [StorageDriver, StorageDriver];
    await leave(one, 'a');
    for (const [index, driver] of [two, one, one, two].entries()) {
      await using writer = await driver.writer(path, append);
      expect(writer.size).toBe(1 + index);
      await writer.write(Buffer.from('bcde'.charAt(index)));
    }
    await using last = await one.writer(path, append);
    await last.commit();
    expect((await two.getContent(path)).toString()).toBe('abcde');
    expect(await readdir(join(folder, '.shoal-uncommitted'))).toEqual([]);
  });

  it('tell how far it is without taking it away from who writes to it', async () => {
    const { drivers } = await replicas(2);
    const [one, two] = drivers as [StorageDriver, StorageDriver];
    await leave(one, 'ab');
    await using writer = await one.writer(path, append);
    await writer.write(Buffer.from('cd'));
    const looking = await two.writer(path, append);
    expect(looking.size).toBe(4);
    await looking.close();
    await writer.write(Buffer.from('ef'));
    await writer.commit();
    expect((await two.getContent(path)).toString()).toBe('abcdef');
  });

  it('give it to the last that writes, and the earlier one is told so at its end', async () => {
    const { drivers, folder } = await replicas(2);
    const [one, two] = drivers as [StorageDriver, StorageDriver];
    await leave(one, 'ab');
    const overtaken = await one.writer(path, append);
    await overtaken.write(Buffer.from('cd'));
    const last = await two.writer(path, append);
    await last.write(Buffer.from('EF'));
    await overtaken.write(Buffer.from('gh'));
    await last.write(Buffer.from('GH'));
    await expect(overtaken.commit()).rejects.toThrow(ConflictError);
    await expect(overtaken.close()).rejects.toThrow(ConflictError);
    await last.commit();
    await last.close();
    expect((await one.getContent(path)).toString()).toBe('abcdEFGH');
    expect(await readdir(join(folder, '.shoal-uncommitted'))).toEqual([]);
  });

  it('write no byte to an object that another one has committed', async () => {
    const { drivers } = await replicas(2);
    const [one, two] = drivers as [StorageDriver, StorageDriver];
    await leave(one, 'ab');
    const late = await two.writer(path, append);
    const writing = await two.writer('/other', { append: false });
    await using writer = await one.writer(path, append);
    await writer.write(Buffer.from('cd'));
    await writer.commit();
    await expect(late.write(Buffer.from('late'))).rejects.toThrow(ConflictError);
    await late.close().catch(() => undefined);
    await writing.cancel();
    await writing.close();
    expect((await one.getContent(path)).toString()).toBe('abcd');
    await expect(two.writer(path, append)).rejects.toThrow(ConflictError);
  });

  it('refuse to go on elsewhere than where a writer was opened, and lose nothing by it', async () => {
    const { drivers } = await replicas(2);
    const [one, two] = drivers as [StorageDriver, StorageDriver];
    await leave(one, 'ab');
    const late = await two.writer(path, append);
    {
      await using writer = await one.writer(path, append);
      await writer.write(Buffer.from('cd'));
    }
    await expect(late.write(Buffer.from('XY'))).rejects.toThrow(ConflictError);
    await late.close();
    await using next = await two.writer(path, append);
    expect(next.size).toBe(4);
    await next.commit();
    expect((await one.getContent(path)).toString()).toBe('abcd');
  });

  it('tell a writer whose object was deleted', async () => {
    const { drivers } = await replicas(2);
    const [one, two] = drivers as [StorageDriver, StorageDriver];
    await leave(one, 'ab');
    const writer = await one.writer(path, append);
    await writer.write(Buffer.from('cd'));
    await two.delete('/upload');
    await expect(writer.close()).rejects.toThrow(ConflictError);
    await expect(one.writer(path, append)).rejects.toThrow(PathNotFoundError);
  });

  it('make an object only of what one line of writers has written, whatever comes between', async () => {
    const step = fc.record({
      at: fc.nat(2),
      what: fc.constantFrom('open', 'write', 'close', 'commit', 'look' as const),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const { drivers } = await replicas(3);
        await leave(drivers[0]!, '0;');
        const open = new Map<number, FileWriter>();
        let committed: string | undefined;
        let counter = 0;
        for (const { at, what } of steps) {
          const held = open.get(at);
          try {
            if (what === 'open' && held === undefined) {
              open.set(at, await drivers[at]!.writer(path, append));
            } else if (what === 'write' && held !== undefined) {
              counter += 1;
              await held.write(Buffer.from(`${counter};`));
            } else if (what === 'close' && held !== undefined) {
              open.delete(at);
              await held.close();
            } else if (what === 'commit' && held !== undefined) {
              open.delete(at);
              await held.commit().finally(() => held.close());
              expect(committed).toBeUndefined();
              committed = (await drivers[at]!.getContent(path)).toString();
            } else if (what === 'look' && !open.has(at)) {
              const looking = await drivers[at]!.writer(path, append);
              await looking.close();
            }
          } catch (error) {
            if (!(error instanceof ConflictError || error instanceof WriterClosedError)) throw error;
          }
          // Nothing that is written once it is committed gets into it.
          if (committed !== undefined) expect((await drivers[0]!.getContent(path)).toString()).toBe(committed);
        }
        for (const writer of open.values()) await writer.close().catch(() => undefined);
        if (committed === undefined) return;
        // Whole writes, each at most once, in the order in which they were made: never torn, never interleaved.
        const parts = committed.match(/\d+;/g) ?? [];
        expect(parts.join('')).toBe(committed);
        const numbers = parts.map((part) => Number(part.slice(0, -1)));
        expect(numbers).toEqual([...new Set(numbers)].sort((left, right) => left - right));
      }),
      { numRuns: 60 },
    );
  });
});
