import { BlobNotFoundError, RepositoryNotFoundError, TagNotFoundError, UploadNotFoundError } from '../core/index.ts';
import { type CallContext, PathNotFoundError, type StorageDriver } from '../driver/index.ts';

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
