import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, statfs } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { ConfigError, NoSpaceError } from '../../core/index.ts';
import { formatSize } from '../values.ts';

/** The folder that holds everything of one `shoal up`. */
export interface DataFolder {
  readonly path: string;
  /** Whether an earlier start has left data here, which is used again. */
  readonly reused: boolean;
  readonly tokenFile: string;
  /** The storage that stands for a bucket: the filesystem driver's root. */
  readonly backend: string;
  /** Where a program keeps its local blobs. */
  storeOf(name: string): string;
  configOf(name: string): string;
  logOf(name: string): string;
}

/** Opens the folder, or makes it with a cluster token of its own. Nothing of an earlier start is removed. */
export async function openDataFolder(folder: string): Promise<DataFolder> {
  const path = resolve(folder);
  try {
    for (const part of ['cluster', 'config', 'logs', 'backend', 'stores']) {
      await mkdir(join(path, part), { recursive: true, mode: 0o700 });
    }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new ConfigError(
      `cannot use ${path} for data: ${code ?? String(cause)}; choose another with --data`,
      {},
      { cause },
    );
  }
  const data: Omit<DataFolder, 'reused'> = {
    path,
    tokenFile: join(path, 'cluster', 'token'),
    backend: join(path, 'backend'),
    storeOf: (name) => join(path, 'stores', name),
    configOf: (name) => join(path, 'config', `${name}.yaml`),
    logOf: (name) => join(path, 'logs', `${name}.log`),
  };
  await makeToken(data.tokenFile);
  const kept = await Promise.all([data.backend, join(path, 'stores')].map((folder) => readdir(folder)));
  return { ...data, reused: kept.some((names) => names.length > 0) };
}

/** Writes a token once; an earlier start's token stays. */
async function makeToken(file: string): Promise<void> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(file, 'wx', 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
    throw error;
  }
  try {
    await handle.writeFile(`${randomBytes(32).toString('hex')}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Checks that the disk has room for an image and all its copies.
 * @throws NoSpaceError that says how much is needed and how much is there
 */
export async function checkDiskSpace(folder: string, imageBytes: number, copies: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const freeBytes = bavail * bsize;
  const neededBytes = imageBytes * copies;
  if (freeBytes >= neededBytes) return;
  throw new NoSpaceError(
    `${folder} has ${formatSize(freeBytes)} free, but an image of ${formatSize(imageBytes)} needs ` +
      `${formatSize(neededBytes)}: ${copies} copies, one for each program that keeps it; ` +
      'choose another disk with --data, a smaller --image-size, or fewer --agents',
    { freeBytes, neededBytes },
  );
}
