import { AppError } from '../core/index.ts';

/**
 * The status that each error code has between Shoal's programs. The code in the body is what counts; the status is for
 * people, proxies and metrics. (Clients of the registry see the statuses of `src/registry/error-mapper.ts` instead.)
 */
const statusOfCode: Readonly<Record<string, number>> = {
  DIGEST_INVALID: 400,
  DIGEST_MISMATCH: 400,
  NAME_INVALID: 400,
  TAG_INVALID: 400,
  MANIFEST_INVALID: 400,
  METAINFO_INVALID: 400,
  BAD_REQUEST: 400,
  UNAUTHORIZED: 401,
  BLOB_NOT_FOUND: 404,
  TAG_NOT_FOUND: 404,
  REPOSITORY_NOT_FOUND: 404,
  UPLOAD_NOT_FOUND: 404,
  MANIFEST_BLOB_UNKNOWN: 404,
  READ_ONLY: 405,
  UPLOAD_OFFSET: 416,
  RANGE_INVALID: 416,
  UNAVAILABLE: 503,
  STORAGE_UNAVAILABLE: 503,
  NO_SPACE: 507,
  STORAGE_FULL: 507,
};

/** The HTTP status of an error between programs; 500 for whatever is not ours. */
export function statusOf(error: unknown): number {
  return error instanceof AppError ? (statusOfCode[error.code] ?? 500) : 500;
}
