import { BlobNotFoundError, RepositoryNotFoundError, TagNotFoundError, UploadNotFoundError } from '../../core/index.ts';
import { InvalidRegistryPathError } from '../../pathparser/index.ts';
import { InvalidPathError, PathNotFoundError } from '../index.ts';
import { DRIVER_NAME } from './handlers.ts';

/**
 * Says in the driver's words that something is not there, or that a path is none of the layout. Everything else passes
 * through as it is: a caller acts on a mismatch, a full disk or an absent cluster by its own class.
 */
export function asDriverError(error: unknown, path: string): unknown {
  if (
    error instanceof BlobNotFoundError ||
    error instanceof TagNotFoundError ||
    error instanceof RepositoryNotFoundError ||
    error instanceof UploadNotFoundError
  ) {
    return new PathNotFoundError(DRIVER_NAME, path, { cause: error });
  }
  if (error instanceof InvalidRegistryPathError) {
    return new InvalidPathError(DRIVER_NAME, path, error.message, { cause: error });
  }
  return error;
}
