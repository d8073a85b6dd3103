import { createHash, randomBytes } from 'node:crypto';
import { InvalidPathError } from '../errors.ts';
import { findPathFault, parentOf } from '../paths.ts';
import { driverName } from './parameters.ts';

/** The service's limit for the name of a blob, in characters. */
const maxNameLength = 1024;

/** The service's limit for the parts of a name between slashes. */
const maxSegments = 254;

/** What `/~`, an id, and the character in front take. */
const sessionRoom = 32;

/** What `/~~`, a hash, an id, and the character in front take. */
const hashedRoom = 80;

/**
 * Names of blobs. The object at `/a/b` is the blob `<rootdirectory>/a/b`, as distribution has it. Unfinished bytes for it are
 * in blobs `<rootdirectory>/~a/b/~<id>`: a `~` is in no path, and it sorts behind everything that is. For a path too long to
 * have more put behind it, they are at `<rootdirectory>/~<a directory above>/~~<hash of the path>~<id>`.
 */
export class BlobNames {
  /** Empty, or ending in a slash. */
  readonly #root: string;

  constructor(rootDirectory: string) {
    const root = rootDirectory.replace(/^\/+|\/+$/g, '');
    this.#root = root === '' ? '' : `${root}/`;
  }

  /** @throws InvalidPathError when the service has no name that long */
  ofObject(path: string): string {
    const name = this.#root + path.slice(1);
    const segments = name.split('/').length;
    if (name.length <= maxNameLength && segments <= maxSegments) return name;
    throw new InvalidPathError(
      driverName,
      path,
      `name of ${name.length} bytes and ${segments} parts with the root directory, expected ${maxNameLength} and ${maxSegments} at most`,
    );
  }

  /** What the names of all objects below a directory begin with. */
  below(directory: string): string {
    return directory === '/' ? this.#root : `${this.#root}${directory.slice(1)}/`;
  }

  /** The path of an object; `undefined` for a name that is no path, those of unfinished bytes among them. */
  findPath(name: string): string | undefined {
    const path = `/${name.slice(this.#root.length)}`;
    return findPathFault(path) === undefined ? path : undefined;
  }

  /** A new name for unfinished bytes; of two, that which is made later sorts last. */
  newSession(path: string): string {
    const time = Date.now().toString(36).padStart(9, '0');
    return `${this.sessionsOf(path)}${time}-${randomBytes(8).toString('hex')}`;
  }

  /** What the names of unfinished bytes of one path begin with. */
  sessionsOf(path: string): string {
    if (!this.#isLong(path)) return `${this.#root}~${path.slice(1)}/~`;
    const hash = createHash('sha256').update(path).digest('base64url');
    return `${this.#hashedNear(path)}${hash}~`;
  }

  /**
   * What the names of unfinished bytes at and below a path begin with. Where `isShared`, others begin so, too, and the path
   * that bytes belong to is in the metadata of their blob.
   */
  sessionsWithin(path: string): readonly { readonly prefix: string; readonly isShared: boolean }[] {
    const own = { prefix: `${this.#root}~${path.slice(1)}/`, isShared: false };
    if (path.length <= this.#anchorLength) return [own];
    return [own, { prefix: this.#hashedNear(path), isShared: true }];
  }

  /** What the names of unfinished bytes of long paths begin with that are kept in the same directory. */
  #hashedNear(path: string): string {
    let anchor = path;
    while (anchor.length > this.#anchorLength) anchor = parentOf(anchor);
    return `${this.#root}~${anchor.slice(1)}/~~`;
  }

  /** What the names of unfinished bytes begin with, and no others: they are behind all names of objects. */
  get hiddenPrefix(): string {
    return `${this.#root}~`;
  }

  get #anchorLength(): number {
    return Math.max(1, maxNameLength - this.#root.length - hashedRoom);
  }

  #isLong(path: string): boolean {
    return this.#root.length + path.length + sessionRoom > maxNameLength;
  }
}
