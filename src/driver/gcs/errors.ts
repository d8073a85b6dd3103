import { AppError, ConfigError } from '../../core/index.ts';
import {
  ConflictError,
  InvalidPathError,
  PathNotFoundError,
  PermissionError,
  StorageFullError,
  StorageInternalError,
  StorageUnavailableError,
} from '../errors.ts';
import { SemaphoreFullError } from '../semaphore.ts';
import { driverName, type GcsParameters } from './parameters.ts';

/** What the service has answered in place of what it was asked for. */
export class GcsAnswerError extends Error {
  /** HTTP status. */
  readonly status: number;
  /** Google's word for it, such as `notFound`; empty when the answer has none. */
  readonly reason: string;

  constructor(status: number, reason: string, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

/** No token was to be had: the credentials are refused, there are none, or who gives tokens does not answer. */
export class GcsAuthError extends Error {
  /** Whether somebody has to correct something; else it may pass. */
  readonly isRefusal: boolean;

  constructor(cause: unknown) {
    const { message, code, status } = cause as { message?: string; code?: unknown; status?: unknown };
    super(String(message ?? cause), { cause });
    const answered = Number(status ?? code);
    this.isRefusal = Number.isNaN(answered) ? !isConnectionFault(cause) : answered < 500 && answered !== 429;
  }
}

/** What was to be copied or joined is not what it was. */
export class SourceChangedError extends Error {}

/** The service has other bytes than were sent. */
export class ChecksumError extends Error {}

const connectionCodes = /^(E(CONN|HOST|NET|PIPE|TIMEDOUT|AI_AGAIN)|ENOTFOUND|UND_ERR|ERR_STREAM_PREMATURE)/;

/** Why the service refuses for a while, with status 403 as well. */
const rateReasons = new Set(['rateLimitExceeded', 'userRateLimitExceeded', 'quotaExceeded', 'backendError']);

/** The status of the service's answer; `undefined` for any other error. */
export function statusOf(error: unknown): number | undefined {
  return error instanceof GcsAnswerError ? error.status : undefined;
}

/** Whether nothing is there, or (told as such for a generation that was asked for) something else. */
export function isMissing(error: unknown): boolean {
  // That the bucket is not there the service says in words only.
  return error instanceof GcsAnswerError && error.status === 404 && !/specified bucket does not/i.test(error.message);
}

/** Whether the same request may succeed a moment later. */
export function mayPass(error: unknown): boolean {
  if (error instanceof GcsAuthError) return !error.isRefusal;
  if (!(error instanceof GcsAnswerError)) return isTimeout(error) || isConnectionFault(error);
  const { status, reason } = error;
  return status === 408 || status === 429 || (status >= 500 && status !== 501) || rateReasons.has(reason);
}

/**
 * Makes a driver error out of one of the service or of the way to it; what is none comes back as it is. Not for errors of a
 * call whose own signal has aborted.
 */
export function toDriverError(error: unknown, path: string): unknown {
  if (error instanceof AppError || !(error instanceof Error)) return error;
  const options = { cause: error };
  if (mayPass(error) || error instanceof SemaphoreFullError) {
    const status = statusOf(error) ?? (error as NodeJS.ErrnoException).code ?? error.name;
    const what = `the service does not answer now (${status}: ${error.message})`;
    return new StorageUnavailableError(driverName, path, what, options);
  }
  if (error instanceof GcsAuthError) return new PermissionError(driverName, path, options);
  if (error instanceof SourceChangedError) return new ConflictError(driverName, path, error.message, options);
  if (error instanceof ChecksumError) return new StorageInternalError(driverName, path, error.message, options);
  return error instanceof GcsAnswerError ? byStatus(error, path) : error;
}

/** What the first request's error means for whoever has written the configuration. */
export function toOpeningError(error: unknown, settings: GcsParameters): unknown {
  const { bucket, keyfile, credentials, apiendpoint: url = 'https://storage.googleapis.com' } = settings;
  const fault = (text: string) =>
    new ConfigError(`storage driver ${driverName}: ${text}`, { bucket, url }, { cause: error });
  const from = keyfile === undefined ? 'the credentials of the environment' : 'the key in parameter "keyfile"';
  const credential = credentials === undefined ? from : 'the key in parameter "credentials"';
  if (error instanceof GcsAuthError && error.isRefusal) {
    if (keyfile !== undefined || credentials !== undefined) return fault(`${credential} is refused (${error.message})`);
    return fault(`no credentials in the environment (${error.message}); give "keyfile" or "credentials"`);
  }
  if (!(error instanceof GcsAnswerError) || mayPass(error)) return toDriverError(error, '/');
  const { status, message } = error;
  const answer = `(${status}: ${message})`;
  if (status === 401) return fault(`the service at ${url} takes ${credential} for nobody's ${answer}`);
  if (status === 403) {
    return fault(
      `bucket "${bucket}": access is denied ${answer}; its owner has to allow storage.objects.list and more`,
    );
  }
  if (status === 404) return fault(`there is no bucket "${bucket}" ${answer}; make it, or correct "bucket"`);
  if (status === 400) return fault(`bucket "${bucket}" ${answer}; correct "bucket"`);
  return toDriverError(error, '/');
}

function byStatus(error: GcsAnswerError, path: string): Error {
  const options = { cause: error };
  const answer = `(${[error.status, error.reason].filter(Boolean).join(' ')}: ${error.message})`;
  switch (error.status) {
    case 401:
    case 403:
      return new PermissionError(driverName, path, options);
    case 404:
      if (isMissing(error)) return new PathNotFoundError(driverName, path, options);
      return new StorageInternalError(driverName, path, `the bucket has gone ${answer}`, options);
    case 409:
    case 412:
      return new ConflictError(driverName, path, `somebody else has changed it meanwhile ${answer}`, options);
    case 413:
      return new StorageFullError(driverName, path, options);
    case 414:
      return new InvalidPathError(driverName, path, `the service refused the name ${answer}`, options);
    default:
      return new StorageInternalError(driverName, path, `the service refused the request ${answer}`, options);
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError');
}

function isConnectionFault(error: unknown): boolean {
  for (let fault = error; fault instanceof Error; fault = fault.cause) {
    if (connectionCodes.test((fault as NodeJS.ErrnoException).code ?? '')) return true;
  }
  return false;
}
