import { join } from 'node:path';
import { defaultDriverFactory, type StorageDriver } from '../../src/driver/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

/** A filesystem driver on an empty folder of its own, `root`, in a folder that holds nothing else. */
export async function openTemp(): Promise<{ readonly driver: StorageDriver; readonly root: string }> {
  const root = join(await makeTempDir(), 'root');
  return { driver: await defaultDriverFactory().create('filesystem', { rootdirectory: root }), root };
}

/** The paths of a directory's children. */
export async function list(driver: StorageDriver, path: string): Promise<string[]> {
  const found: string[] = [];
  for await (const child of driver.list(path)) found.push(child);
  return found;
}

/** The paths of everything below. */
export async function walk(driver: StorageDriver, path: string): Promise<string[]> {
  const found: string[] = [];
  for await (const info of driver.walk(path)) found.push(info.path);
  return found;
}
