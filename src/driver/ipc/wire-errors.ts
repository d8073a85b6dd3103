import { AppError, fromWireError } from '../../core/index.ts';
import {
  ConflictError,
  InvalidOffsetError,
  InvalidPathError,
  NotADirectoryError,
  NotAFileError,
  PathNotFoundError,
  PermissionError,
  PreconditionFailedError,
  StorageDriverError,
  StorageFullError,
  StorageInternalError,
  StorageUnavailableError,
  UnsupportedError,
  WriterClosedError,
} from '../errors.ts';
import type { PutCondition } from '../storage-driver.ts';

/** An error as it crosses the socket. */
export interface WireDriverError {
  readonly code: string;
  /** The reason alone: neither the driver nor the path, which the other side puts around it. */
  readonly message: string;
  readonly path?: string;
  readonly offset?: number;
  readonly retryable?: boolean;
  /** Facts of an error that is not the driver's own, such as the digests of a blob that is wrong. */
  readonly details?: AppError['details'];
}

const INTERNAL_STATUS = 500;

/** HTTP is only what the errors travel by; what counts is the code. */
const statusOfCode: ReadonlyMap<string, number> = new Map([
  ['INVALID_PATH', 400],
  ['INVALID_OFFSET', 400],
  ['PERMISSION', 403],
  ['PATH_NOT_FOUND', 404],
  ['NOT_A_FILE', 409],
  ['NOT_A_DIRECTORY', 409],
  ['CONFLICT', 409],
  ['WRITER_CLOSED', 410],
  ['PRECONDITION_FAILED', 412],
  ['STORAGE_INTERNAL', INTERNAL_STATUS],
  ['UNSUPPORTED', 501],
  ['STORAGE_UNAVAILABLE', 503],
  ['STORAGE_FULL', 507],
]);

/** Writes an error of a driver for the other side. An error that is none of ours tells no more than its text. */
export function toWire(error: unknown): { readonly status: number; readonly body: WireDriverError } {
  if (!(error instanceof AppError)) {
    const text = error instanceof Error ? error.message : String(error);
    return { status: INTERNAL_STATUS, body: { code: 'STORAGE_INTERNAL', message: text, retryable: false } };
  }
  const status = statusOfCode.get(error.code) ?? INTERNAL_STATUS;
  const { code, retryable } = error;
  if (!(error instanceof StorageDriverError)) {
    return { status, body: { code, message: error.message, retryable, details: error.details } };
  }
  const offset = error instanceof InvalidOffsetError ? { offset: error.offset } : {};
  return { status, body: { code, message: reasonOf(error), path: error.path, retryable, ...offset } };
}

/** The message without the driver and the path that `StorageDriverError` has put around it. */
function reasonOf({ message, driverName, path }: StorageDriverError): string {
  const [before, behind] = [`${driverName}: `, `: ${path}`];
  const start = message.startsWith(before) ? before.length : 0;
  return message.slice(start, message.endsWith(behind) ? -behind.length : undefined);
}

/** The call that an error belongs to. */
export interface FailedCall {
  readonly driverName: string;
  readonly path: string;
  readonly condition?: PutCondition | undefined;
}

type Rebuild = (call: FailedCall, wire: WireDriverError, options: ErrorOptions) => AppError;

const rebuilders: ReadonlyMap<string, Rebuild> = new Map<string, Rebuild>([
  ['PATH_NOT_FOUND', ({ driverName, path }, _, options) => new PathNotFoundError(driverName, path, options)],
  [
    'INVALID_PATH',
    ({ driverName, path }, { message }, options) => new InvalidPathError(driverName, path, message, options),
  ],
  [
    'INVALID_OFFSET',
    ({ driverName, path }, { offset }) => new InvalidOffsetError(driverName, path, offset ?? Number.NaN),
  ],
  ['NOT_A_FILE', ({ driverName, path }, _, options) => new NotAFileError(driverName, path, options)],
  ['NOT_A_DIRECTORY', ({ driverName, path }, _, options) => new NotADirectoryError(driverName, path, options)],
  [
    'UNSUPPORTED',
    ({ driverName, path }, { message }) =>
      new UnsupportedError(driverName, path, message.replace(/ is not supported$/, '')),
  ],
  [
    'WRITER_CLOSED',
    ({ driverName, path }, { message }, options) =>
      new WriterClosedError(driverName, path, message.replace(/^the writer is already /, ''), options),
  ],
  ['CONFLICT', ({ driverName, path }, { message }, options) => new ConflictError(driverName, path, message, options)],
  ['STORAGE_FULL', ({ driverName, path }, _, options) => new StorageFullError(driverName, path, options)],
  ['PERMISSION', ({ driverName, path }, _, options) => new PermissionError(driverName, path, options)],
  [
    'STORAGE_UNAVAILABLE',
    ({ driverName, path }, { message }, options) => new StorageUnavailableError(driverName, path, message, options),
  ],
  [
    'STORAGE_INTERNAL',
    ({ driverName, path }, { message }, options) => new StorageInternalError(driverName, path, message, options),
  ],
  [
    'PRECONDITION_FAILED',
    ({ driverName, path, condition }, { message }, options) =>
      condition === undefined
        ? new StorageInternalError(driverName, path, `PRECONDITION_FAILED without a condition: ${message}`, options)
        : new PreconditionFailedError(driverName, path, condition, options),
  ],
]);

/** Makes one of our errors out of what a driver program has answered; what it says in its own words becomes the cause. */
export function fromWire(value: unknown, call: FailedCall): AppError {
  const wire = readWire(value);
  if (wire === undefined) {
    const text = JSON.stringify(value)?.slice(0, 500);
    return new StorageInternalError(call.driverName, call.path, `the driver failed without saying how, got ${text}`);
  }
  const options = { cause: new Error(`the driver says: ${wire.message}`) };
  const rebuild = rebuilders.get(wire.code);
  if (rebuild !== undefined) return rebuild({ ...call, path: wire.path ?? call.path }, wire, options);
  // What other parts of Shoal throw, such as a driver that verifies blobs, has the same code here and there.
  const known = fromWireError({ code: wire.code, message: wire.message, details: wire.details ?? {} });
  if (known.code === wire.code) return known;
  const ErrorClass = wire.retryable === true ? StorageUnavailableError : StorageInternalError;
  return new ErrorClass(call.driverName, call.path, `${wire.code} (${wire.message})`, options);
}

function readWire(value: unknown): WireDriverError | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { code, message, path, offset, retryable, details } = value as Partial<Record<keyof WireDriverError, unknown>>;
  if (typeof code !== 'string' || typeof message !== 'string') return undefined;
  return {
    code: code.slice(0, 100),
    message: message.slice(0, 2000),
    ...(typeof path === 'string' && { path }),
    ...(typeof offset === 'number' && { offset }),
    ...(typeof retryable === 'boolean' && { retryable }),
    ...(typeof details === 'object' && details !== null && { details: details as AppError['details'] }),
  };
}
