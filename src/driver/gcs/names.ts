import { createHash, randomBytes } from 'node:crypto';
import { InvalidPathError } from '../errors.ts';
import { findPathFault } from '../paths.ts';
import { driverName } from './parameters.ts';

/** The service's limit for the name of an object, in bytes. */
const maxNameBytes = 1024;

/** In the names of unfinished bytes, a longer component is a hash, so that there is room behind it. */
const maxComponentBytes = 48;

/** What stands around a path in the name of a piece of unfinished bytes: `~/~`, the session, `~`, the piece. */
const unfinishedRoomBytes = 64;

/**
 * Names of objects in the bucket. The object at `/a/b` is `<rootdirectory>/a/b`, as distribution has it. Unfinished bytes for
 * it are `<rootdirectory>/~a/b/~<session>`, pieces on their way there `<rootdirectory>/~a/b/~<session>~<piece>`: a `~` is in
 * no path, and it sorts behind everything that is. A long component is a hash there.
 */
export class GcsNames {
  /** Empty, or ending in a slash. */
  readonly #root: string;

  constructor(rootDirectory: string) {
    const root = rootDirectory.replace(/^\/+|\/+$/g, '');
    this.#root = root === '' ? '' : `${root}/`;
  }

  /** @throws InvalidPathError when the service has no name that long */
  ofObject(path: string): string {
    return this.#checked(this.#root + path.slice(1), path, 0);
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

  /** What the names of unfinished bytes and pieces begin with; they sort behind all that are paths. */
  get hiddenPrefix(): string {
    return `${this.#root}~`;
  }

  /** A new name for unfinished bytes; of two, that which is made later sorts last. @throws InvalidPathError */
  newSession(path: string): string {
    const time = Date.now().toString(36).padStart(9, '0');
    return this.#checked(`${this.sessionsOf(path)}${time}-${randomId()}`, path, unfinishedRoomBytes / 2);
  }

  /** What the names of the pieces of one writer begin with; it goes on with unfinished bytes of this name. */
  newPieces(session: string): string {
    return `${session}~${randomId()}-`;
  }

  /** What the names of unfinished bytes of one path begin with. */
  sessionsOf(path: string): string {
    return `${this.unfinishedWithin(path)}~`;
  }

  /** What the names of unfinished bytes of a path, and of all paths below it, begin with. */
  unfinishedWithin(path: string): string {
    return `${this.#root}~${path.slice(1).split('/').map(shortened).join('/')}/`;
  }

  /** Whether a name that begins with {@link sessionsOf} a path is that of unfinished bytes, not of a piece. */
  isSession(name: string, path: string): boolean {
    return !name.slice(this.sessionsOf(path).length).includes('~');
  }

  /** Whether a name is one of unfinished bytes or pieces. */
  isHidden(name: string): boolean {
    return name.startsWith(this.hiddenPrefix);
  }

  #checked(name: string, path: string, roomBytes: number): string {
    if (name.length + roomBytes <= maxNameBytes) return name;
    const expected = `${maxNameBytes - roomBytes} at most`;
    throw new InvalidPathError(driverName, path, `name of ${name.length} bytes in the bucket, expected ${expected}`);
  }
}

function shortened(component: string): string {
  if (component.length <= maxComponentBytes) return component;
  // No component of a path has an equals sign.
  return `=${createHash('sha256').update(component).digest('base64url')}`;
}

function randomId(): string {
  return randomBytes(6).toString('hex');
}
