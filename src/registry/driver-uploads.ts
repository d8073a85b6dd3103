import { findRepository, type Repository } from '../core/index.ts';
import { type CallContext, NotADirectoryError, type StorageDriver } from '../driver/index.ts';
import { formatPath, isUploadId, REPOSITORIES_PATH } from '../pathparser/index.ts';
import { listNamesIfAny, orUndefined } from './links.ts';
import { timeOf, type UploadKey } from './upload-begin.ts';
import type { UnfinishedUpload, UnfinishedUploads } from './upload-purge.ts';

/** The directory of a repository's uploads; names with "_" in front are the repository's own. */
const UPLOADS = '_uploads';

/**
 * All uploads that a storage driver holds, of every program that writes to it.
 *
 * An upload's age is told by the latest of: what its `startedat` says; when that was last put, which the registry does
 * again while bytes come in (see `UploadBegin`); and when its bytes were last written, where the driver shows them
 * (distribution's lie open). One with neither file has no age.
 */
export function driverUploads(driver: StorageDriver): UnfinishedUploads {
  return async function* (signal) {
    // What nobody can write to has nothing unfinished, nor could it be removed.
    if (!driver.capabilities.write) return;
    for await (const key of uploadsBelow(driver, '', signal)) {
      const upload = await lookAt(driver, key, signal);
      if (upload !== undefined) yield upload;
    }
  };
}

/** Walks the directories of repositories, and never those of their links: one listing is open at each level of a name. */
async function* uploadsBelow(driver: StorageDriver, name: string, signal: AbortSignal): AsyncIterable<UploadKey> {
  const directory = name === '' ? REPOSITORIES_PATH : `${REPOSITORIES_PATH}/${name}`;
  const repository = findRepository(name);
  for await (const child of namesIn(driver, directory, signal)) {
    if (child === UPLOADS && repository !== undefined) yield* uploadsOf(driver, repository, signal);
    const below = name === '' ? child : `${name}/${child}`;
    // What is no name of a repository belongs to one, or comes from elsewhere.
    if (findRepository(below) !== undefined) yield* uploadsBelow(driver, below, signal);
  }
}

async function* uploadsOf(
  driver: StorageDriver,
  repository: Repository,
  signal: AbortSignal,
): AsyncIterable<UploadKey> {
  for await (const uploadId of namesIn(driver, formatPath({ kind: 'uploads', repository }), signal)) {
    if (isUploadId(uploadId)) yield { repository, uploadId };
  }
}

/** The names in a directory; none where there is none, or a file that is not of the layout. */
async function* namesIn(driver: StorageDriver, directory: string, signal: AbortSignal): AsyncIterable<string> {
  try {
    yield* listNamesIfAny(driver, directory, {}, { signal });
  } catch (error) {
    if (!(error instanceof NotADirectoryError)) throw error;
  }
}

/** `undefined` for an upload that has ended while it was looked at. */
async function lookAt(
  driver: StorageDriver,
  key: UploadKey,
  signal: AbortSignal,
): Promise<UnfinishedUpload | undefined> {
  const context: CallContext = { signal, repository: key.repository };
  const path = formatPath({ kind: 'upload', ...key });
  if ((await orUndefined(driver.stat(path, context))) === undefined) return undefined;
  const startedAtPath = formatPath({ kind: 'upload-started-at', ...key });
  const startedAt = await orUndefined(driver.getContent(startedAtPath, context));
  const files = [startedAtPath, formatPath({ kind: 'upload-data', ...key })];
  const infos = await Promise.all(files.map((file) => orUndefined(driver.stat(file, context))));
  const times = [
    startedAt === undefined ? undefined : timeOf(startedAt),
    ...infos.map((info) => info?.modTime.getTime()),
  ];
  const known = times.filter((time) => time !== undefined);
  return {
    name: `${key.repository}/${key.uploadId}`,
    lastActivityMs: known.length === 0 ? undefined : Math.max(...known),
    remove: async (removing) => {
      const removed = driver.delete(path, { signal: removing, repository: key.repository });
      return (await orUndefined(removed.then(() => true))) ?? false;
    },
  };
}
