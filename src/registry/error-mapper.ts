import {
  AppError,
  BlobNotFoundError,
  DigestMismatchError,
  InvalidDigestError,
  InvalidManifestError,
  InvalidRangeError,
  InvalidRepositoryError,
  InvalidTagError,
  ManifestBlobUnknownError,
  NoSpaceError,
  ReadOnlyError,
  RepositoryNotFoundError,
  TagNotFoundError,
  UnavailableError,
  UploadNotFoundError,
  UploadOffsetError,
} from '../core/index.ts';
import { PathNotFoundError, StorageFullError, StorageUnavailableError, UnsupportedError } from '../driver/index.ts';
import {
  AccessDeniedError,
  AuthenticationRequiredError,
  ChunkSizeError,
  ManifestTooLargeError,
  ManifestUnknownError,
  MethodNotAllowedError,
  PaginationNumberError,
  PreconditionFailedError,
  RouteUnknownError,
  TooManyTagsError,
  UploadBusyError,
} from './errors.ts';
import type { RouteKind } from './router.ts';

/** One entry of an error body (OCI distribution specification, "Error codes"). */
export interface OciError {
  readonly code: string;
  readonly message: string;
  readonly detail?: unknown;
}

/** An error as the client gets it. */
export interface ErrorAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: { readonly errors: readonly OciError[] };
}

interface ErrorRow {
  readonly error: abstract new (...args: never[]) => Error;
  readonly code: string;
  readonly status: number;
  /** Said instead of the error's own message, when that tells of what lies behind the registry. */
  readonly message?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly meaning: string;
}

/** How long a client is asked to wait when what lies behind the registry does not answer. */
const RETRY_AFTER_SECONDS = '5';

const storageAway = {
  code: 'UNAVAILABLE',
  status: 503,
  message: 'something that this registry leans on does not answer now; try again later',
  headers: { 'retry-after': RETRY_AFTER_SECONDS },
} as const;

const storageFull = {
  code: 'UNAVAILABLE',
  status: 507,
  message: 'the storage behind this registry has no room left',
} as const;

