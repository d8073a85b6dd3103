import type { ListObjectsV2CommandInput } from '@aws-sdk/client-s3';
import { StorageInternalError } from '../errors.ts';
import { driverName } from './errors.ts';
import type { RequestScope, S3Requests } from './requests.ts';

/** S3's limit for the keys of one answer. */
export const maxPageKeys = 1000;

/** An object as a listing tells of it. */
export interface ListedObject {
  readonly key: string;
  readonly size: number;
  readonly modTime: Date;
}

/** One answer to a listing, in order of the keys' bytes. */
export interface ListedPage {
  readonly objects: readonly ListedObject[];
  /** What keys begin with that have the delimiter further on; with a delimiter only. */
  readonly prefixes: readonly string[];
  /** For the next page; `undefined` after the last. */
  readonly token: string | undefined;
}

/** What is asked for; `startAfter` counts for a first page. */
export interface PageQuery {
  readonly prefix: string;
  readonly startAfter?: string | undefined;
  readonly token?: string | undefined;
  readonly delimiter?: '/';
  readonly maxKeys?: number | undefined;
}

/** Asks for one page of keys. @throws StorageInternalError for a store whose pages do not advance, instead of asking for ever */
export async function listPage(requests: S3Requests, scope: RequestScope, query: PageQuery): Promise<ListedPage> {
  const input: ListObjectsV2CommandInput = {
    Bucket: requests.bucket,
    Prefix: query.prefix,
    MaxKeys: query.maxKeys ?? maxPageKeys,
    ...(query.delimiter === undefined ? {} : { Delimiter: query.delimiter }),
    ...(query.token === undefined ? {} : { ContinuationToken: query.token }),
    ...(query.startAfter === undefined || query.token !== undefined ? {} : { StartAfter: query.startAfter }),
  };
  const answer = await requests.send(scope, (s3, options) => s3.listObjectsV2(input, options));
  const token = answer.IsTruncated === true ? answer.NextContinuationToken : undefined;
  if (answer.IsTruncated === true && (token === undefined || token === query.token)) {
    const reason = `the store's listing of "${query.prefix}" says that there is more, and gives no way on`;
    throw new StorageInternalError(driverName, scope.path, reason);
  }
  return {
    objects: (answer.Contents ?? []).flatMap(({ Key, Size, LastModified }) =>
      Key === undefined ? [] : [{ key: Key, size: Size ?? 0, modTime: LastModified ?? new Date(0) }],
    ),
    prefixes: (answer.CommonPrefixes ?? []).flatMap(({ Prefix }) => (Prefix === undefined ? [] : [Prefix])),
    token,
  };
}

/** All pages of keys with a prefix, one in memory at a time. */
export async function* listPages(
  requests: S3Requests,
  scope: RequestScope,
  query: Omit<PageQuery, 'token'>,
): AsyncGenerator<ListedPage> {
  let token: string | undefined;
  do {
    const page = await listPage(requests, scope, { ...query, token });
    yield page;
    token = page.token;
  } while (token !== undefined);
}
