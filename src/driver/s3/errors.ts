import { AppError } from '../../core/index.ts';
import {
  InvalidPathError,
  PathNotFoundError,
  PermissionError,
  StorageFullError,
  StorageInternalError,
  StorageUnavailableError,
} from '../errors.ts';

export const driverName = 's3';

/** The part of the SDK's errors that is looked at; theirs are told apart by `name`, which is S3's error code. */
interface SdkError extends Error {
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly code?: string;
}

const notFoundNames = new Set(['NoSuchKey', 'NotFound']);
const fullNames = new Set(['QuotaExceeded', 'EntityTooLargeQuota', 'XMinioStorageFull', 'InsufficientStorage']);
const unavailableNames = new Set([
  'SlowDown',
  'InternalError',
  'ServiceUnavailable',
  'RequestTimeout',
  'TimeoutError',
  'Throttling',
  'ThrottlingException',
  'OperationAborted',
]);
const unavailableCodes = /^(E(CONN|HOST|NET|PIPE|TIMEDOUT|AI_AGAIN|PROTO)|ENOTFOUND|UND_ERR|ERR_STREAM_PREMATURE)/;

/** S3's name for an error of the SDK, also when it is the cause of one of ours; `undefined` for any other. */
export function s3ErrorName(error: unknown): string | undefined {
  const thrown = error instanceof AppError ? error.cause : error;
  return thrown instanceof Error && '$metadata' in thrown ? thrown.name : undefined;
}

/** The HTTP status of an error of the SDK, also when it is the cause of one of ours. */
export function s3ErrorStatus(error: unknown): number | undefined {
  const thrown = error instanceof AppError ? error.cause : error;
  return thrown instanceof Error ? (thrown as SdkError).$metadata?.httpStatusCode : undefined;
}

/** Makes a driver error out of one of the SDK or of the network; what is ours already, or an abort, comes back as it is. */
export function toDriverError(error: unknown, path: string): unknown {
  if (!(error instanceof Error) || error instanceof AppError || error.name === 'AbortError') return error;
  const options = { cause: error };
  const status = s3ErrorStatus(error);
  const answer = `S3 answered ${error.name}${status === undefined ? '' : ` (${status})`}: ${error.message}`;
  if (error.name === 'KeyTooLongError') return new InvalidPathError(driverName, path, answer, options);
  if (error.name === 'NoSuchBucket') return new StorageInternalError(driverName, path, answer, options);
  if (notFoundNames.has(error.name)) return new PathNotFoundError(driverName, path, options);
  if (status === 507 || fullNames.has(error.name)) return new StorageFullError(driverName, path, options);
  if (isUnavailable(error)) {
    return new StorageUnavailableError(
      driverName,
      path,
      `not available now (${error.name}: ${error.message})`,
      options,
    );
  }
  if (status === 403 || status === 401) return new PermissionError(driverName, path, options);
  return new StorageInternalError(
    driverName,
    path,
    status === undefined ? `${error.name}: ${error.message}` : answer,
    options,
  );
}

function isUnavailable(error: SdkError): boolean {
  const status = error.$metadata?.httpStatusCode ?? 0;
  if (unavailableNames.has(error.name) || status === 429 || status === 408) return true;
  if (status >= 500 && status !== 501) return true;
  const code = error.code ?? (error.cause as SdkError | undefined)?.code ?? '';
  return unavailableCodes.test(code) || /socket hang up|aborted|premature close/i.test(error.message);
}
