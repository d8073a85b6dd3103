/** Longest path in bytes: S3's limit for a key, so that whatever one driver takes, every driver takes. */
export const maxPathLength = 1024;

/** Longest component in bytes: the limit of the usual file systems. */
const maxComponentLength = 255;

// The rule of distribution (registry/storage/driver/storagedriver.go, PathRegexp).
const pathPattern = /^(\/[A-Za-z0-9._-]+)+$/;
const componentPattern = /^[A-Za-z0-9._-]+$/;

/** What is wrong with a path as the name of an object, in words for an error; `undefined` when nothing is. */
export function findPathFault(path: string): string | undefined {
  if (path.length > maxPathLength) return `path of ${path.length} bytes, expected ${maxPathLength} at most`;
  if (!pathPattern.test(path)) return 'invalid path, expected "/" and components of A-Z a-z 0-9 . _ -';
  for (const component of path.slice(1).split('/')) {
    // Distribution lets these two through, and a file system then leaves the directory.
    if (component === '.' || component === '..') return `invalid path, the component "${component}" is not a name`;
    if (component.length > maxComponentLength) {
      return `component of ${component.length} bytes, expected ${maxComponentLength} at most`;
    }
  }
  return undefined;
}

/** Whether a name found on the storage can be a component of a path; one that cannot is not ours, and listings leave it out. */
export function isComponent(name: string): boolean {
  return componentPattern.test(name) && name !== '.' && name !== '..' && name.length <= maxComponentLength;
}

/**
 * The order of a walk: by components, each by its bytes. It is not the order of the whole strings: `/a/b` comes before
 * `/a-b` here, because everything below `/a` comes before its next sibling.
 */
export function comparePaths(left: string, right: string): number {
  const shorter = Math.min(left.length, right.length);
  for (let index = 0; index < shorter; index++) {
    const difference = rank(left, index) - rank(right, index);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

/** Character codes, with the slash before all others. */
function rank(path: string, index: number): number {
  return path[index] === '/' ? 0 : path.charCodeAt(index);
}

/** Whether a path is the directory itself or lies below it; `/ab` is not within `/a`. */
export function isWithin(path: string, directory: string): boolean {
  return directory === '/' || path === directory || path.startsWith(`${directory}/`);
}

/** The path of a child. */
export function joinPath(directory: string, name: string): string {
  return directory === '/' ? `/${name}` : `${directory}/${name}`;
}

/** The directory that a path is in; `/` for the top. */
export function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}
