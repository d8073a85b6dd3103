import { createHash } from 'node:crypto';
import { InvalidPathError, PathNotFoundError } from '../errors.ts';
import { findPathFault, isWithin } from '../paths.ts';
import { driverName } from './errors.ts';

/** What is below this path belongs to the driver; no path of callers reaches it, no listing shows it. */
const reservedPath = '/.shoal-uncommitted';

/** The last component of the keys of unfinished bytes; a `~` is in no path, so they cannot stand in another path's way. */
const unfinishedName = '~bytes';

/** S3's limit for a key, in bytes. */
const maxKeyBytes = 1024;

/** A component longer than this is hashed in the key of unfinished bytes, which has to fit with what is put before it. */
const longComponentBytes = 48;

/** Turns paths into keys and back: `rootdirectory` and path, without a slash at the beginning, as distribution has them. */
export class KeySpace {
  /** Empty, or ends with a slash. */
  readonly #rootPrefix: string;

  constructor(rootDirectory: string) {
    const root = rootDirectory.replace(/^\/+|\/+$/g, '');
    this.#rootPrefix = root === '' ? '' : `${root}/`;
  }

  /** The key of an object that is to be read. @throws PathNotFoundError for a path that is the driver's own */
  keyToRead(path: string): string {
    if (isWithin(path, reservedPath)) throw new PathNotFoundError(driverName, path);
    return this.#key(path);
  }

  /** The key of an object that is to be written. @throws InvalidPathError for one that is the driver's own or too long */
  keyToWrite(path: string): string {
    if (isWithin(path, reservedPath)) {
      throw new InvalidPathError(driverName, path, 'the name is reserved for the driver');
    }
    return this.#key(path);
  }

  /** What all keys below a directory begin with; empty for the root of a bucket. */
  prefixBelow(path: string): string {
    if (isWithin(path, reservedPath)) throw new PathNotFoundError(driverName, path);
    return path === '/' ? this.#rootPrefix : `${this.#key(path)}/`;
  }

  /** The path of a key that was found; `undefined` when it is the driver's own, or can be no path. */
  pathOf(key: string): string | undefined {
    const path = `/${key.slice(this.#rootPrefix.length)}`;
    return findPathFault(path) === undefined && !isWithin(path, reservedPath) ? path : undefined;
  }

  /** What the keys of the driver's own begin with. */
  get reservedPrefix(): string {
    return `${this.#rootPrefix}${reservedPath.slice(1)}/`;
  }

  /** Where the unfinished bytes of a path are. @throws InvalidPathError when the key would be too long */
  unfinishedKey(path: string): string {
    const key = `${this.unfinishedPrefix(path)}${unfinishedName}`;
    this.#checkLength(path, key);
    return key;
  }

  /** What the keys of the unfinished bytes of a path and of all below it begin with. */
  unfinishedPrefix(path: string): string {
    const components = path.slice(1).split('/').map(shorten);
    return `${this.reservedPrefix}${components.join('/')}/`;
  }

  #key(path: string): string {
    const key = `${this.#rootPrefix}${path.slice(1)}`;
    this.#checkLength(path, key);
    return key;
  }

  #checkLength(path: string, key: string): void {
    const length = Buffer.byteLength(key);
    if (length <= maxKeyBytes) return;
    const reason = `the key of this path has ${length} bytes, S3 takes ${maxKeyBytes} (rootdirectory and the driver's own included)`;
    throw new InvalidPathError(driverName, path, reason);
  }
}

function shorten(component: string): string {
  if (component.length <= longComponentBytes) return component;
  return `~${createHash('sha256').update(component).digest('hex').slice(0, 40)}`;
}
