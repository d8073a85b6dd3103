/**
 * Errors as values with codes: one class for each thing a caller can act on.
 *
 * Every message says what failed, on which thing, what was expected and what was found. The code is stable: it crosses
 * process boundaries (see {@link toWireError}), and the HTTP mappers look it up. HTTP statuses stand in those mappers only.
 */

/** JSON-safe facts that belong to an error, such as the digest expected and the digest found. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/** The root of all errors that Shoal throws on purpose; anything else that is thrown is a defect. */
export abstract class AppError extends Error {
  /** Stable, upper case, one a class. */
  abstract readonly code: string;
  readonly details: ErrorDetails;

  constructor(message: string, details: ErrorDetails = {}, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.details = details;
  }

  /** Whether the same call may succeed later without anybody changing anything. */
  get retryable(): boolean {
    return false;
  }
}

/** A text is not a digest, or names an algorithm other than sha256 and sha512. */
export class InvalidDigestError extends AppError {
  readonly code = 'DIGEST_INVALID';
}

/** Bytes do not have the digest that they were announced under. Nothing of them has been made visible. */
export class DigestMismatchError extends AppError {
  readonly code = 'DIGEST_MISMATCH';
}

/** A text is not a repository name. */
export class InvalidRepositoryError extends AppError {
  readonly code = 'NAME_INVALID';
}

/** A text is not a tag. */
export class InvalidTagError extends AppError {
  readonly code = 'TAG_INVALID';
}

/** A manifest cannot be read as one: not JSON, wrong schema, or fields that contradict each other. */
export class InvalidManifestError extends AppError {
  readonly code = 'MANIFEST_INVALID';
}

/** A manifest names blobs or manifests that are not in its repository; `details.missing` lists the digests. */
export class ManifestBlobUnknownError extends AppError {
  readonly code = 'MANIFEST_BLOB_UNKNOWN';
}

/** Metainfo cannot be read: wrong magic, lengths that do not fit. */
export class InvalidMetainfoError extends AppError {
  readonly code = 'METAINFO_INVALID';
}

/** A blob is not there, or not linked in the repository that was asked. */
export class BlobNotFoundError extends AppError {
  readonly code = 'BLOB_NOT_FOUND';
}

/** A tag is not in its repository. */
export class TagNotFoundError extends AppError {
  readonly code = 'TAG_NOT_FOUND';
}

/** A repository holds nothing. */
export class RepositoryNotFoundError extends AppError {
  readonly code = 'REPOSITORY_NOT_FOUND';
}

/** An upload id is unknown here: never begun, committed, cancelled, or lost with its host. */
export class UploadNotFoundError extends AppError {
  readonly code = 'UPLOAD_NOT_FOUND';
}

/** An upload was to go on at another offset than the one it has reached; `details.size` is where it stands. */
export class UploadOffsetError extends AppError {
  readonly code = 'UPLOAD_OFFSET';
}

/** A byte range lies outside of what it was asked of. */
export class InvalidRangeError extends AppError {
  readonly code = 'RANGE_INVALID';
}

/** The caller asked a read-only program to write; the message says where to write instead. */
export class ReadOnlyError extends AppError {
  readonly code = 'READ_ONLY';
}

/** A local disk has no room, and nothing may be evicted to make some. */
export class NoSpaceError extends AppError {
  readonly code = 'NO_SPACE';
}

/** Something that this program leans on (backend, origin, tracker, build-index) does not answer; try again later. */
export class UnavailableError extends AppError {
  readonly code = 'UNAVAILABLE';

  override get retryable(): boolean {
    return true;
  }
}

/** A request came without the cluster token, or with a wrong one. */
export class UnauthorizedError extends AppError {
  readonly code = 'UNAUTHORIZED';
}

/** A request between programs does not have the form that its protocol asks for. */
export class BadRequestError extends AppError {
  readonly code = 'BAD_REQUEST';
}

/** A file, option or environment variable of the configuration is wrong; the message lists every fault with its place. */
export class ConfigError extends AppError {
  readonly code = 'CONFIG_INVALID';
}

/** An error as it crosses from one program to another. */
export interface WireError {
  readonly code: string;
  readonly message: string;
  readonly details?: ErrorDetails;
}

const wireClasses = [
  InvalidDigestError,
  DigestMismatchError,
  InvalidRepositoryError,
  InvalidTagError,
  InvalidManifestError,
  ManifestBlobUnknownError,
  InvalidMetainfoError,
  BlobNotFoundError,
  TagNotFoundError,
  RepositoryNotFoundError,
  UploadNotFoundError,
  UploadOffsetError,
  InvalidRangeError,
  ReadOnlyError,
  NoSpaceError,
  UnavailableError,
  UnauthorizedError,
  BadRequestError,
] as const;

const classOfCode = new Map(wireClasses.map((ErrorClass) => [new ErrorClass('').code as string, ErrorClass] as const));

/** Writes an error for another program. Errors that are not ours become `INTERNAL`, without their text. */
export function toWireError(error: unknown): WireError {
  if (error instanceof AppError) return { code: error.code, message: error.message, details: error.details };
  return { code: 'INTERNAL', message: 'internal error; the log of the program that answered has it' };
}

/** Reads an error that another program wrote; a code that this version does not know becomes {@link UnavailableError}. */
export function fromWireError(wire: WireError): AppError {
  const ErrorClass = classOfCode.get(wire.code) ?? UnavailableError;
  return new ErrorClass(wire.message, wire.details ?? {});
}