const rows: readonly ErrorRow[] = [
  { error: InvalidRepositoryError, code: 'NAME_INVALID', status: 400, meaning: 'The repository name is none.' },
  { error: InvalidTagError, code: 'TAG_INVALID', status: 400, meaning: 'The tag is none.' },
  { error: InvalidDigestError, code: 'DIGEST_INVALID', status: 400, meaning: 'The digest is none, or is missing.' },
  {
    error: DigestMismatchError,
    code: 'DIGEST_INVALID',
    status: 400,
    meaning:
      'The bytes that were sent have another digest than the one they came under. Nothing was stored; an upload is dropped.',
  },
  {
    error: InvalidManifestError,
    code: 'MANIFEST_INVALID',
    status: 400,
    meaning: 'The manifest cannot be read as one.',
  },
  {
    error: PaginationNumberError,
    code: 'PAGINATION_NUMBER_INVALID',
    status: 400,
    meaning: '`n` of a listing is not a whole number from 0 on.',
  },
  {
    error: ChunkSizeError,
    code: 'SIZE_INVALID',
    status: 400,
    meaning: '`Content-Range`, `Content-Length` and body of a chunk contradict each other.',
  },
  {
    error: AuthenticationRequiredError,
    code: 'UNAUTHORIZED',
    status: 401,
    meaning:
      'Nobody, or nobody who may do this, has said who they are; `WWW-Authenticate` tells how to log in, or what a token has to grant.',
  },
  {
    error: AccessDeniedError,
    code: 'DENIED',
    status: 403,
    meaning: 'Who is logged in may not do this.',
  },
  { error: BlobNotFoundError, code: 'BLOB_UNKNOWN', status: 404, meaning: 'The blob is not in this repository.' },
  {
    error: ManifestUnknownError,
    code: 'MANIFEST_UNKNOWN',
    status: 404,
    meaning: 'No manifest of this repository has this tag or digest.',
  },
  { error: TagNotFoundError, code: 'MANIFEST_UNKNOWN', status: 404, meaning: 'The tag is not in this repository.' },
  {
    error: ManifestBlobUnknownError,
    code: 'MANIFEST_BLOB_UNKNOWN',
    status: 404,
    meaning:
      'The manifest needs blobs or manifests that are not in this repository: one entry, with `detail.digest`, each.',
  },
  { error: RepositoryNotFoundError, code: 'NAME_UNKNOWN', status: 404, meaning: 'The repository holds nothing.' },
  {
    error: UploadNotFoundError,
    code: 'BLOB_UPLOAD_UNKNOWN',
    status: 404,
    meaning: 'The upload was never begun, is finished or cancelled, or was lost with its host: begin again.',
  },
  { error: RouteUnknownError, code: 'UNSUPPORTED', status: 404, meaning: 'The path is none of the API.' },
  {
    error: MethodNotAllowedError,
    code: 'UNSUPPORTED',
    status: 405,
    meaning: 'The path does not take this method; `Allow` lists those that it takes.',
  },
  {
    error: ReadOnlyError,
    code: 'UNSUPPORTED',
    status: 405,
    meaning: 'This registry is read-only; the message says where to write.',
  },
  {
    error: UnsupportedError,
    code: 'UNSUPPORTED',
    status: 405,
    message: 'the storage behind this registry does not do this',
    meaning: 'The storage driver does not do this.',
  },
  {
    error: PreconditionFailedError,
    code: 'UNSUPPORTED',
    status: 412,
    meaning: '`If-Match` names other content than there is.',
  },
  {
    error: ManifestTooLargeError,
    code: 'SIZE_INVALID',
    status: 413,
    meaning: 'The manifest is larger than 4 MiB.',
  },
  {
    error: TooManyTagsError,
    code: 'TAG_INVALID',
    status: 414,
    meaning: 'A manifest was put with too many `tag` parameters.',
  },
  {
    error: InvalidRangeError,
    code: 'RANGE_INVALID',
    status: 416,
    meaning: 'The range lies outside of the blob; `Content-Range` has its length.',
  },
  {
    error: UploadOffsetError,
    code: 'RANGE_INVALID',
    status: 416,
    meaning: 'The chunk does not follow on what came before; `Range` says where the upload stands. It stays usable.',
  },
  {
    error: UploadBusyError,
    code: 'RANGE_INVALID',
    status: 416,
    meaning: 'Another request is writing to this upload; `Range` says how far it is.',
  },
  { error: UnavailableError, ...storageAway, meaning: 'Something that the registry leans on does not answer now.' },
  { error: StorageUnavailableError, ...storageAway, meaning: 'The storage does not answer now.' },
  { error: NoSpaceError, ...storageFull, meaning: 'A local disk has no room, and nothing may be evicted.' },
  { error: StorageFullError, ...storageFull, meaning: 'The storage has no room.' },
];

/** What "nothing is at this path" means, by what was asked for. */
const notFoundRows: Readonly<Record<RouteKind, { readonly code: string; readonly message: string }>> = {
  base: { code: 'NAME_UNKNOWN', message: 'nothing is stored yet' },
  catalog: { code: 'NAME_UNKNOWN', message: 'nothing is stored yet' },
  tags: { code: 'NAME_UNKNOWN', message: 'the repository is not known to this registry' },
  manifest: { code: 'MANIFEST_UNKNOWN', message: 'the manifest is not in this repository' },
  blob: { code: 'BLOB_UNKNOWN', message: 'the blob is not in this repository' },
  uploads: { code: 'BLOB_UPLOAD_UNKNOWN', message: 'the upload is not known to this registry' },
  upload: { code: 'BLOB_UPLOAD_UNKNOWN', message: 'the upload is not known to this registry' },
  referrers: { code: 'MANIFEST_UNKNOWN', message: 'the manifest is not in this repository' },
  repository: { code: 'NAME_UNKNOWN', message: 'the repository is not known to this registry' },
};

