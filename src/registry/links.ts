import {
  BlobNotFoundError,
  type Digest,
  findDigest,
  type Repository,
  RepositoryNotFoundError,
  TagNotFoundError,
  UploadNotFoundError,
} from '../core/index.ts';
import { type CallContext, PathNotFoundError, type StorageDriver } from '../driver/index.ts';
import { formatPath } from '../pathparser/index.ts';

/** How content belongs to a repository: as a layer or config, or as a manifest. */
export type LinkKind = 'layer' | 'revision';

/** A blob of a repository as the storage has it. */
export interface StoredBlob {
  /** What its bytes are stored under; another digest than asked only in what distribution wrote for sha512. */
  readonly stored: Digest;
  readonly path: string;
  readonly sizeBytes: number;
}

/** Whether an error says that something is not there, whichever words the driver has for it. */
export function isNotFound(error: unknown): boolean {
  return (
    error instanceof PathNotFoundError ||
    error instanceof BlobNotFoundError ||
    error instanceof TagNotFoundError ||
    error instanceof RepositoryNotFoundError ||
    error instanceof UploadNotFoundError
  );
}

/** The result of a call, or `undefined` when what it asks for is not there. */
export async function orUndefined<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

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
  context: CallContext & { readonly repository: Repository },
): Promise<Digest | undefined> {
  const path = formatPath({ kind: `${kind}-link`, repository: context.repository, digest });
  const content = await orUndefined(driver.getContent(path, context));
  if (content === undefined) return undefined;
  return findDigest(content.toString('utf8').trim()) ?? digest;
}

/** A blob that is linked in a repository in one of these ways, and whose bytes are there. */
export async function findBlob(
  driver: StorageDriver,
  kinds: readonly LinkKind[],
  digest: Digest,
  context: CallContext & { readonly repository: Repository },
): Promise<StoredBlob | undefined> {
  for (const kind of kinds) {
    const stored = await findLink(driver, kind, digest, context);
    if (stored === undefined) continue;
    const path = formatPath({ kind: 'blob-data', digest: stored });
    const info = await orUndefined(driver.stat(path, context));
    if (info !== undefined && !info.isDirectory) return { stored, path, sizeBytes: info.size };
  }
  return undefined;
}

/** The names directly below a directory, in order of their bytes. @throws PathNotFoundError with the first step */
export async function* listNames(
  driver: StorageDriver,
  directory: string,
  page: { readonly after?: string | undefined; readonly limit?: number },
  context: CallContext,
): AsyncIterable<string> {
  const { after, limit } = page;
  const paths = driver.list(
    directory,
    { ...(after === undefined ? {} : { after: `${directory}/${after}` }), ...(limit === undefined ? {} : { limit }) },
    context,
  );
  for await (const path of paths) yield path.slice(path.lastIndexOf('/') + 1);
}

/** The same; none when there is no such directory. */
export async function* listNamesIfAny(...call: Parameters<typeof listNames>): AsyncIterable<string> {
  try {
    yield* listNames(...call);
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

/** The content of a link file: the digest, and no line end. */
export function linkContent(digest: Digest): Buffer {
  return Buffer.from(digest);
}
