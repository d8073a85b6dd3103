import { AppError } from '../core/index.ts';
import type { PutCondition } from './storage-driver.ts';

/** The root of what drivers throw; each message names the driver and the path. */
export abstract class StorageDriverError extends AppError {
  readonly driverName: string;
  readonly path: string;

  constructor(driverName: string, path: string, message: string, options?: ErrorOptions) {
    super(`${driverName}: ${message}: ${path}`, { driver: driverName, path }, options);
    this.driverName = driverName;
    this.path = path;
  }
}

/** Nothing is at this path. */
export class PathNotFoundError extends StorageDriverError {
  readonly code = 'PATH_NOT_FOUND';
  constructor(driverName: string, path: string, options?: ErrorOptions) {
    super(driverName, path, 'path not found', options);
  }
}

/** The path breaks the rule for paths, or (for a driver of the registry's layout only) is none of that layout. */
export class InvalidPathError extends StorageDriverError {
  readonly code = 'INVALID_PATH';
  constructor(driverName: string, path: string, reason = 'invalid path', options?: ErrorOptions) {
    super(driverName, path, reason, options);
  }
}

/** The offset or length is negative or no whole number. */
export class InvalidOffsetError extends StorageDriverError {
  readonly code = 'INVALID_OFFSET';
  readonly offset: number;
  constructor(driverName: string, path: string, offset: number) {
    super(driverName, path, `invalid offset ${offset}`);
    this.offset = offset;
  }
}

/** An object was asked for where a directory is. */
export class NotAFileError extends StorageDriverError {
  readonly code = 'NOT_A_FILE';
  constructor(driverName: string, path: string, options?: ErrorOptions) {
    super(driverName, path, 'a directory, not a file', options);
  }
}

/** A directory was asked for where an object is. */
export class NotADirectoryError extends StorageDriverError {
  readonly code = 'NOT_A_DIRECTORY';
  constructor(driverName: string, path: string, options?: ErrorOptions) {
    super(driverName, path, 'a file, not a directory', options);
  }
}

/** The driver does not do this, by its declared capabilities or by its table of operations. */
export class UnsupportedError extends StorageDriverError {
  readonly code = 'UNSUPPORTED';
  constructor(driverName: string, path: string, what: string) {
    super(driverName, path, `${what} is not supported`);
  }
}

/** A writer was used after it had ended. */
export class WriterClosedError extends StorageDriverError {
  readonly code = 'WRITER_CLOSED';
  constructor(driverName: string, path: string, how: string, options?: ErrorOptions) {
    super(driverName, path, `the writer is already ${how}`, options);
  }
}

/** What is there does not permit the call, such as appending to a committed object. */
export class ConflictError extends StorageDriverError {
  readonly code = 'CONFLICT';
}

/** What is at the path is not what a conditional put expected. Look at it again before the next try. */
export class PreconditionFailedError extends StorageDriverError {
  readonly code = 'PRECONDITION_FAILED';
  constructor(driverName: string, path: string, expected: PutCondition, options?: ErrorOptions) {
    const text = 'ifAbsent' in expected ? 'nothing there' : `the object of revision ${expected.ifMatch}`;
    super(driverName, path, `the put expected ${text}, and something else is there`, options);
  }
}

/** The storage is full. */
export class StorageFullError extends StorageDriverError {
  readonly code = 'STORAGE_FULL';
  constructor(driverName: string, path: string, options?: ErrorOptions) {
    super(driverName, path, 'no space left', options);
  }
}

/** The storage refuses access: permissions, or mounted read-only. */
export class PermissionError extends StorageDriverError {
  readonly code = 'PERMISSION';
  constructor(driverName: string, path: string, options?: ErrorOptions) {
    super(driverName, path, 'permission denied', options);
  }
}

/** The storage does not answer now; the same call may succeed later. */
export class StorageUnavailableError extends StorageDriverError {
  readonly code = 'STORAGE_UNAVAILABLE';
  override get retryable(): boolean {
    return true;
  }
}

/** Anything else that the storage reported; `cause` has it. */
export class StorageInternalError extends StorageDriverError {
  readonly code = 'STORAGE_INTERNAL';
}
