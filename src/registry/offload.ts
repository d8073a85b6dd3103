import { ConfigError } from '../core/index.ts';
import { findPathFault, InvalidPathError, isWithin, type StorageDriver } from '../driver/index.ts';

/** A web server in front of the registry that sends the bytes of blobs from the disk by itself (docs/offload.md). */
export interface OffloadOptions {
  /** nginx's way: the answer names a location of its configuration in `X-Accel-Redirect`. */
  readonly kind: 'x-accel';
  /**
   * What stands before a blob's path in the storage, such as `/_shoal`, without a slash at the end. The web server maps it
   * to the driver's directory, in a location that no client can ask for.
   */
  readonly prefix: string;
}

/** The ways of a blob's bytes to a client that do not lead through this process. */
export interface BlobDelivery {
  /** Whether clients are sent to the URLs that the driver gives. */
  readonly redirect: boolean;
  /** The headers that have the web server in front send the object at a path; `undefined` when there is none. */
  readonly offload: ((path: string) => Readonly<Record<string, string>>) | undefined;
}

/** The only driver whose objects are files at their own paths. */
const FILES_DRIVER = 'filesystem';
/** Paths that belong to the API, so that a location for files among them would hide it or be reached through it. */
const API_PATH = '/v2';

/**
 * What a registry's settings mean for its blobs. Default: redirects when the driver gives URLs, no offload.
 * @throws ConfigError when the driver's objects are no files, or the prefix cannot be the name of a location
 */
export function openDelivery(options: {
  readonly driver: StorageDriver;
  readonly redirect?: boolean | undefined;
  readonly offload?: OffloadOptions | undefined;
}): BlobDelivery {
  const { driver, redirect = true, offload } = options;
  if (offload === undefined) return { redirect, offload: undefined };
  if (driver.name !== FILES_DRIVER) {
    throw new ConfigError(
      `registry.offload needs the driver ${FILES_DRIVER}, whose objects are files that a web server can send; ` +
        `this registry has the driver ${driver.name}: leave registry.offload out`,
      { driver: driver.name },
    );
  }
  return { redirect, offload: accelHeaders(checkedPrefix(offload.prefix), driver.name) };
}

/**
 * Paths are made of digests, never of what a client has sent. They are checked all the same before they get into a header
 * that opens files.
 */
function accelHeaders(prefix: string, driverName: string): (path: string) => Readonly<Record<string, string>> {
  return (path) => {
    const fault = findPathFault(path);
    if (fault !== undefined) throw new InvalidPathError(driverName, path, fault);
    return { 'x-accel-redirect': `${prefix}${path}` };
  };
}

function checkedPrefix(prefix: string): string {
  const fault =
    findPathFault(prefix) ?? (isWithin(prefix, API_PATH) ? `below ${API_PATH}, which is the API's` : undefined);
  if (fault === undefined) return prefix;
  throw new ConfigError(
    `registry.offload.xAccelPrefix is ${JSON.stringify(prefix)}: ${fault}; expected the beginning of an internal location ` +
      'of nginx, without a slash at its end, such as /_shoal',
    { prefix },
  );
}