const unknownRow = {
  code: 'UNKNOWN',
  status: 500,
  message: 'the registry failed in a way that it has no answer for; its log has the reason',
} as const;

/** What was asked when an error came. */
export interface Asked {
  readonly method: string;
  /** `undefined` when the path is none of the API. */
  readonly kind: RouteKind | undefined;
  /** Told with errors whose reason stands in the log only. */
  readonly requestId?: string;
}

/**
 * The only place where errors become HTTP statuses: what a client gets for `error` on what it asked.
 * What is not in the table becomes 500 `UNKNOWN`, and nothing of its text goes out.
 */
export function answerError(error: unknown, { method, kind, requestId }: Asked): ErrorAnswer {
  // A client that reads has sent no bytes: then it is the storage that gave other ones.
  if (error instanceof DigestMismatchError && method === 'GET') return unknownAnswer(requestId);
  if (error instanceof PathNotFoundError && kind !== undefined) {
    const { code, message } = notFoundRows[kind];
    return answer(404, [{ code, message }]);
  }
  const row = rows.find((candidate) => error instanceof candidate.error);
  if (row !== undefined && error instanceof AppError) {
    return answer(row.status, entriesOf(row, error), { ...row.headers, ...headersOf(error) });
  }
  return answerRefusedRequest(error) ?? unknownAnswer(requestId);
}

function unknownAnswer(requestId: string | undefined): ErrorAnswer {
  const entry = { code: unknownRow.code, message: unknownRow.message };
  return answer(unknownRow.status, [requestId === undefined ? entry : { ...entry, detail: { requestId } }]);
}

function answer(status: number, errors: readonly OciError[], headers: Record<string, string> = {}): ErrorAnswer {
  return { status, headers, body: { errors } };
}

function entriesOf(row: ErrorRow, error: AppError): OciError[] {
  if (row.message !== undefined) return [{ code: row.code, message: row.message }];
  const { missing, ...detail } = error.details;
  if (Array.isArray(missing) && missing.length > 0) {
    return missing.map((digest: string) => ({
      code: row.code,
      message: `the manifest needs ${digest}, which is not in this repository`,
      detail: { digest },
    }));
  }
  const entry = { code: row.code, message: error.message };
  return [Object.keys(detail).length === 0 ? entry : { ...entry, detail }];
}

function headersOf(error: AppError): Record<string, string> {
  if (error instanceof MethodNotAllowedError) return { allow: error.allow.join(', ') };
  return error instanceof AuthenticationRequiredError ? { 'www-authenticate': error.challenge } : {};
}

/** The HTTP server's own refusals of a request, such as a `Content-Type` that is none, keep their status. */
function answerRefusedRequest(error: unknown): ErrorAnswer | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, statusCode } = error as { code?: unknown; statusCode?: unknown };
  if (typeof code !== 'string' || !code.startsWith('FST_') || typeof statusCode !== 'number') return undefined;
  if (statusCode < 400 || statusCode > 499) return undefined;
  return answer(statusCode, [{ code: 'UNSUPPORTED', message: error.message }]);
}

/** The table of docs/errors.md, in Markdown. */
export function renderErrorTable(): string {
  const lines = rows.map((row) => `| \`${row.code}\` | ${row.status} | \`${row.error.name}\` | ${row.meaning} |`);
  const missing = Object.entries(notFoundRows).map(
    ([kind, row]) => `| \`${row.code}\` | 404 | \`PathNotFoundError\` on ${kind} | ${sentence(row.message)} |`,
  );
  return [
    '| code | status | error class | meaning |',
    '|---|---|---|---|',
    ...lines,
    ...missing,
    '| `UNSUPPORTED` | 4xx | of the HTTP server | It refuses the request itself, such as a `Content-Type` that is none. |',
    `| \`${unknownRow.code}\` | ${unknownRow.status} | any other | ${sentence(unknownRow.message)} |`,
  ].join('\n');
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
