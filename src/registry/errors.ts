import { AppError } from '../core/index.ts';

/** Neither a tag nor a digest of this repository leads to a manifest. */
export class ManifestUnknownError extends AppError {
  readonly code = 'MANIFEST_UNKNOWN';
}

/** A manifest is larger than the registry takes. */
export class ManifestTooLargeError extends AppError {
  readonly code = 'MANIFEST_TOO_LARGE';
}

/** The bytes of a manifest, as the storage gave them, are not those that its digest names. */
export class ManifestDamagedError extends AppError {
  readonly code = 'MANIFEST_DAMAGED';
}

/** A path below `/v2/` is none of the API. */
export class RouteUnknownError extends AppError {
  readonly code = 'ROUTE_UNKNOWN';
}

/** The path is of the API, the method is not taken there; `allow` lists those that are. */
export class MethodNotAllowedError extends AppError {
  readonly code = 'METHOD_NOT_ALLOWED';
  readonly allow: readonly string[];

  constructor(message: string, allow: readonly string[], options?: ErrorOptions) {
    super(message, { allow }, options);
    this.allow = allow;
  }
}

/** `n` of a listing is not a whole number from 0 on. */
export class PaginationNumberError extends AppError {
  readonly code = 'PAGINATION_NUMBER_INVALID';
}

/** `If-Match` names other content than there is. */
export class PreconditionFailedError extends AppError {
  readonly code = 'PRECONDITION_FAILED';
}

/** `Content-Range`, `Content-Length` and the body of an upload's chunk contradict each other. */
export class ChunkSizeError extends AppError {
  readonly code = 'CHUNK_SIZE_INVALID';
}

/** Another request is writing to this upload; `details.size` is where it stands. */
export class UploadBusyError extends AppError {
  readonly code = 'UPLOAD_BUSY';
}

/** No byte of a request's body came for too long: its connection is given up, so nobody gets this as an answer. */
export class BodyIncompleteError extends AppError {
  readonly code = 'BODY_INCOMPLETE';
}

/** The storage gave fewer, more or other bytes of a blob than its digest and length promise. */
export class BlobDamagedError extends AppError {
  readonly code = 'BLOB_DAMAGED';
}

/** A manifest was put with more `tag` parameters than the registry takes. */
export class TooManyTagsError extends AppError {
  readonly code = 'TOO_MANY_TAGS';
}

/** Nobody, or nobody who may do this, has said who they are; `challenge` tells the client how to (RFC 9110, section 11.6.1). */
export class AuthenticationRequiredError extends AppError {
  readonly code = 'AUTHENTICATION_REQUIRED';
  /** The value of `WWW-Authenticate`. */
  readonly challenge: string;

  constructor(message: string, challenge: string, options?: ErrorOptions) {
    super(message, {}, options);
    this.challenge = challenge;
  }
}

/** The caller is known and may not do this; to log in once more would change nothing. */
export class AccessDeniedError extends AppError {
  readonly code = 'ACCESS_DENIED';
}
