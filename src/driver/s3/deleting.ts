import { PathNotFoundError, StorageInternalError } from '../errors.ts';
import { driverName } from './errors.ts';
import type { KeySpace } from './keys.ts';
import type { MultipartUploads } from './multipart.ts';
import type { ObjectLookup } from './object-lookup.ts';
import { listPages } from './pages.ts';
import type { RequestScope, S3Requests } from './requests.ts';
import type { UnfinishedUploads } from './unfinished-uploads.ts';

/** How many keys that could not be deleted are named in an error. */
const maxNamed = 5;

/** What a deletion needs of a driver. */
export interface DeletionDeps {
  readonly requests: S3Requests;
  readonly keys: KeySpace;
  readonly lookup: ObjectLookup;
  readonly multipart: MultipartUploads;
  readonly unfinished: UnfinishedUploads;
}

/**
 * Removes an object, or all below a directory, with what is unfinished there. First what no listing shows: whoever is killed
 * in between leaves something that can be found and deleted again. @throws PathNotFoundError
 */
export async function deleteTree(deps: DeletionDeps, path: string, scope: RequestScope): Promise<void> {
  const { keys, lookup, multipart, unfinished } = deps;
  const key = keys.keyToWrite(path);
  const [object, hadRecords] = await Promise.all([lookup.findObject(path, scope), unfinished.removeBelow(path, scope)]);
  const hadUploads = await multipart.abortBelow(key, scope);
  let any = hadRecords || hadUploads || object !== undefined;
  if (object !== undefined) await deleteObject(deps.requests, key, scope);
  for await (const { objects } of listPages(deps.requests, scope, { prefix: keys.prefixBelow(path) })) {
    if (objects.length > 0)
      await deleteKeys(
        deps.requests,
        objects.map((found) => found.key),
        scope,
      );
    any ||= objects.length > 0;
  }
  if (!any) throw new PathNotFoundError(driverName, path);
}

/** Removes one object; one that is gone is left gone. */
export async function deleteObject(requests: S3Requests, key: string, scope: RequestScope): Promise<void> {
  await requests.send(scope, (s3, options) => s3.deleteObject({ Bucket: requests.bucket, Key: key }, options));
}

/** Removes up to a thousand objects by one request. @throws StorageInternalError that names those which S3 has kept */
async function deleteKeys(requests: S3Requests, keys: readonly string[], scope: RequestScope): Promise<void> {
  const input = { Bucket: requests.bucket, Delete: { Objects: keys.map((Key) => ({ Key })), Quiet: true } };
  const { Errors = [] } = await requests.send(scope, (s3, options) => s3.deleteObjects(input, options));
  if (Errors.length === 0) return;
  const named = Errors.slice(0, maxNamed).map(({ Key, Code, Message }) => `${Key} (${Code}: ${Message})`);
  const reason = `${Errors.length} of ${keys.length} objects could not be deleted, such as ${named.join(', ')}`;
  throw new StorageInternalError(driverName, scope.path, reason);
}
