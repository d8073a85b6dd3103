import {
  InvalidPathError,
  NotADirectoryError,
  NotAFileError,
  PathNotFoundError,
  PermissionError,
  StorageFullError,
  StorageInternalError,
  StorageUnavailableError,
} from '../errors.ts';

export const driverName = 'filesystem';

/** Whether an error of the operating system has one of these codes. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && codes.includes((error as NodeJS.ErrnoException).code ?? '');
}

/**
 * Makes a driver error out of one of the operating system; whatever has no code comes back as it is.
 * `access` decides what an object in a parent's place means: nothing is there to read, but it stands in the way of a write.
 */
export function toDriverError(error: unknown, path: string, access: 'read' | 'write'): unknown {
  if (!(error instanceof Error)) return error;
  const options = { cause: error };
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
      return new PathNotFoundError(driverName, path, options);
    case 'ENOTDIR':
    case 'EEXIST': // From mkdir, where a file has the directory's name.
      return access === 'read'
        ? new PathNotFoundError(driverName, path, options)
        : new NotADirectoryError(driverName, path, options);
    case 'EISDIR':
    case 'ENOTEMPTY':
      return new NotAFileError(driverName, path, options);
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG': // The process's own limit (ulimit -f), or the file system's for one file.
      return new StorageFullError(driverName, path, options);
    case 'EROFS':
    case 'EACCES':
    case 'EPERM':
      return new PermissionError(driverName, path, options);
    case 'ELOOP':
      return new InvalidPathError(driverName, path, 'too many symbolic links on the path', options);
    case 'ENAMETOOLONG':
      return new InvalidPathError(driverName, path, 'too long for the file system, root directory included', options);
    case 'EXDEV':
      return new StorageInternalError(
        driverName,
        path,
        'on another file system than the root directory, so nothing can be renamed into it; mount them as one',
        options,
      );
    case 'EMFILE':
    case 'ENFILE':
    case 'EAGAIN':
    case 'EBUSY':
    case 'ENOMEM':
    case 'ESTALE':
    case 'ETIMEDOUT':
      return new StorageUnavailableError(driverName, path, `not available now (${error.message})`, options);
    default:
      return error;
  }
}
