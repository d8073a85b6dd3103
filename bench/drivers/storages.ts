import { createReadStream } from 'node:fs';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { defaultDriverFactory } from '../../src/driver/index.ts';
import { partsOf, wholeOf } from './content.ts';

/** A storage as this bench uses it; paths are absolute. Whatever it has stored is on disk when a call resolves. */
export interface Storage {
  put(path: string, sizeBytes: number): Promise<void>;
  get(path: string): Promise<Buffer>;
  write(path: string, sizeBytes: number): Promise<void>;
  read(path: string): Promise<Readable>;
  close(): Promise<void>;
}

/** Opens a storage by its name; the caller closes it. */
export function openStorage(name: string, parameters: Readonly<Record<string, unknown>>): Promise<Storage> {
  return name === 'plain' ? openPlain(String(parameters['rootdirectory'])) : openDriver(name, parameters);
}

async function openDriver(name: string, parameters: Readonly<Record<string, unknown>>): Promise<Storage> {
  const driver = await defaultDriverFactory().create(name, parameters);
  return {
    put: (path, sizeBytes) => driver.putContent(path, wholeOf(sizeBytes)),
    get: (path) => driver.getContent(path),
    async write(path, sizeBytes) {
      await using writer = await driver.writer(path, { append: false });
      for (const part of partsOf(sizeBytes)) await writer.write(part);
      await writer.commit();
    },
    read: (path) => driver.reader(path, { offset: 0 }),
    close: () => driver.close(),
  };
}

/** What a program would do by itself that wants its files whole and on disk: another name, sync, rename, sync of the folder. */
async function openPlain(root: string): Promise<Storage> {
  await mkdir(root, { recursive: true });
  const store = async (path: string, parts: Iterable<Buffer>) => {
    const place = join(root, path);
    await mkdir(dirname(place), { recursive: true });
    {
      await using file = await open(`${place}.new`, 'w');
      for (const part of parts) await file.write(part);
      await file.sync();
    }
    await rename(`${place}.new`, place);
    await using folder = await open(dirname(place));
    await folder.sync();
  };
  return {
    put: (path, sizeBytes) => store(path, [wholeOf(sizeBytes)]),
    get: (path) => readFile(join(root, path)),
    write: (path, sizeBytes) => store(path, partsOf(sizeBytes)),
    read: async (path) => createReadStream(join(root, path)),
    close: async () => undefined,
  };
}
