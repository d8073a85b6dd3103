import type { Readable } from 'node:stream';
import { type Digest, findDigest, type Repository } from '../core/index.ts';
import type { CallContext, FileInfo, ReadRange, StorageDriver } from '../driver/index.ts';
import { formatPath } from '../pathparser/index.ts';
import { dropQuarantinedLinks, healing, restoreBlob, restoreLinks } from './quarantine.ts';
import { isNotFound, orUndefined } from './storage-lookup.ts';

export { isNotFound, listNames, listNamesIfAny, orUndefined } from './storage-lookup.ts';

/** How content belongs to a repository: as a layer or config, or as a manifest. */
export type LinkKind = 'layer' | 'revision';

/** A blob of a repository as the storage has it. */
export interface StoredBlob {
  /** What its bytes are stored under; another digest than asked only in what distribution wrote for sha512. */
  readonly stored: Digest;
  readonly path: string;
  readonly sizeBytes: number;
}

/** What goes with the calls for one repository. */
type RepositoryContext = CallContext & { readonly repository: Repository };

/**
 * Whether a digest belongs to a repository, and under which digest its bytes are stored.
 *
 * The link's path says that it belongs; its content names the bytes. Both are the same digest, but for the links that
 * distribution writes for sha512: they lead to its sha256. A content that is no digest (distribution once left empty
 * links behind after a crash) is passed over, as the path says it all.
 */
export async function findLink(
  driver: StorageDriver,
  kind: LinkKind,
  digest: Digest,
  context: RepositoryContext,
): Promise<Digest | undefined> {
  return healing(
    driver,
    () => readLink(driver, kind, digest, context),
    () => restoreLinks(driver, [kind], digest, context),
  );
}

/** A blob that is linked in a repository in one of these ways, and whose bytes are there. */
export async function findBlob(
  driver: StorageDriver,
  kinds: readonly LinkKind[],
  digest: Digest,
  context: RepositoryContext,
): Promise<StoredBlob | undefined> {
  const look = async () => {
    for (const kind of kinds) {
      const stored = await readLink(driver, kind, digest, context);
      if (stored === undefined) continue;
      const info = await findBlobData(driver, stored, context);
      if (info !== undefined) return { stored, path: info.path, sizeBytes: info.size };
    }
    return undefined;
  };
  // One look into the quarantine for all kinds: a miss is what every push of a new blob begins with.
  return healing(driver, look, () => restoreLinks(driver, kinds, digest, context));
}

/** Opens bytes of a blob that was found; garbage collection may have moved them since. @throws what `reader` throws */
export async function openBlob(
  driver: StorageDriver,
  { stored, path }: StoredBlob,
  range: ReadRange,
  context: CallContext,
): Promise<Readable> {
  let missing: unknown;
  const open = async () => {
    try {
      return await driver.reader(path, range, context);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      missing = error;
      return undefined;
    }
  };
  const stream = await healing(driver, open, () => restoreBlob(driver, stored, context));
  if (stream === undefined) throw missing;
  return stream;
}

/** The bytes of a small blob; `undefined` when they are not there. */
export async function findBlobContent(
  driver: StorageDriver,
  stored: Digest,
  context: CallContext,
): Promise<Buffer | undefined> {
  const path = formatPath({ kind: 'blob-data', digest: stored });
  return healing(
    driver,
    () => orUndefined(driver.getContent(path, context)),
    () => restoreBlob(driver, stored, context),
  );
}

/**
 * Takes content out of a repository, also where garbage collection has put its link aside, so that nothing brings it back.
 * @returns whether it was there
 */
export async function deleteLink(
  driver: StorageDriver,
  kind: LinkKind,
  digest: Digest,
  context: RepositoryContext,
): Promise<boolean> {
  const directory = formatPath({ kind, repository: context.repository, digest });
  const remove = async () => {
    try {
      await driver.delete(directory, context);
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  };
  const removed = await remove();
  return (await dropQuarantinedLinks(driver, kind, digest, { ...context, again: remove })) || removed;
}

async function readLink(
  driver: StorageDriver,
  kind: LinkKind,
  digest: Digest,
  context: RepositoryContext,
): Promise<Digest | undefined> {
  const path = formatPath({ kind: `${kind}-link`, repository: context.repository, digest });
  const content = await orUndefined(driver.getContent(path, context));
  if (content === undefined) return undefined;
  return findDigest(content.toString('utf8').trim()) ?? digest;
}

async function findBlobData(
  driver: StorageDriver,
  stored: Digest,
  context: CallContext,
): Promise<FileInfo | undefined> {
  const path = formatPath({ kind: 'blob-data', digest: stored });
  const info = await healing(
    driver,
    () => orUndefined(driver.stat(path, context)),
    () => restoreBlob(driver, stored, context),
  );
  return info?.isDirectory === true ? undefined : info;
}

/** The content of a link file: the digest, and no line end. */
export function linkContent(digest: Digest): Buffer {
  return Buffer.from(digest);
}
