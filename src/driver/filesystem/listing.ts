import type { Dirent } from 'node:fs';
import { opendir, stat } from 'node:fs/promises';
import { AppError } from '../../core/index.ts';
import { InvalidPathError, NotADirectoryError, PathNotFoundError } from '../errors.ts';
import { comparePaths, isComponent, joinPath, maxPathLength } from '../paths.ts';
import type { ListPage } from '../storage-driver.ts';
import { driverName, hasCode, toDriverError } from './errno.ts';
import type { RootDirectory } from './root-directory.ts';

/**
 * The children of a directory that the driver has paths for, in order: files and directories, and links to those that
 * stay within the root. With a limit, memory holds about twice as many names; without one, all.
 * @throws PathNotFoundError, NotADirectoryError
 */
export async function listDirectory(
  root: RootDirectory,
  path: string,
  page: ListPage,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const { after, limit = Number.POSITIVE_INFINITY } = page;
  const children: string[] = [];
  for await (const entry of await openDirectory(root, path)) {
    signal?.throwIfAborted();
    const child = joinPath(path, entry.name);
    if (after !== undefined && comparePaths(child, after) <= 0) continue;
    if (!isComponent(entry.name) || child.length > maxPathLength || root.isReserved(child)) continue;
    if (!(await isVisible(root, child, entry))) continue;
    children.push(child);
    // The system gives the names in no order: keep the first of those seen so far.
    if (children.length >= 2 * limit + 1000) children.sort(comparePaths).splice(limit);
  }
  return children.sort(comparePaths).slice(0, limit);
}

async function openDirectory(root: RootDirectory, path: string): Promise<AsyncIterable<Dirent>> {
  try {
    return await opendir(await root.locate(path), { bufferSize: 512 });
  } catch (error) {
    if (hasCode(error, 'ENOTDIR')) throw new NotADirectoryError(driverName, path, { cause: error });
    throw toDriverError(error, path, 'read');
  }
}

async function isVisible(root: RootDirectory, path: string, entry: Dirent): Promise<boolean> {
  if (entry.isFile() || entry.isDirectory()) return true;
  // Sockets, pipes and devices are nothing to read. What is left is a link, or of a kind that the system did not tell.
  if (entry.isSocket() || entry.isFIFO() || entry.isBlockDevice() || entry.isCharacterDevice()) return false;
  try {
    const found = await stat(await root.locate(path));
    return found.isFile() || found.isDirectory();
  } catch (error) {
    if (error instanceof PathNotFoundError || error instanceof InvalidPathError) return false;
    if (error instanceof AppError) throw error;
    throw toDriverError(error, path, 'read');
  }
}
