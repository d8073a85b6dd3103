import { mkdir, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { InvalidPathError, PathNotFoundError } from '../errors.ts';
import { isWithin, parentOf } from '../paths.ts';
import { driverName, hasCode, toDriverError } from './errno.ts';
import { syncDirectory } from './sync.ts';

/** Directories at the top of the root that belong to the driver; no path reaches them, no listing shows them. */
export const temporaryPath = '/.shoal-tmp';
export const unfinishedPath = '/.shoal-uncommitted';

/** Turns paths of the driver into places on disk, and refuses those that symbolic links lead elsewhere. */
export class RootDirectory {
  /** Absolute, without symbolic links. */
  readonly location: string;

  private constructor(location: string) {
    this.location = location;
  }

  /** Opens the root, and makes it when it is missing. @throws StorageDriverError */
  static async open(directory: string): Promise<RootDirectory> {
    const wanted = resolve(directory);
    try {
      const firstMade = await mkdir(wanted, { recursive: true });
      for (let made = wanted; firstMade !== undefined && isWithin(made, firstMade); made = dirname(made)) {
        await syncDirectory(dirname(made));
      }
      return new RootDirectory(await realpath(wanted));
    } catch (error) {
      throw toDriverError(error, wanted, 'write');
    }
  }

  /** Whether a path is the driver's own; nobody else may use it. */
  isReserved(path: string): boolean {
    return isWithin(path, temporaryPath) || isWithin(path, unfinishedPath);
  }

  /** Where something that exists is, without symbolic links. @throws PathNotFoundError, InvalidPathError */
  async locate(path: string): Promise<string> {
    if (this.isReserved(path)) throw new PathNotFoundError(driverName, path);
    try {
      return this.#notOwn(path, this.#inside(path, await realpath(this.#join(path))));
    } catch (error) {
      throw toDriverError(error, path, 'read');
    }
  }

  /**
   * Where a name is or is to be: its directory without symbolic links, as far as that exists, and the name in it.
   * The name itself may be a symbolic link. @throws InvalidPathError
   */
  async locateName(path: string): Promise<string> {
    if (this.isReserved(path)) throw new InvalidPathError(driverName, path, 'the name is reserved for the driver');
    return this.#notOwn(path, await this.locateOwn(path));
  }

  /** {@link locateName} for a path below one of the driver's own directories. */
  async locateOwn(path: string): Promise<string> {
    return join(await this.#locateDirectory(parentOf(path), path), basename(path));
  }

  /** Follows the links of as much of the directory as exists; the rest is to be made below that. */
  async #locateDirectory(directory: string, path: string): Promise<string> {
    for (let existing = directory; ; existing = parentOf(existing)) {
      try {
        const real = this.#inside(path, await realpath(this.#join(existing)));
        return join(real, directory.slice(existing === '/' ? 0 : existing.length));
      } catch (error) {
        if (existing === '/' || !hasCode(error, 'ENOENT', 'ENOTDIR')) throw toDriverError(error, path, 'write');
      }
    }
  }

  #inside(path: string, real: string): string {
    if (isWithin(real, this.location)) return real;
    throw new InvalidPathError(driverName, path, 'a symbolic link leads out of the root directory');
  }

  #notOwn(path: string, real: string): string {
    if (!this.isReserved(real.slice(this.location === '/' ? 0 : this.location.length))) return real;
    throw new InvalidPathError(driverName, path, 'a symbolic link leads to what is reserved for the driver');
  }

  #join(path: string): string {
    return join(this.location, path);
  }
}
