import { AppError } from '../../core/index.ts';
import {
  ConflictError,
  PathNotFoundError,
  PermissionError,
  StorageFullError,
  StorageInternalError,
  StorageUnavailableError,
} from '../errors.ts';
import { SemaphoreFullError } from '../semaphore.ts';
import { driverName } from './parameters.ts';

/** The fields that are read of the SDK's RestError. */
interface ServiceError extends Error {
  readonly code?: string;
  readonly statusCode?: number;
  readonly details?: { readonly errorCode?: string };
}

/** What the service answered, when the error is one of the service or of the way to it. */
export interface Answer {
  /** HTTP status; `undefined` when no answer came. */
  readonly status: number | undefined;
  /** The service's own code, such as `BlobNotFound`, or that of the connection. */
  readonly code: string;
}

const connectionCodes = new Set([
  'REQUEST_SEND_ERROR',
  'PARSE_ERROR',
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EPIPE',
  'ETIMEDOUT',
  'ERR_STREAM_PREMATURE_CLOSE',
]);

/** As the classes of `@azure/identity` are called, which is loaded only when it is used. */
const signInNames = new Set(['AuthenticationError', 'AggregateAuthenticationError', 'CredentialUnavailableError']);

/** Reads an error of the SDK; `undefined` for any other. */
export function answerOf(error: unknown): Answer | undefined {
  if (!(error instanceof Error)) return undefined;
  const { name, code, statusCode, details } = error as ServiceError;
  if (name !== 'RestError' && !connectionCodes.has(code ?? '')) return undefined;
  return { status: statusCode, code: details?.errorCode ?? code ?? '' };
}

/** Whether the service answered that nothing is there. */
export function isMissing(error: unknown): boolean {
  const answer = answerOf(error);
  return answer?.status === 404 && !answer.code.startsWith('Container');
}

/** Whether the service refused because a condition of the request did not hold. */
export function isConditionFailure(error: unknown): boolean {
  const answer = answerOf(error);
  if (answer?.status === 412) return !answer.code.startsWith('Lease');
  // What Put Blob with If-None-Match answers.
  return answer?.status === 409 && answer.code === 'BlobAlreadyExists';
}

/** Whether nobody has answered, or nothing but that it is not possible now: the request may have been done, or not. */
export function isUnanswered(error: unknown): boolean {
  const answer = answerOf(error);
  return answer !== undefined && isUnavailable(answer.status);
}

/** Whether signing in has failed before any request, with one credential of `@azure/identity` or with all. */
export function isSignInFailure(error: unknown): boolean {
  return error instanceof Error && signInNames.has(error.name);
}

/** Whether an object of another kind (append blob) is there, which the service does not replace by a block blob. */
export function isOtherBlobType(error: unknown): boolean {
  return answerOf(error)?.code === 'InvalidBlobType';
}

/**
 * Makes a driver error out of one of the service; what is none comes back as it is. Not for errors of a call whose own signal
 * has aborted.
 */
export function toDriverError(error: unknown, path: string): unknown {
  if (error instanceof AppError || !(error instanceof Error)) return error;
  const options = { cause: error };
  if (isSignInFailure(error)) return new PermissionError(driverName, path, options);
  if (error instanceof SemaphoreFullError) return new StorageUnavailableError(driverName, path, error.message, options);
  if (error.name === 'TimeoutError') return new StorageUnavailableError(driverName, path, error.message, options);
  // Whoever called has not aborted, the driver sees to that: it was the SDK.
  if (error.name === 'AbortError') {
    return new StorageUnavailableError(driverName, path, `the request was broken off (${error.message})`, options);
  }
  const answer = answerOf(error);
  if (answer === undefined) return error;
  const { status, code } = answer;
  if (code.startsWith('ContainerNotFound') || code === 'ContainerBeingDeleted') {
    return new StorageInternalError(driverName, path, `the container has gone (${code})`, options);
  }
  if (code === 'MemoryExtentStoreAtSizeLimit' || code === 'AccountQuotaExceeded' || status === 507) {
    return new StorageFullError(driverName, path, options);
  }
  if (code.startsWith('BlobImmutable')) return new PermissionError(driverName, path, options);
  return byStatus(status, code, path, options);
}

function byStatus(status: number | undefined, code: string, path: string, options: ErrorOptions): Error {
  const answer = [status, code].filter(Boolean).join(' ');
  if (isUnavailable(status)) {
    return new StorageUnavailableError(driverName, path, `the service does not answer now (${answer})`, options);
  }
  switch (status) {
    case 401:
    case 403:
      return new PermissionError(driverName, path, options);
    case 404:
      return new PathNotFoundError(driverName, path, options);
    case 409:
    case 412:
      return new ConflictError(driverName, path, `somebody else holds or has changed it (${code})`, options);
    default:
      return new StorageInternalError(driverName, path, `the service refused the request (${answer})`, options);
  }
}

/** Whether a later try may succeed; without a status no answer came. */
function isUnavailable(status: number | undefined): boolean {
  return status === undefined || [408, 429, 500, 502, 503, 504].includes(status);
}
